"""Files that clients send: to disk, examined, stored, and only then an upload. Synchronous; called in a thread."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from api.turns.places import Place
from common.errors import Busy, StorageQuotaExceeded, Unavailable, UnusableFile
from common.scratch import scratch_file
from common.settings import settings
from models.db import MOMENT_MILLISECONDS, certain, patience, transaction
from models.files import room, uploads
from models.files.uploads import NewUpload, UploadRow
from storage import incoming, keys
from storage.media import SandboxAway
from storage.s3 import StorageError, storage

log = logging.getLogger(__name__)

AGAIN_SECONDS = 3  # when to send a file again that nobody had time to read
FULL_SECONDS = 30  # when to send a file again that did not fit on our disk
Known = TypeVar("Known")


async def in_thread(
    place: Place,
    chunks: Iterable[bytes],
    account_id: UUID,
    *,
    param: str,
    wanted: str = "file",
    known: Callable[[bytes], Known | None],
) -> NewUpload | Known:
    """`store_stream`, in one of the few threads that examine files. Nobody waits there for a lock."""
    with patience(MOMENT_MILLISECONDS):
        return await place.run(lambda: store_stream(account_id, chunks, param=param, wanted=wanted, known=known))


def store_stream(
    account_id: UUID,
    chunks: Iterable[bytes],
    *,
    param: str,
    wanted: str = "file",
    known: Callable[[bytes], Known | None],
) -> NewUpload | Known:
    """Store a stream of bytes, so that it may become an upload; or what `known` says of these bytes, by their SHA-256.

    Raises UnusableFile, StorageQuotaExceeded (before anything is stored), Unavailable (S3 is away, our disk is full, others are read).
    """
    try:
        with room_on_disk(), scratch_file() as file:
            digest, size_bytes = incoming.spool(chunks, file, settings().max_upload_bytes)
            found = known(digest)
            if found is not None:
                return found
            with transaction() as conn:
                room.check_room(conn, account_id, size_bytes)
            media = incoming.examine(Path(file.name), account_id)
            if not incoming.fits(wanted, media.media_type):
                raise _unfit(param, wanted, media.media_type)
            upload_id = uuid7()
            key = keys.upload_key(account_id, upload_id, media.extension)
            storage().put_file(key, Path(file.name), media.media_type)
    except incoming.RefusedFile as error:
        raise UnusableFile(error.message, param=param, reason=error.code) from error
    except StorageError as error:
        raise Unavailable("the file could not be stored; try again soon") from error
    except SandboxAway as error:
        raise Unavailable("the file cannot be read just now; try again soon", retry_after=AGAIN_SECONDS) from error
    return NewUpload(
        upload_id, account_id, key, media.media_type, size_bytes, digest, media.width, media.height, media.duration_ms
    )


@contextmanager
def room_on_disk() -> Iterator[None]:
    """Turn a full or broken temporary folder into Unavailable: the file is fine, and may be sent again."""
    try:
        yield
    except OSError as error:
        log.error("an upload could not be written to the temporary folder: %s", error)  # noqa: TRY400 - a full disk: its name says it
        raise Unavailable("there is no room for the file just now; try again soon", retry_after=FULL_SECONDS) from None


def create_upload(new: NewUpload) -> UploadRow:
    """Make what is stored an upload. Until its row is there the object is a stray, which the scheduler reaps should we be
    killed here.
    """
    with without_stray(new), certain() as conn:
        return uploads.create(conn, new)


@contextmanager
def without_stray(new: NewUpload) -> Iterator[None]:
    """Where another upload was faster and took the room, take the object away again."""
    try:
        yield
    except StorageQuotaExceeded:
        try:
            storage().delete_many([new.key])
        except StorageError as error:
            log.warning("stray %s stays for the reaper: %s", new.key, error)
        raise


def same_as(account_id: UUID, wanted: str, param: str, digest: bytes) -> UploadRow | None:
    """The upload that these bytes are already, its life begun anew. None as well where somebody is just at it: they are
    stored once more then.
    """
    try:
        with certain() as conn:
            found = uploads.find_same(conn, account_id, digest)
    except Busy:
        return None
    if found and not incoming.fits(wanted, found.media_type):
        raise _unfit(param, wanted, found.media_type)
    return found


def _unfit(param: str, wanted: str, media_type: str) -> UnusableFile:
    return UnusableFile(
        f"{param} takes a file of kind {wanted}; this is {media_type}", param=param, reason="unwanted_file"
    )
