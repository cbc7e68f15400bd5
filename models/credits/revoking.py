"""Credits that are taken back: a grant as a whole, or part of one (correction, refund, chargeback). What is there no more becomes
the account's debt.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidRequest, NotFound
from models.credits.ledger import enter, tell_if_low
from models.events import events
from models.locks import read_locked


def revoke(conn: Connection[Any], grant_id: UUID) -> int:
    """Take a grant back (correction, chargeback). What was spent of it, and what it paid of an earlier debt, becomes the
    account's debt; what a job still holds follows when that job ends (`follow_revoked`); what has expired is gone and
    owed by nobody. Returns the credits of debt added.
    """
    row = conn.execute("select account_id from grants where id = %s", [grant_id]).fetchone()
    if row is None:
        raise NotFound(f"no grant {grant_id}")
    account_id: UUID = row[0]
    available, reserved = _locked_sums(conn, account_id)
    # Its uses are found by way of the account's jobs: nothing else asks for them, so no submit pays for an index.
    remaining, spent, paid, already = _one(
        conn,
        """select g.remaining,
                  (select coalesce(sum(l.settled), 0)::bigint
                     from jobs j join reservation_grants l on l.job_id = j.id
                    where (j.account_id = g.account_id or j.past_account_id = g.account_id) and l.grant_id = g.id)
                  + (select coalesce(sum(h.settled), 0)::bigint from hold_grants h where h.grant_id = g.id),
                  (select coalesce(sum(e.amount), 0)::bigint from ledger_entries e
                    where e.account_id = g.account_id and e.grant_id = g.id and e.kind = 'revoke'), g.revoked_at
             from grants g where g.id = %s""",
        [grant_id],
    )
    if already:
        return 0
    rest = _one(
        conn, "select case when taken_back > 0 then amount - taken_back end from grants where id = %s", [grant_id]
    )[0]
    if rest is not None:  # some of it was taken back already: so is the rest, in the same way
        return take_back(conn, grant_id, rest) if rest else 0
    conn.execute("update grants set remaining = 0, revoked_at = app_now() where id = %s", [grant_id])
    if remaining:
        available -= remaining
        enter(conn, account_id, "revoke", remaining, available, reserved, grant_id=grant_id)
    debt: int = spent + paid
    conn.execute("update accounts set available = %s, debt = debt + %s where id = %s", [available, debt, account_id])
    _tell_revoked(conn, account_id, remaining, available, debt)
    return debt


def take_back(conn: Connection[Any], grant_id: UUID, amount: int, *, by_hand: bool = False) -> int:
    """Take so many credits of a grant back; any number of times, up to all of it. First what remains of it, then what was
    spent of it, is held by jobs, or has paid a debt: that becomes the account's debt at once. What has expired, or was
    revoked, is gone and owed by nobody. Returns the credits of debt added.

    Raises InvalidRequest for more than is left to take.
    """
    row = conn.execute("select account_id from grants where id = %s", [grant_id]).fetchone()
    if row is None:
        raise NotFound(f"no grant {grant_id}")
    account_id: UUID = row[0]
    available, reserved = _locked_sums(conn, account_id)
    remaining, left, owed, reclaimed, revoked_at, used, revoked = _one(
        conn,
        """select g.remaining, g.amount - g.taken_back, g.taken_owed, g.taken_back - g.taken_owed - g.taken_gone, g.revoked_at,
                  (select coalesce(sum(coalesce(l.settled, l.amount)), 0)::bigint
                     from jobs j join reservation_grants l on l.job_id = j.id
                    where (j.account_id = g.account_id or j.past_account_id = g.account_id) and l.grant_id = g.id)
                  + (select coalesce(sum(h.amount - h.released), 0)::bigint from hold_grants h where h.grant_id = g.id),
                  (select coalesce(sum(e.amount), 0)::bigint from ledger_entries e
                    where e.account_id = g.account_id and e.grant_id = g.id and e.kind = 'revoke')
             from grants g where g.id = %s""",
        [grant_id],
    )
    if not 1 <= amount <= left:
        raise InvalidRequest(f"{amount} credits cannot be taken back of this grant; {left} can", param="amount")
    taken = min(remaining, amount)
    # Of a revoked grant all is revoked, or follows when its jobs end.
    debt = 0 if revoked_at else min(amount - taken, max(0, used + revoked - reclaimed - owed))
    conn.execute(
        """update grants set remaining = remaining - %s, taken_back = taken_back + %s, taken_owed = taken_owed + %s,
                  taken_gone = taken_gone + %s, taken_by_hand = taken_by_hand + %s where id = %s""",
        [taken, amount, debt, amount - taken - debt, amount if by_hand else 0, grant_id],
    )
    if taken:
        available -= taken
        enter(conn, account_id, "revoke", taken, available, reserved, grant_id=grant_id)
    conn.execute("update accounts set available = %s, debt = debt + %s where id = %s", [available, debt, account_id])
    _tell_revoked(conn, account_id, taken, available, debt)
    return debt


def _tell_revoked(conn: Connection[Any], account_id: UUID, amount: int, available: int, debt: int) -> None:
    data = {"amount": amount, "debt_added": debt, "available": available}
    events.add(conn, account_id, "credits.revoked", data)
    tell_if_low(conn, account_id, available + amount, available)


def follow_revoked(conn: Connection[Any], account_id: UUID, grant_id: UUID, *, spent: int, returned: int) -> None:
    """A job that held credits of a revoked grant has ended: what it spent is debt, what came back is revoked too.

    The caller holds the account's lock and has moved `returned` to available, but not to the grant.
    """
    available, reserved = _locked_sums(conn, account_id)
    if returned:
        available -= returned
        enter(conn, account_id, "revoke", returned, available, reserved, grant_id=grant_id)
    conn.execute("update accounts set available = %s, debt = debt + %s where id = %s", [available, spent, account_id])
    _tell_revoked(conn, account_id, returned, available, spent)


def _one(conn: Connection[Any], statement: str, values: Sequence[Any]) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = conn.execute(statement, values).fetchone()
    if row is None:
        raise NotFound("the row is gone")
    return row


def _locked_sums(conn: Connection[Any], account_id: UUID) -> tuple[int, int]:
    sums = read_locked(conn, account_id, "a.available, a.reserved")
    assert sums is not None  # noqa: S101 - a grant's account is held by a foreign key
    return sums[0], sums[1]
