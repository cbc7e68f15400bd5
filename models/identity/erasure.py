"""What becomes of the things of a user who is deleted. The ledger stays: it is the books, and names nobody."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.settings import settings
from models.credits import holds
from models.events.endpoints import refresh_has_webhooks
from models.identity import inbound
from models.jobs import batches
from models.jobs.cancel import cancel
from models.jobs.dispatch import Ring
from models.locks import lock_account

MAX_JOBS = 100  # per transaction: a webhook's sender waits 15 s, and each cancel is about 2 ms; a duty does the rest
MAX_FILES = 5000
MAX_HOLDS = 100
MAX_SESSIONS = 500
MAX_LINES_OF_BATCHES = 5000
COMPANIES = ("xendit", "stripe", "truelayer")  # whose hooks may name a payer
GRACE_SECONDS = 60  # an API process may know the user for a few seconds more, and take an order

# An account's files whose time has not come, found by index.
_RESULTS = """jobs j join assets s on s.job_id = j.id
               where j.account_id = %s and j.ended = 'succeeded' and s.status = 'stored' and s.expires_at > app_now()"""
_SESSIONS = "playground_sessions where account_id = %s"
_UPLOADS = "account_id = %s and status = 'stored' and expires_at > app_now()"


def shut_out(conn: Connection[Any], account_id: UUID) -> None:
    """Erase what somebody who is banned or deleted has left with us that opens doors elsewhere: their keys at providers,
    and their card for refills.
    Attempts under way keep theirs until they end, since only with it can they be asked for or called off.
    """
    lock_account(conn, account_id)
    conn.execute("delete from provider_keys where account_id = %s", [account_id])
    conn.execute("delete from refills where account_id = %s", [account_id])


def erase_account(conn: Connection[Any], account_id: UUID) -> list[Ring]:
    """Revoke an account's keys, erase those at providers, switch its webhooks off, cancel its jobs, end its holds, expire its files and delete its sessions and batches as ON_USER_DELETED says; a
    bounded number of each.

    Returns the jobs to ring after the commit. Run again, it goes on where it stopped.
    """
    shut_out(conn, account_id)
    conn.execute(
        """update api_keys set revoked_at = app_now() where id = any(array(
             select id from api_keys where account_id = %s and revoked_at is null order by id for no key update))""",
        [account_id],
    )
    conn.execute("delete from browser_tokens where account_id = %s", [account_id])
    # Nobody is notified any more; notifications are theirs alone.
    conn.execute(
        """update webhook_endpoints set enabled = false, disabled_reason = 'the user was deleted'
            where account_id = %s and enabled""",
        [account_id],
    )
    refresh_has_webhooks(conn, account_id)
    conn.execute("delete from notifications where account_id = %s", [account_id])
    for company in COMPANIES:
        inbound.erase(conn, company, str(account_id))
    conn.execute("delete from answered_requests where account_id = %s", [account_id])  # they may hold secrets
    # What has no slot goes first: a cancel that frees a slot would give it to a job that is to be canceled too.
    jobs = conn.execute(
        """select job_id from job_runs where account_id = %s and cancel_requested_at is null
            order by dispatched, job_id limit %s""",
        [account_id, MAX_JOBS],
    ).fetchall()
    rings = [ring for (job_id,) in jobs for ring in cancel(conn, job_id).rings]
    holds.end_some(conn, account_id, MAX_HOLDS)
    if settings().on_user_deleted == "expire" or is_asked_for(conn, account_id):
        conn.execute(
            f"update uploads set expires_at = app_now() where id in (select id from uploads where {_UPLOADS} limit %s)",
            [account_id, MAX_FILES],
        )
        # Their time has come: reads answer 410 at once, and the sweep gives the storage back and deletes the objects.
        conn.execute(
            f"update assets set expires_at = app_now() where id in (select s.id from {_RESULTS} limit %s)",
            [account_id, MAX_FILES],
        )
        batches.forget(conn, account_id, MAX_LINES_OF_BATCHES)  # with the client's own names in them
        # What was saved of results outlives them; the house's texts, which summaries have, are nobody's own.
        conn.execute(
            f"""with gone as (
                  delete from playground_sessions where id in (select id from {_SESSIONS} limit %s) returning job_id)
                delete from kept_texts k using gone where k.job_id = gone.job_id and not exists (
                  select 1 from summaries where paragraph_job = k.job_id or implications_job = k.job_id)""",
            [account_id, MAX_SESSIONS],
        )
    return rings


def is_asked_for(conn: Connection[Any], account_id: UUID) -> bool:
    """Whether all of a person is to go, whatever ON_USER_DELETED says."""
    return conn.execute("select 1 from erasures where account_id = %s", [account_id]).fetchone() is not None


class PendingErasure(NamedTuple):
    """A user who is deleted and may have left something; `deleted_at` and `user_id` are its place in the walk."""

    user_id: UUID
    account_id: UUID
    deleted_at: datetime


def pending_erasures(
    conn: Connection[Any], limit: int, *, after: tuple[datetime, UUID] | None = None, without: Sequence[UUID] = ()
) -> list[PendingErasure]:
    """The next pending_erasures, but those with some accounts. Picked without a lock."""
    at, number = after or (None, None)
    rows = conn.execute(
        """select u.id, a.id, u.deleted_at from users u join accounts a on a.user_id = u.id
            where u.deleted_at is not null and u.erased_at is null and not (a.id = any(%s))
              and (%s::uuid is null or (u.deleted_at, u.id) > (%s::timestamptz, %s::uuid))
            order by u.deleted_at, u.id limit %s""",
        [list(without), number, at, number, limit],
    ).fetchall()
    return [PendingErasure(*row) for row in rows]


def confirm_erased(conn: Connection[Any], user_id: UUID, account_id: UUID) -> bool:
    """Note that nothing is left of a user: no living job, no open hold, no file, session or batch that should be gone, and no process knows them."""
    return bool(
        conn.execute(
            f"""update users set erased_at = app_now()
                where id = %s and erased_at is null and deleted_at < app_now() - make_interval(secs => %s)
                  and not exists (select 1 from job_runs where account_id = %s)
                  and not exists (select 1 from holds where account_id = %s and ended is null)
                  and (%s or not exists (select 1 from {_RESULTS})
                             and not exists (select 1 from uploads where {_UPLOADS})
                             and not exists (select 1 from {_SESSIONS})
                             and not exists (select 1 from batches where account_id = %s))""",
            [
                user_id,
                GRACE_SECONDS,
                account_id,
                account_id,
                settings().on_user_deleted == "keep" and not is_asked_for(conn, account_id),
                account_id,
                account_id,
                account_id,
                account_id,
            ],
        ).rowcount
    )
