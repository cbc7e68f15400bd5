"""Duties for clients' files: expire uploads, purge their objects, reap strays and the inputs of ended jobs."""

from typing import Any

from psycopg import Connection

from common.faultpoints import reached
from models import uploads
from models.db import transaction
from scheduler.results import reap
from storage import keys
from storage.s3 import storage


def expire_uploads(batch: int) -> int:
    """Mark uploads whose time has passed, and give their storage back."""
    with transaction() as conn:
        return uploads.expire(conn, batch)


def purge_uploads(batch: int) -> int:
    """Delete the objects of expired and deleted uploads, then confirm; what stays is tried again next time."""
    with transaction() as conn:
        due = uploads.to_purge(conn, batch)
    if not due:
        return 0
    failed = storage().delete_many([key for _, key in due])
    reached("purge_uploads:deleted")
    with transaction() as conn:
        return uploads.purged(conn, [upload_id for upload_id, key in due if key not in failed])


def reap_uploads(batch: int) -> int:
    """Uploads' objects that are nobody's: their upload was cut off, or went over the quota."""
    return reap("reap_uploads", keys.UPLOADS, batch, _stray_uploads)


def _stray_uploads(conn: Connection[Any], found: list[str]) -> list[str]:
    return uploads.strays(conn, [key for key in found if keys.parse_upload(key) is not None])


def reap_inputs(batch: int) -> int:
    """Inputs that were fetched for jobs which have ended."""
    return reap("reap_inputs", keys.INPUTS, batch, _stray_inputs)


def _stray_inputs(conn: Connection[Any], found: list[str]) -> list[str]:
    return uploads.input_strays(conn, [(key, job) for key in found if (job := keys.parse_input(key)) is not None])
