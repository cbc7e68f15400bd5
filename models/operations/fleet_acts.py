"""What operators do to providers, worker processes and deliveries. Each has its reason, and is in the audit log with it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import ActRefused, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.catalogue.providers import BUILT_IN
from models.events import deliveries
from models.fleet import processes
from models.operations.story import story


def order_provider_act(conn: Connection[Any], by: By, provider: str, action: str, reason: str, **details: Any) -> None:
    """Write down that a provider is to be rested or woken, which is done in Redis after the commit. Raises NotFound."""
    if provider == BUILT_IN:
        raise ActRefused("the built-in provider has no limits and never rests; pause it", param="provider")
    if conn.execute("select 1 from providers where name = %s", [provider]).fetchone() is None:
        raise NotFound(f"no provider {provider[:100]!r}", param="provider")
    audit_log.record(conn, by, action, f"provider:{provider}", reason=reason, **details)


def drain_worker(conn: Connection[Any], by: By, worker_id: str, reason: str) -> None:
    """Have a worker process take no more jobs, and end once those that it is at have come to theirs. Again it changes nothing.
    Raises NotFound.
    """
    changed = processes.drain(conn, worker_id)
    if changed is None:
        raise NotFound(f"no worker {worker_id[:100]!r} has been heard of", param="worker_id")
    if changed:
        audit_log.record(conn, by, "worker.drain", worker_id[:300], reason=reason)


def replay_job(conn: Connection[Any], by: By, job_id: UUID, reason: str) -> int:
    """Send all deliveries of a job's events again, with all their attempts. Returns how many: those of endpoints that are
    switched off are left out. Raises NotFound.
    """
    found = story(conn, job_id)
    on = {
        row[0]
        for row in conn.execute(
            "select id from webhook_endpoints where account_id = %s and enabled", [found.job.account_id]
        )
    }
    again = sorted(
        (each for each in found.deliveries if each.endpoint_id is None or each.endpoint_id in on),
        key=lambda each: (each.endpoint_id or UUID(int=0), each.id),
    )  # fmt: skip
    sent = 0
    for each in again:
        if each.endpoint_id is not None or each.url is not None:  # mail is not sent twice
            deliveries.redeliver(conn, found.job.account_id, each.endpoint_id, each.id)
            sent += 1
    audit_log.record(conn, by, "job.replay", str(job_id), reason=reason, deliveries=sent)
    return sent


def replay_account(
    conn: Connection[Any], by: By, account_id: UUID, endpoint_id: UUID | None, since: datetime, until: datetime | None, reason: str,
    *, all_: bool,
) -> int:  # fmt: skip
    """Send again what was due to an account's endpoint (None: to addresses that jobs brought) in this time and did not arrive, or
    all of it. Returns how many, at most `deliveries.MAX_REDELIVER`. Raises NotFound, EndpointDisabled.
    """
    if conn.execute("select 1 from accounts where id = %s", [account_id]).fetchone() is None:
        raise NotFound(f"no account {account_id}", param="account_id")
    count = deliveries.redeliver_range(conn, account_id, endpoint_id, since, until, all_=all_)
    endpoint = str(endpoint_id) if endpoint_id else "jobs' own addresses"
    audit_log.record(
        conn, by, "deliveries.replay", str(account_id), reason=reason, endpoint=endpoint, since=since, until=until, count=count
    )  # fmt: skip
    return count
