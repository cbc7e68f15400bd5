"""A batch on its way in: from its body on disk to orders that are checked. A line that is no good says why, and harms no other."""

from typing import IO, Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError
from uuid_utils.compat import uuid7

from api.catalogue import Catalogue
from api.edge.problems import first_of
from api.orders.batched import lines_of, read_line
from api.v1.jobs import webhook_of
from api.v1.jobs_shapes import JobRequest
from common.errors import DomainError, InvalidInput
from models.access import scopes
from models.access.scopes import Caller
from models.jobs.admission import Order
from models.jobs.batch_rows import MAX_CUSTOM_ID
from models.jobs.batches import BEHIND, Line

_CustomId = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=MAX_CUSTOM_ID,
        pattern=r"^[^\x00-\x1f]+$",
        description="Your own name for the line: once in a batch.",
    ),
]


class BatchedOrder(JobRequest):
    """One line of a batch: an order as `POST /v1/jobs` takes it. Its queue is `batch`, if it names none."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"custom_id": "a-1", "model": "sketch-image", "input": {"prompt": "a harbour at dawn"}}]
        },
    )

    custom_id: _CustomId = None


class Desk(NamedTuple):
    """What lines are checked against."""

    who: Caller
    catalogue: Catalogue
    line_bytes: int  # the most that a line may have


def check_lines(desk: Desk, file: IO[bytes]) -> list[Line]:
    """All lines, each with its order or what is wrong with it. Raises as `lines_of`. Synchronous: it takes half a second for the
    most that there can be.
    """
    file.seek(0)
    named = dict[str, int]()
    return [_checked(desk, number, raw, named) for number, raw in lines_of(file)]


def _checked(desk: Desk, number: int, raw: bytes, named: dict[str, int]) -> Line:
    custom_id = None
    try:
        body = read_line(raw, desk.line_bytes)
        custom_id = _name_of(body)
        if custom_id is not None and named.setdefault(custom_id, number) != number:
            raise InvalidInput(f"custom_id {custom_id!r} is that of line {named[custom_id]} already", param="custom_id")
        return Line(number, custom_id, _order(desk, body))
    except DomainError as error:
        return Line(number, custom_id, error)


def _name_of(body: dict[str, Any]) -> str | None:
    """The line's name, if it is one: what is wrong with it is said with the line."""
    given = body.get("custom_id")
    if not isinstance(given, str) or not 0 < len(given) <= MAX_CUSTOM_ID:
        return None
    return given if min(given) >= " " else None


def _order(desk: Desk, body: dict[str, Any]) -> Order:
    try:
        wanted = BatchedOrder.model_validate(body)
    except ValidationError as error:
        place, detail = first_of(error.errors(include_url=False))
        raise InvalidInput(detail, param=place) from None
    who = desk.who
    scopes.check_model(who, wanted.model)
    offer = desk.catalogue.named(wanted.model)
    return Order(
        uuid7(), who.account_id, offer, offer.checked(wanted.input), priority=wanted.priority - BEHIND,
        queue=wanted.queue or "batch", api_key_id=who.key_id, key_budget=who.monthly_credits,
        webhook=webhook_of(who, wanted), labels=wanted.labels,
    )  # fmt: skip
