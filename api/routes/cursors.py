"""Lists over HTTP: each takes `limit` and `cursor` and answers `{"data": […], "next": …}`; `next` is the cursor of the page that
follows, and null on the last one.

A cursor names its list, and where in it a page ended, and is signed. It guards nothing: whoever has one reaches rows that are
theirs already. But what this API did not give out for this very list is refused, since a place that is made up or damaged
would leave rows out without a word.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from common.errors import BadCursor, InvalidParameter, NotFound
from common.settings import settings

MAX_LIMIT = 100
MAX_CURSOR_CHARACTERS = 500  # the place after a label of 64 characters outside of ASCII has 414
MAX_NUMBER = 2**62
SIGNATURE_BYTES = 8

Shown = TypeVar("Shown")
Position = TypeVar("Position")  # what tells where in a list a row stands
Listed = TypeVar("Listed")

PageLimit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")]
Cursor = Annotated[
    str | None,
    Query(
        description="The `next` of the page before; the first page has none.",
        json_schema_extra={"maxLength": MAX_CURSOR_CHARACTERS},
    ),
]


class ListPage(BaseModel, Generic[Shown]):
    """One page of a list."""

    data: list[Shown]
    next: Annotated[
        str | None, Field(description="Send it as `cursor` for the page that follows. Null: this is the last.")
    ]


class WantedPage(NamedTuple, Generic[Position]):
    """The page that a client asks for."""

    after: Position | None  # where the page before ended
    limit: int

    @property
    def reads(self) -> int:
        """How many rows to read: one more than are shown says that there are more."""
        return self.limit + 1


class Listing(Generic[Position]):
    """One list, and the cursors that are its own. `read` makes a place of its text, and raises ValueError for any other."""

    def __init__(
        self, name: str, read: Callable[[str], Position], write: Callable[[Position], str] = str, *, usual: int = 20
    ) -> None:
        self.name, self._read, self._write, self._usual = name, read, write, usual

    @property
    def wanted(self) -> Callable[..., Coroutine[Any, Any, WantedPage[Position]]]:
        """A FastAPI dependency: the page that a client asks for. Raises BadCursor."""

        async def wanted(cursor: Cursor = None, limit: PageLimit = self._usual) -> WantedPage[Position]:
            return self._wanted(cursor, limit)

        return wanted

    def wanted_by(self, request: Request) -> WantedPage[Position]:
        """The same where no dependency has read the request. Raises BadCursor, InvalidParameter."""
        cursor, limit = request.query_params.get("cursor"), request.query_params.get("limit", str(self._usual))
        if not re.fullmatch("[0-9]{1,4}", limit) or not 1 <= int(limit) <= MAX_LIMIT:
            raise InvalidParameter(f"limit must be between 1 and {MAX_LIMIT}", param="limit")
        return self._wanted(cursor, int(limit))

    def _wanted(self, cursor: str | None, limit: int) -> WantedPage[Position]:
        return WantedPage(None if cursor is None else self.place_of(cursor), min(limit, settings().page_size_max))

    def cursor_of(self, place: Position) -> str:
        """The cursor of the page that begins after this place."""
        text = f"{self.name} {self._write(place)}".encode()
        secret = settings().secret_key.get_secret_value().encode()
        signature = hmac.digest(secret, b"headrace cursor\n" + text, hashlib.sha256)[:SIGNATURE_BYTES]
        return base64.urlsafe_b64encode(signature + text).rstrip(b"=").decode()

    def place_of(self, cursor: str) -> Position:
        """Raises BadCursor for a text that is not exactly what `cursor_of` writes."""
        try:
            if len(cursor) > MAX_CURSOR_CHARACTERS:
                raise ValueError  # noqa: TRY301 - refused below, like whatever else is no cursor
            plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            place = self._read(plain[SIGNATURE_BYTES:].decode().partition(" ")[2])
            if self.cursor_of(place) != cursor:
                raise ValueError  # noqa: TRY301 - refused below, like whatever else is no cursor
        except (binascii.Error, ValueError):
            raise BadCursor("cursor is not one that this API gave out for this list", param="cursor") from None
        return place

    def page(
        self,
        rows: Sequence[Listed],
        wanted: WantedPage[Position],
        place: Callable[[Listed], Position],
        view: Callable[[Listed], Any],
    ) -> dict[str, Any]:
        """What is answered of `wanted.reads` rows."""
        shown = rows[: wanted.limit]
        following = self.cursor_of(place(shown[-1])) if len(rows) > wanted.limit else None
        return {"data": [view(row) for row in shown], "next": following}


PathId = Annotated[str, Path(json_schema_extra={"format": "uuid"})]


def number_of(text: str) -> int:
    """Raises ValueError for what is no number that the database could have given out."""
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > MAX_NUMBER:
        raise ValueError
    return int(text)


def name_of(text: str) -> str:
    """Raises ValueError for what cannot be a name."""
    if not text or not text.isprintable():
        raise ValueError
    return text


def moment_and_id_of(text: str) -> tuple[datetime, UUID]:
    """Raises ValueError."""
    at, _, id_ = text.partition(" ")
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError
    return moment, UUID(id_)


def moment_and_id_text(place: tuple[datetime, UUID]) -> str:
    return f"{place[0].isoformat()} {place[1]}"


def id_of(text: str, what: str) -> UUID:
    """An id out of a path, which is a `PathId` and checked here: to a client that has no such thing, a text that is no id is
    nothing either. Raises NotFound.
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"no {what} {text[:40]!r}", param="id") from None


def whole_of(text: str, what: str, *, least: int, most: int) -> int:
    """A whole number that names something in a path; like an id, a text that is none names nothing. `what`: the parameter's name.
    Raises NotFound.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise NotFound(
            f"no {what} {text[:40]!r} ({len(text)} characters): it is a whole number from {least} to {most}", param=what
        )
    return int(text)
