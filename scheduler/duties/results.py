"""Duties for results: expire them, purge their objects, reap strays."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from common.faultpoints import reached
from common.settings import settings
from models.db import transaction
from models.files import results
from models.fleet import processes
from scheduler.duties.sweeps import Expiry, expire, purge
from scheduler.turns import Aside, Did
from storage import keys
from storage.s3 import StorageError, storage

log = logging.getLogger(__name__)

_aside = Aside()
_told = set[str]()


def expire_results(batch: int) -> Did:
    """Mark results whose time has passed."""
    return expire(Expiry(results.expire, results.accounts_due), _aside, batch)


def purge_results(batch: int) -> Did:
    """Delete the objects of expired results, then confirm. An object that cannot be deleted is tried again in its turn."""
    return purge("purge_results", batch, results.to_purge, results.confirm_purged)


def reap_strays(batch: int) -> int:
    """Results' objects: nobody's result, nor work under way."""
    return reap("reap_strays", keys.RESULTS, batch, _stray_results)


def _stray_results(conn: Connection[Any], found: list[str]) -> list[str]:
    parts = [(key, each.job_id, each.attempt) for key in found if (each := keys.parse(key)) is not None]
    return results.strays(conn, parts)


def reap(duty: str, prefix: str, batch: int, strays: Callable[[Connection[Any], list[str]], list[str]]) -> int:
    """Look at one page of objects and delete those that are old enough and nobody's; the next turn goes on from there."""
    with transaction() as conn:
        after = processes.cursor(conn, duty)
    try:
        page = storage().list_page(prefix, after, batch)
    except StorageError as error:
        return _not_listed(duty, error)
    old = datetime.now(UTC) - timedelta(seconds=settings().stray_seconds)  # S3's clock, not the database's
    with transaction() as conn:
        found = strays(conn, [item.key for item in page if item.last_modified < old])
    if found:
        storage().delete_many(found)
    reached(f"{duty}:deleted")
    with transaction() as conn:
        processes.set_cursor(conn, duty, page[-1].key if len(page) == batch else None)
    return len(found)


def abort_uploads(_batch: int) -> int:
    """Abort multipart uploads that a killed worker left open: S3 keeps, and bills, their parts."""
    try:
        return storage().abort_stale_uploads(timedelta(seconds=settings().stray_seconds))
    except StorageError as error:
        return _not_listed("abort_uploads", error)


def _not_listed(duty: str, error: StorageError) -> int:
    """Keys that may not list the bucket do for all but this: what a crash leaves behind stays there, as doctor says."""
    if not error.forbidden:
        raise error
    if duty not in _told:
        _told.add(duty)
        log.warning("duty %s has nothing to do: %s", duty, error)
    return 0
