"""What is stored of one account, as JSON Lines, page by page: between two of them neither a thread nor a connection is held."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from api.turns.places import Place
from models.db import transaction
from models.operations import exporting
from models.operations.exporting import START, ExportPlace, Subject


class ExportedThing(BaseModel):
    """One line: what kind of thing it is, and what is stored of it. The last is of the kind `end`, with the number of `lines` before
    it: without it the export broke off.
    """

    kind: str
    data: dict[str, Any]


class ExportLines(StreamingResponse):
    """JSON Lines, as they are read."""

    media_type = "application/x-ndjson"


async def export(place: Place, account_id: UUID) -> ExportLines:
    """All of it. Raises NotFound before anything is sent."""
    who = await place.run(partial(_find, account_id))
    name = f'attachment; filename="headrace-{account_id}.jsonl"'
    return ExportLines(_written(place, who), headers={"content-disposition": name, "cache-control": "no-store"})


def _find(account_id: UUID) -> Subject:
    with transaction() as conn:
        return exporting.find(conn, account_id)


def _page(who: Subject, place: ExportPlace) -> tuple[bytes, int, ExportPlace | None]:
    with transaction() as conn:
        lines, following = exporting.next_lines(conn, who, place)
    return b"".join(orjson.dumps(each) + b"\n" for each in lines), len(lines), following


async def _written(place: Place, who: Subject) -> AsyncIterator[bytes]:
    following: ExportPlace | None = START
    count = 0
    while following is not None:
        text, rows, following = await place.run(partial(_page, who, following))
        count += rows
        if text:
            yield text
    yield orjson.dumps({"kind": "end", "data": {"lines": count}}) + b"\n"
