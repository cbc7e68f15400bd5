"""Reads of balances, grants and the ledger, as plain rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.credits.ledger import ORDER_OF_USE, Fund, expire_lapsed
from models.locks import lock_accounts


class Balance(NamedTuple):
    """An account's credits and plan."""

    available: int
    reserved: int
    debt: int
    plan_id: str
    storage_bytes: int
    storage_quota_bytes: int
    slots: int
    slots_in_use: int
    event_number: int  # of the newest event that this includes


def expire_and_read_balance(conn: Connection[Any], account_id: UUID) -> Balance:
    """What is really usable. Lapsed grants are expired first, which locks the account, unless somebody holds it: a look
    waits for nobody, and then they are only not counted.
    """
    lapsed = conn.execute(
        "select 1 from grants where account_id = %s and open and expires_at <= app_now() limit 1", [account_id]
    ).fetchone()
    if lapsed and lock_accounts(conn, [account_id], skip_locked=True):
        expire_lapsed(conn, [account_id])
    row = conn.execute(
        """select a.available - (select coalesce(sum(g.remaining), 0)::bigint from grants g
                                  where g.account_id = a.id and g.open and g.expires_at <= app_now()), a.reserved, a.debt, a.plan_id, a.storage_bytes, p.storage_quota_bytes, p.slots, a.slots_in_use, a.event_number
             from accounts a join plans p on p.id = a.plan_id where a.id = %s""",
        [account_id],
    ).fetchone()
    assert row is not None  # noqa: S101 - a key's account is held by a foreign key
    return Balance(*row)


def open_funds(conn: Connection[Any], account_id: UUID) -> list[Fund]:
    """What may be taken from, in the order of use: grants with credits left that have not lapsed."""
    rows = conn.execute(
        f"""select id, remaining, models, kinds from grants
             where account_id = %s and open and (expires_at is null or expires_at > app_now()) order by {ORDER_OF_USE}""",
        [account_id],
    ).fetchall()
    return [Fund(*row) for row in rows]


def credit_alerts(conn: Connection[Any], account_id: UUID) -> list[int] | None:
    """The limits that an account wants to be told of, highest first; None: it has none of its own."""
    row = conn.execute("select credit_alerts from accounts where id = %s", [account_id]).fetchone()
    return row[0] if row else None


def choose_alerts(conn: Connection[Any], account_id: UUID, limits: list[int] | None) -> None:
    """Tell an account of these limits from now on."""
    lock_accounts(conn, [account_id])
    conn.execute("update accounts set credit_alerts = %s where id = %s", [limits, account_id])


def balances(conn: Connection[Any], account_ids: Sequence[UUID]) -> list[dict[str, int]]:
    """Available, reserved and debt of these accounts, in order, with the number of the newest event they include."""
    names = ("available", "reserved", "debt", "event_number")
    rows = conn.execute(
        f"select id, {', '.join(names)} from accounts where id = any(%s)", [list(account_ids)]
    ).fetchall()
    found = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
    return [dict(found[account_id]) for account_id in account_ids]


class GrantPlace(NamedTuple):
    """Where a grant stands in the order of use."""

    priority: int
    expires_at: datetime | None
    id: UUID


def open_grants(
    conn: Connection[Any], account_id: UUID, *, after: GrantPlace | None, limit: int
) -> list[dict[str, Any]]:
    """Grants with credits left, in the order of use, from the one after `after`."""
    names = (
        "id", "kind", "amount", "remaining", "expires_at", "priority", "models", "kinds", "paid_per_credit", "paid_currency"
    )  # fmt: skip
    place, values = "true", list[Any]()
    if after is not None:
        place = (
            "(-priority, coalesce(expires_at, 'infinity'), id) > (-%s::int, coalesce(%s::timestamptz, 'infinity'), %s)"
        )
        values = [after.priority, after.expires_at, after.id]
    rows = conn.execute(
        f"""select {", ".join(names)} from grants where account_id = %s and open
               and (expires_at is null or expires_at > app_now()) and {place} order by {ORDER_OF_USE} limit %s""",
        [account_id, *values, limit],
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def ledger_page(conn: Connection[Any], account_id: UUID, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Ledger entries, newest first, from the one before `before`."""
    names = [
        "id",
        "kind",
        "amount",
        "from_bucket",
        "to_bucket",
        "job_id",
        "hold_id",
        "grant_id",
        "available_after",
        "reserved_after",
        "created_at",
    ]
    rows = conn.execute(
        f"""select {", ".join(names)} from ledger_entries where account_id = %s and id < %s order by id desc limit %s""",
        [account_id, before if before is not None else 2**63 - 1, limit],
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def entries_of_job(conn: Connection[Any], job_id: UUID) -> list[dict[str, Any]]:
    """A job's ledger entries, oldest first."""
    names = ["id", "kind", "amount", "from_bucket", "to_bucket", "available_after", "reserved_after", "created_at"]
    rows = conn.execute(
        f"select {', '.join(names)} from ledger_entries where job_id = %s order by id", [job_id]
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]
