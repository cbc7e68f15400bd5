"""Duties that keep the house: partitions, old keys, silent workers."""

import logging

from common.errors import Busy
from common.settings import settings
from models.access import api_keys, audit_log, browser_tokens
from models.db import patience, transaction
from models.events import events, notifications, sending
from models.files import uploads
from models.fleet import processes
from models.identity import inbound
from models.jobs import callbacks, clock, tables
from models.jobs.tables import QUEUES
from models.operations import forgetting
from workers import doorbell

log = logging.getLogger(__name__)


def make_partitions(_batch: int) -> int:
    """Make the partitions of the coming months."""
    with transaction() as conn:
        return events.make_partitions(conn)


def drop_partitions(_batch: int) -> int:
    """Drop the months of events and deliveries that are older than they are kept; where they are archived first, detach them."""
    try:
        with patience(300), transaction() as conn:  # whoever writes events waits behind us
            return len(events.drop_partitions(conn, settings().event_days, archive=settings().archive))
    except Busy:
        log.info("a long reading holds the events; old months are dropped at another turn")
        return 0


def mend_wakes(batch: int) -> int:
    """Wake jobs and delivery queues that lie further ahead than any pause is long."""
    with transaction() as conn:
        return clock.mend_wakes(conn, batch)


_lost: dict[str, set[bytes]] = {}  # by queue: messages that were in no queue at the last look


def mend_messages(_batch: int) -> int:
    """Delete messages that no worker will ever see, so that their jobs are rung anew."""
    for queue in QUEUES:
        _lost[queue] = doorbell.forget_lost(queue, _lost.get(queue, ()))
    return 0


def forget_inbound(batch: int) -> int:
    """Delete what other services sent us, and was acted on, when it is older than it is kept."""
    with transaction() as conn:
        return inbound.forget(conn, batch)


def forget_keys(batch: int) -> int:
    """Delete idempotency keys that are older than they are kept."""
    with transaction() as conn:
        return tables.forget_idempotency_keys(conn, batch)


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
        return processes.forget_silent_workers(conn, settings().lease_seconds * 10)


def forget_delivery_queues(batch: int) -> int:
    """Drop delivery queues that nothing has been sent on for long: of endpoints that are gone, mostly."""
    with transaction() as conn:
        return sending.forget(conn, batch)


def forget_api_keys(batch: int) -> int:
    """Delete API keys that were revoked, or expired, long ago."""
    with transaction() as conn:
        return api_keys.forget(conn, batch)


def forget_tokens(batch: int) -> int:
    """Delete browser tokens that ended a day ago."""
    with transaction() as conn:
        return browser_tokens.forget_tokens(conn, batch)


def forget_uploads(batch: int) -> int:
    """Delete the rows of uploads whose objects are gone for long."""
    with transaction() as conn:
        return uploads.forget(conn, batch)


def forget_acts(batch: int) -> int:
    """Delete acts that are older than they are kept."""
    with transaction() as conn:
        return audit_log.forget(conn, batch)


def erase_prompts(batch: int) -> int:
    """Erase what people wrote of jobs that ended longer ago than it is kept."""
    days = settings().prompt_days
    if days is None:
        return 0
    with transaction() as conn:
        return forgetting.erase_prompts(conn, days, batch)


def forget_jobs(batch: int) -> int:
    """Forget jobs that ended longer ago than they are kept, but for what the books need."""
    days = settings().job_days
    if days is None:
        return 0
    with transaction() as conn:
        return forgetting.forget_jobs(conn, days, batch, archive=settings().archive)
