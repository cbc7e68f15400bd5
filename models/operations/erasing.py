"""Erasing a person, because they or the law ask for it: `headrace erase`, `POST /v1/admin/accounts/{id}/erase`.

They become a tombstone at once, as one whom the identity provider has deleted: nobody is let in, and `clear_deleted` takes what is
theirs alone (files, gallery, sessions, batches, whatever ON_USER_DELETED says). A duty erases the rest bit by bit: what
they wrote in jobs, addresses, names. The ledger, payments and what the books need stay; so does the audit log. They name nobody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import ActRefused, NotFound
from common.settings import settings
from models.access import audit_log
from models.access.audit_log import By
from models.identity import erasure, inbound
from models.jobs.dispatch import Ring
from models.locks import lock_account
from models.operations.forgetting import erase_texts

JOBS_AT_ONCE = 500
ROWS_AT_ONCE = 2_000
MAX_COUNTED = 100_000  # of each kind, by the dry run

_JOBS = "jobs where account_id = %(account)s and input_erased_at is null"
_RESULTS = "assets where account_id = %(account)s and status = 'stored'"
# What is counted before: rows of each kind that go.
_GOES = {
    "prompts": _JOBS,
    "living_jobs": "job_runs where account_id = %(account)s",
    "results": _RESULTS,
    "uploads": "uploads where account_id = %(account)s and status = 'stored'",
    "gallery_items": "gallery_items where account_id = %(account)s",
    "collections": "collections where account_id = %(account)s",
    "playground_sessions": "playground_sessions where account_id = %(account)s",
    "batches": "batches where account_id = %(account)s",
    "keys": "api_keys where account_id = %(account)s and revoked_at is null",
    "webhooks": "webhook_endpoints where account_id = %(account)s",
    "notifications": "notifications where account_id = %(account)s",
    "quiz_attempts": "quiz_attempts where account_id = %(account)s",
}
# What is theirs and small, or bounded by its own limits.
_SMALL = (
    "delete from webhook_endpoints where account_id = %(account)s",
    "delete from webhook_secrets where account_id = %(account)s",
    "delete from idempotency_keys where account_id = %(account)s",
    "update api_keys set name = 'erased' where account_id = %(account)s and name <> 'erased'",
    """delete from web_credentials where user_id = (
         select u.subject from users u join accounts a on a.user_id = u.id where a.id = %(account)s)""",
)
# So many rows at once, until there are none.
_MANY = (
    """delete from deliveries d using (
         select id, created_at from deliveries where account_id = %(account)s and status <> 'pending' limit %(limit)s) x
        where d.id = x.id and d.created_at = x.created_at""",
    "delete from quiz_attempts where id = any(array(select id from quiz_attempts where account_id = %(account)s limit %(limit)s))",
)


class WouldErase(NamedTuple):
    """What goes, counted to MAX_COUNTED each; and where it stands, once it has begun."""

    account_id: UUID
    user_id: UUID
    goes: dict[str, int]
    available_credits: int  # that nobody can spend any more
    begun_at: datetime | None
    finished_at: datetime | None


def preview(conn: Connection[Any], account_id: UUID) -> WouldErase:
    """The dry run. Raises NotFound."""
    row = conn.execute(
        """select a.user_id, a.available, e.created_at, e.finished_at from accounts a left join erasures e on e.account_id = a.id
            where a.id = %s""",
        [account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no account {account_id}", param="id")
    goes = {}
    for name, what in _GOES.items():
        counted = conn.execute(
            f"select count(*) from (select 1 from {what} limit {MAX_COUNTED}) x", {"account": account_id}
        ).fetchone()
        goes[name] = counted[0] if counted else 0
    return WouldErase(account_id, row[0], goes, *row[1:])


def begin(conn: Connection[Any], by: By, account_id: UUID, reason: str) -> list[Ring]:
    """Erase a person: at once who they are and what lets them in, the rest by duties. Again it changes nothing.

    Returns the jobs to ring after the commit. Raises NotFound, and ActRefused for the house's own account.
    """
    if account_id == settings().house_account:
        raise ActRefused("this is the house's own account: summaries hang on it", param="id", why="house_account")
    if not lock_account(conn, account_id):
        raise NotFound(f"no account {account_id}", param="id")
    new = conn.execute(
        "insert into erasures (account_id) values (%s) on conflict do nothing returning 1", [account_id]
    ).fetchone()
    if new is None:
        return []
    # Invitations that they have not taken name them by address alone.
    conn.execute(
        """delete from collection_members m using accounts a join users u on u.id = a.user_id
            where a.id = %s and m.account_id is null and m.email = u.email""",
        [account_id],
    )
    row = conn.execute(
        """update users u set deleted_at = coalesce(u.deleted_at, app_now()), erased_at = null, email = null, first_name = null, last_name = null,
                  preferences = '{}', banned = false, updated_at_provider = null
             from accounts a where a.id = %s and u.id = a.user_id returning u.subject""",
        [account_id],
    ).fetchone()
    assert row is not None  # noqa: S101 - every account has its user
    inbound.erase(conn, "clerk", row[0])
    audit_log.record(conn, by, "account.erase", str(account_id), reason=reason)
    return erasure.erase_account(conn, account_id)


def pending(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[UUID]:
    """Accounts of which something may be left. Picked without a lock."""
    rows = conn.execute(
        "select account_id from erasures where finished_at is null and not (account_id = any(%s)) order by account_id limit %s",
        [list(without), limit],
    ).fetchall()
    return [row[0] for row in rows]


def go_on(conn: Connection[Any], account_id: UUID) -> bool:
    """Erase the next bit, under the account's lock. Returns whether anything was done. Run again, it goes on where it stopped."""
    if conn.execute("select 1 from job_runs where account_id = %s limit 1", [account_id]).fetchone():
        return False  # `clear_deleted` cancels them; what runs is let end
    jobs = conn.execute(
        """select id from jobs where account_id = %(account)s
              and id > coalesce((select place from erasures where account_id = %(account)s), '00000000-0000-0000-0000-000000000000')
            order by id limit %(limit)s""",
        {"account": account_id, "limit": JOBS_AT_ONCE},
    ).fetchall()
    if jobs:
        ids = [row[0] for row in jobs]
        conn.execute("delete from playground_sessions where job_id = any(%s)", [ids])
        erase_texts(conn, ids)
        conn.execute(
            "update jobs set webhook = null where id = any(%s) and webhook is not null and ended is not null", [ids]
        )
        conn.execute("update erasures set place = %s where account_id = %s", [ids[-1], account_id])
        return True
    values = {"account": account_id, "limit": ROWS_AT_ONCE}
    done = sum(conn.execute(each, values).rowcount for each in (*_SMALL, *_MANY))
    return bool(done) or _finish(conn, account_id)


def _finish(conn: Connection[Any], account_id: UUID) -> bool:
    """Note that nothing is left, once `clear_deleted` and the sweep of files say the same."""
    return bool(
        conn.execute(
            f"""update erasures x set finished_at = app_now()
                 where x.account_id = %(account)s and x.finished_at is null and not exists (select 1 from {_RESULTS})
                   and not exists (select 1 from deliveries d where d.account_id = %(account)s)
                   and exists (select 1 from accounts a join users u on u.id = a.user_id where a.id = x.account_id and u.erased_at is not null)""",
            {"account": account_id},
        ).rowcount
    )
