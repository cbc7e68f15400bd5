"""Webhooks of all accounts, for operators: who receives, and who has failed to."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

LOOKED_AT = 10_000


class Receiver(NamedTuple):
    """An endpoint, whose it is, and how its line stands."""

    id: UUID
    account_id: UUID
    owner: str | None
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    failures: int
    wake_at: datetime | None
    created_at: datetime


_RECEIVER = """
select e.id, e.account_id, coalesce(u.email, u.subject), e.url, e.events, e.enabled, e.disabled_reason, e.failing_since,
       coalesce(q.failures, 0), q.wake_at, e.created_at
  from {source} e join accounts a on a.id = e.account_id left join users u on u.id = a.user_id
  left join delivery_queues q on q.id = e.id"""


def list_receivers(
    conn: Connection[Any],
    *,
    before: UUID | None = None,
    account_id: UUID | None = None,
    troubled: bool = False,
    limit: int = 25,
) -> tuple[list[Receiver], UUID | None]:
    """Endpoints, newest first, of all accounts or of one; and where to go on. `troubled`: only those that are off, or fail.
    However many there are, one look reads ten thousand of them.
    """
    where, values = ["true"], list[Any]()
    if account_id is not None:
        where.append("account_id = %s")
        values.append(account_id)
    if before is not None:
        where.append("id < %s")
        values.append(before)
    look = f"select * from webhook_endpoints where {' and '.join(where)} order by id desc"
    fits = "(not e.enabled or e.failing_since is not null)" if troubled else "true"
    rows = conn.execute(
        f"{_RECEIVER.format(source=f'({look} limit {LOOKED_AT})')} where {fits} order by e.id desc limit %s",
        [*values, limit + 1],
    ).fetchall()
    found = [Receiver(*row) for row in rows]
    if len(found) > limit:
        return found[:limit], found[limit - 1].id
    last = conn.execute(f"select id from ({look} limit 1 offset {LOOKED_AT - 1}) w", values).fetchone()
    return found, last[0] if last else None


def find_receiver(conn: Connection[Any], endpoint_id: UUID) -> Receiver | None:
    """One endpoint."""
    row = conn.execute(f"{_RECEIVER.format(source='webhook_endpoints')} where e.id = %s", [endpoint_id]).fetchone()
    return None if row is None else Receiver(*row)
