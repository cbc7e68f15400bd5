"""Duties for results: expire them, purge their objects, reap strays."""

from datetime import UTC, datetime, timedelta

from common.faultpoints import reached
from models import fleet, results
from models.db import transaction
from models.settings import settings
from storage import keys
from storage.s3 import storage


def expire_results(batch: int) -> int:
    """Mark results whose time has passed."""
    with transaction() as conn:
        return results.expire(conn, batch)


def purge_results(batch: int) -> int:
    """Delete the objects of expired results, then confirm. An object that cannot be deleted is tried again next time."""
    with transaction() as conn:
        due = results.to_purge(conn, batch)
    if not due:
        return 0
    failed = storage().delete_many([key for _, object_keys in due for key in object_keys])
    reached("purge_results:deleted")
    gone = [asset_id for asset_id, object_keys in due if not any(key in failed for key in object_keys)]
    with transaction() as conn:
        return results.purged(conn, gone)


def reap_strays(batch: int) -> int:
    """Look at one page of objects and delete those that are old enough and nobody's; the next turn goes on from there."""
    with transaction() as conn:
        after = fleet.cursor(conn, "reap_strays")
    page = storage().list_page(keys.RESULTS, after, batch)
    old = datetime.now(UTC) - timedelta(seconds=settings().stray_seconds)  # S3's clock, not the database's
    objects = [
        (item.key, parts.job_id, parts.token)
        for item in page
        if item.last_modified < old and (parts := keys.parse(item.key)) is not None
    ]
    with transaction() as conn:
        found = results.strays(conn, objects)
    if found:
        storage().delete_many(found)
    reached("reap_strays:deleted")
    with transaction() as conn:
        fleet.set_cursor(conn, "reap_strays", page[-1].key if len(page) == batch else None)
    return len(found)


def abort_uploads(_batch: int) -> int:
    """Abort multipart uploads that a killed worker left open: S3 keeps, and bills, their parts."""
    return storage().abort_stale_uploads(timedelta(seconds=settings().stray_seconds))
