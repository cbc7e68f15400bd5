"""What operators do with accounts by hand: open, suspend, resume, give credits, take them back. Each act has its reason."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.accounts.accounts import UserRow, open_account, user
from models.credits import giving, ledger, revoking
from models.credits.ledger import ANY_USE, GRANT_KINDS, Fund, GrantTerms
from models.locks import read_locked


def open_by_hand(
    conn: Connection[Any], by: By, *, issuer: str, subject: str, email: str | None, plan: str
) -> tuple[UserRow, bool]:
    """Find or open an account. Returns it, and whether it is new. Raises NotFound for a plan that there is not."""
    account_id, new = open_account(conn, issuer=issuer, subject=subject, default_plan=plan, email=email)
    row = conn.execute("select user_id from accounts where id = %s", [account_id]).fetchone()
    assert row is not None  # noqa: S101 - it was found or opened just now
    if new:
        audit_log.record(conn, by, "account.open", str(account_id), issuer=issuer, plan=plan)
    return user(conn, row[0]), new


def suspend(conn: Connection[Any], by: By, user_id: UUID, reason: str) -> None:
    """Let nobody in as this user, within five seconds everywhere; jobs that run go on. Again it changes nothing."""
    _set_suspended(conn, by, user_id, reason, on=True)


def resume(conn: Connection[Any], by: By, user_id: UUID, reason: str) -> None:
    """Let them in again. Again it changes nothing."""
    _set_suspended(conn, by, user_id, reason, on=False)


def _set_suspended(conn: Connection[Any], by: By, user_id: UUID, reason: str, *, on: bool) -> None:
    row = conn.execute("select a.id from accounts a where a.user_id = %s", [user_id]).fetchone()
    if row is None or read_locked(conn, row[0], "a.id") is None:  # under the lock, as whatever outlives a request
        raise NotFound(f"no user {user_id}", param="id")
    changed = conn.execute(
        """update users set suspended_at = case when %(on)s then app_now() end
            where id = %(id)s and (suspended_at is null) = %(on)s""",
        {"on": on, "id": user_id},
    ).rowcount
    if changed:
        audit_log.record(conn, by, "user.suspend" if on else "user.resume", str(user_id), reason=reason)


def give_credits(
    conn: Connection[Any],
    by: By,
    account_id: UUID,
    amount: int,
    reason: str,
    *,
    kind: str = "gift",
    ref: str | None = None,
    expires_at: datetime | None = None,
    job_id: UUID | None = None,
    terms: GrantTerms = ANY_USE,
) -> UUID | None:
    """Grant credits by hand, once per `ref`. Returns the grant, or None where that ref was granted before."""
    if kind not in GRANT_KINDS:
        raise InvalidInput(f"kind is one of {', '.join(GRANT_KINDS)}", param="kind")
    return giving.give(
        conn, by, account_id, kind=kind, amount=amount, ref=ref or f"hand:{uuid7()}", reason=reason, expires_at=expires_at,
        job_id=job_id, terms=terms,
    )  # fmt: skip


def take_credits(conn: Connection[Any], by: By, account_id: UUID, amount: int, reason: str) -> None:
    """Take credits back by hand, of what is available; those that would be used last go first. Raises NotFound, and
    InvalidInput for more than there is: what was spent is taken back with its payment.
    """
    if read_locked(conn, account_id, "a.id") is None:
        raise NotFound(f"no account {account_id}", param="id")
    ledger.expire_lapsed(conn, [account_id])
    rows = conn.execute(
        # What was taken back while a job held it is owed already, also when the job has returned it.
        """select id, least(remaining, amount - taken_back) from grants
            where account_id = %s and open and amount > taken_back order by priority, expires_at desc nulls first, id desc""",
        [account_id],
    ).fetchall()
    funds = [Fund(*row) for row in rows]
    there = sum(each.remaining for each in funds)
    if amount > there:
        raise InvalidInput(f"{amount} credits cannot be taken back; {there} can", param="amount")
    for lot in ledger.allocate(funds, amount):
        revoking.take_back(conn, lot.grant_id, lot.amount, by_hand=True)
    audit_log.record(conn, by, "credits.take_back", str(account_id), amount=amount, reason=reason)
