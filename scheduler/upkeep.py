"""Duties that keep the house: partitions, old keys, silent workers, the audit."""

import logging

from models import audit as books
from models import callbacks, events, fleet, inbound, jobs, notifications
from models.db import transaction
from models.errors import Busy
from models.settings import settings

log = logging.getLogger(__name__)


def make_partitions(_batch: int) -> int:
    """Make the partitions of the coming months."""
    with transaction() as conn:
        return events.make_partitions(conn)


def drop_partitions(_batch: int) -> int:
    """Drop the months of events and deliveries that are older than they are kept."""
    try:
        with transaction() as conn:
            conn.execute("set local lock_timeout = '300ms'")  # whoever writes events waits behind us
            return len(events.drop_partitions(conn, settings().event_days))
    except Busy:
        log.info("a long reading holds the events; old months are dropped at another turn")
        return 0


def forget_inbound(batch: int) -> int:
    """Delete what other services told us, and was acted on, when it is older than it is kept."""
    with transaction() as conn:
        return inbound.forget(conn, batch)


def forget_keys(batch: int) -> int:
    """Delete idempotency keys that are older than they are kept."""
    with transaction() as conn:
        return jobs.forget_idempotency_keys(conn, batch)


def forget_callbacks(batch: int) -> int:
    """Delete what providers called back with for jobs that have ended."""
    with transaction() as conn:
        return callbacks.forget(conn, batch)


def forget_notifications(batch: int) -> int:
    """Delete notifications that are older than they are kept."""
    with transaction() as conn:
        return notifications.forget(conn, batch)


def forget_workers(_batch: int) -> int:
    """Drop worker processes that were killed."""
    with transaction() as conn:
        return fleet.forget_silent_workers(conn, settings().lease_seconds * 10)


def audit(_batch: int) -> int:
    """Prove the books. A broken rule is an error of the duty, shown by `headrace doctor`, and logged."""
    with transaction() as conn:
        findings = books.audit(conn)
    if findings:
        for finding in findings:
            log.error("audit: %s does not hold: %s", finding.rule, finding.rows)
        raise RuntimeError("the audit found broken rules: " + ", ".join(finding.rule for finding in findings))
    return 0
