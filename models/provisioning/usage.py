"""What the web client reports of tokens used at providers. A report that comes again counts once."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import IdTaken


class TokenReport(NamedTuple):
    """Tokens used at a provider, and their cost."""

    user_id: str
    provider: str
    tokens_used: int
    cost_minor_units: int
    recorded_at: datetime


class Usage(NamedTuple):
    """A report that is kept; `row_id` is its place among those of the same moment."""

    row_id: UUID
    id: str
    report: TokenReport


_COLUMNS = ", ".join(TokenReport._fields)


def record(conn: Connection[Any], report: TokenReport, usage_id: str | None = None) -> Usage:
    """Keep a report, under the caller's own id if it has one. Under an id that is known the same report counts once; raises
    IdTaken for another one.
    """
    row_id = uuid7()
    wanted = str(row_id) if usage_id is None else usage_id
    marks = ", ".join(["%s"] * (len(report) + 2))
    made = conn.execute(
        f"insert into web_usage (row_id, id, {_COLUMNS}) values ({marks}) on conflict (id) do nothing returning 1",
        [row_id, wanted, *report],
    ).fetchone()
    if made is not None:
        return Usage(row_id, wanted, report)
    row = conn.execute(f"select row_id, id, {_COLUMNS} from web_usage where id = %s", [wanted]).fetchone()
    assert row is not None  # noqa: S101 - nothing deletes one
    known = _of(row)
    if known.report != report:
        raise IdTaken("this id was given to another report; a new one needs a new id, or none", param="entry.id")
    return known


def list_usage(
    conn: Connection[Any], user_id: str, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Usage]:
    """A user's reports, the newest first. `after`: when the last one of the page before was recorded, and its row."""
    at, row_id = after or (None, None)
    rows = conn.execute(
        f"""select row_id, id, {_COLUMNS} from web_usage
             where user_id = %s and (%s::uuid is null or (recorded_at, row_id) < (%s::timestamptz, %s::uuid))
             order by recorded_at desc, row_id desc limit %s""",
        [user_id, row_id, at, row_id, limit],
    ).fetchall()
    return [_of(row) for row in rows]


def _of(row: tuple[Any, ...]) -> Usage:
    return Usage(row[0], row[1], TokenReport(*row[2:]))
