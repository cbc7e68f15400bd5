"""Duties for clients' files: expire uploads, purge their objects, reap strays and the inputs of ended jobs."""

from typing import Any

from psycopg import Connection

from models.files import uploads
from scheduler.duties.results import reap
from scheduler.duties.sweeps import Expiry, expire, purge
from scheduler.turns import Aside, Did
from storage import keys

_aside = Aside()


def expire_uploads(batch: int) -> Did:
    """Mark uploads whose time has passed, and give their storage back."""
    return expire(Expiry(uploads.expire, uploads.accounts_due), _aside, batch)


def purge_uploads(batch: int) -> Did:
    """Delete the objects of expired and deleted uploads, then confirm; what stays is tried again in its turn."""
    return purge("purge_uploads", batch, uploads.to_purge, uploads.confirm_purged)


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
