"""Files that clients send: to disk, examined, stored, and only then an upload. Synchronous; called in a thread."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from uuid_utils.compat import uuid7

from common.scratch import scratch_file
from models import uploads
from models.db import transaction
from models.errors import StorageQuotaExceeded, Unavailable, UnusableFile
from models.settings import settings
from models.uploads import Found, NewUpload
from storage import incoming, keys
from storage.s3 import StorageError, storage

log = logging.getLogger(__name__)

FULL_SECONDS = 30  # when to send a file again that did not fit on our disk
EXAMINED_AT_ONCE = 2  # a picture of 50 million pixels takes 200 MB while it is unpacked


def limiter() -> CapacityLimiter:
    """How many files a process examines at once; the others wait without a thread."""
    return CapacityLimiter(EXAMINED_AT_ONCE)


async def in_thread(
    request: Request,
    account_id: UUID,
    chunks: Iterable[bytes],
    *,
    param: str,
    wanted: str = "file",
    again: bool = False,
) -> Found:
    """`receive`, in one of the few threads that examine files."""
    return await to_thread.run_sync(
        lambda: receive(account_id, chunks, param=param, wanted=wanted, again=again),
        limiter=request.app.state.examining,
    )


def receive(
    account_id: UUID, chunks: Iterable[bytes], *, param: str, wanted: str = "file", again: bool = False
) -> Found:
    """Make a stream of bytes an upload. With `again`, the same bytes are the upload that they already are.

    Raises UnusableFile, StorageQuotaExceeded (before anything is stored), Unavailable (S3 is away, our disk is full).
    """
    try:
        with room_on_disk(), scratch_file() as file:
            digest, size_bytes = incoming.spool(chunks, file, settings().max_upload_bytes)
            if again and (found := _known(account_id, digest, wanted, param)):
                return found
            with transaction() as conn:
                uploads.check_room(conn, account_id, size_bytes)
            media = incoming.examine(Path(file.name))
            if not incoming.fits(wanted, media.media_type):
                raise _unfit(param, wanted, media.media_type)
            upload_id = uuid7()
            key = keys.upload_key(account_id, upload_id, media.extension)
            storage().put_file(key, Path(file.name), media.media_type)
    except incoming.UnusableFile as error:
        raise UnusableFile(error.message, param=param, reason=error.code) from error
    except StorageError as error:
        raise Unavailable("the file could not be stored; try again soon") from error
    new = NewUpload(
        upload_id, account_id, key, media.media_type, size_bytes, digest, media.width, media.height, media.duration_ms
    )
    return _made(new)


@contextmanager
def room_on_disk() -> Iterator[None]:
    """Turn a full or broken temporary folder into Unavailable: the file is fine, and may be sent again."""
    try:
        yield
    except OSError as error:
        log.error("an upload could not be written to the temporary folder: %s", error)
        raise Unavailable("there is no room for the file just now; try again soon", retry_after=FULL_SECONDS) from None


def _made(new: NewUpload) -> Found:
    """Until its row is there the object is a stray, which the scheduler reaps should we be killed here."""
    try:
        with transaction() as conn:
            return uploads.create(conn, new)
    except StorageQuotaExceeded:  # another upload was faster
        try:
            storage().delete_many([new.key])
        except StorageError as error:
            log.warning("stray %s stays for the reaper: %s", new.key, error)
        raise


def _known(account_id: UUID, digest: bytes, wanted: str, param: str) -> Found | None:
    with transaction() as conn:
        found = uploads.find_same(conn, account_id, digest)
    if found and not incoming.fits(wanted, found.media_type):
        raise _unfit(param, wanted, found.media_type)
    return found


def _unfit(param: str, wanted: str, media_type: str) -> UnusableFile:
    return UnusableFile(
        f"{param} takes a file of kind {wanted}; this is {media_type}", param=param, reason="unwanted_file"
    )
