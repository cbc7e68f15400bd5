"""Cursors of lists that are ordered by time and id: opaque to clients, refused if they are not ours."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

from common.errors import InvalidRequest, NotFound


def cursor_of(at: datetime, id_: UUID) -> str:
    """Where the next page begins."""
    return base64.urlsafe_b64encode(f"{at.isoformat()} {id_}".encode()).rstrip(b"=").decode()


def read_cursor(text: str) -> tuple[datetime, UUID]:
    """Raises InvalidRequest."""
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        at, _, id_ = plain.partition(" ")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError  # noqa: TRY301 - refused below, like whatever else is no cursor
        return moment, UUID(id_)
    except (binascii.Error, ValueError):
        raise InvalidRequest("cursor is not one that this API gave out", param="cursor") from None


def id_of(text: str, what: str) -> UUID:
    """An id out of a path. Raises NotFound for a text that is none: to a client both are nothing here."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"no {what} {text[:40]!r}", param="id") from None
