"""What agents read: short, and what to do next. Pure."""

from typing import Any

import orjson

from models.catalogue.entries import Offer
from models.jobs import words
from models.jobs.reads import JobRow
from models.jobs.states import RunStatus

FIRST_STEPS = "find_models lists what can be made; ask_price tells what it costs; generate makes it."
INSTRUCTIONS = f"Headrace generates pictures, films, speech and texts for credits. {FIRST_STEPS}"


def told_model(offer: Offer) -> dict[str, Any]:
    """A model as agents see it."""
    entry = offer.entry
    return {
        "id": entry.id, "name": entry.name, "makes": entry.kind, "description": entry.description,
        "price": entry.price.model_dump(exclude_none=True), "typical_seconds": entry.typical_seconds,
        "input_schema": entry.input_schema,
    }  # fmt: skip


def told_result(values: dict[str, Any]) -> str:
    """A result as a text, for those who read no structured content."""
    return orjson.dumps(values, default=str, option=orjson.OPT_INDENT_2).decode()


def waiting_words(row: JobRow) -> str:
    """How far a job is, in a few words."""
    if row.run_status != RunStatus.QUEUED:
        return words.waiting(row.reason) if row.reason else "it is being made"
    return f"it waits, {row.ahead} before it" if row.ahead else "it waits for a worker"
