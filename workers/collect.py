"""Take a provider's results: spool to disk (small pictures: in memory), measure, store. The rows that make them results
are written at the end.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential
from uuid_utils.compat import uuid7

from common.scratch import scratch_file
from models.ending import NewAsset
from models.runs import Claim
from models.settings import settings
from storage import keys
from storage.media import Media, UnusableResult, is_picture, measure, measure_picture
from storage.s3 import StorageError, storage
from workers.leases import Hold
from workers.providers.base import Output

log = logging.getLogger(__name__)

MEMORY_BYTES = 1024 * 1024  # a picture up to this size is not written to disk: that would cost more than its upload
STORE_SECONDS = 60.0  # how long one upload is tried again before the step is given back


class LeaseLost(Exception):
    """Somebody else has the job now: stop before the next side effect."""


def collect(hold: Hold, outputs: Sequence[Output]) -> list[NewAsset]:
    """Store every output of a finished generation.

    Raises UnusableResult (broken or too large), StorageError (S3 is away), LeaseLost. Objects are put under a key made
    from job, token and index: those of a step that comes to nothing are strays, and are reaped.
    """
    if not outputs:
        raise UnusableResult("no_output", "the provider answered without a result")
    return [_take(hold, index, output) for index, output in enumerate(outputs)]


def _take(hold: Hold, index: int, output: Output) -> NewAsset:
    chunks = _watched(hold, output)
    first = bytearray()
    for chunk in chunks:
        first += chunk
        if len(first) > MEMORY_BYTES:
            break
    if not first:
        raise UnusableResult("empty_result", "the provider's result is empty")
    if len(first) <= MEMORY_BYTES and is_picture(bytes(first[:64])):
        return _store(hold, index, bytes(first), hashlib.sha256(first).digest(), len(first))
    with scratch_file() as file:
        digest, size = _spool(chain([bytes(first)], chunks), file)
        return _store(hold, index, Path(file.name), digest, size)


def _watched(hold: Hold, output: Output) -> Iterator[bytes]:
    """The stream, as long as the job is ours and the result not too large."""
    size, limit = 0, settings().max_result_bytes
    for chunk in output.chunks():
        size += len(chunk)
        if size > limit:
            raise UnusableResult("result_too_large", f"the result has more than {limit} bytes")
        if hold.lost:
            raise LeaseLost
        yield chunk


def _spool(chunks: Iterable[bytes], file: IO[bytes]) -> tuple[bytes, int]:
    """Write the stream to disk, so that no whole video is ever in memory. Returns its SHA-256 and its size in bytes."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return digest.digest(), size


def _store(hold: Hold, index: int, result: Path | bytes, digest: bytes, size_bytes: int) -> NewAsset:
    media = measure_picture(result) if isinstance(result, bytes) else measure(result)
    if hold.lost:
        raise LeaseLost
    claim = hold.claim
    key = keys.result_key(claim.account_id, claim.job_id, claim.token, index, media.extension)

    def put() -> None:
        if isinstance(result, bytes):
            storage().put_bytes(key, result, media.media_type)
        else:
            storage().put_file(key, result, media.media_type)

    _patiently(hold, put)
    thumbnail_key = _store_thumbnail(hold, index, media)
    return NewAsset(
        id=uuid7(), index=index, key=key, media_type=media.media_type, size_bytes=size_bytes, sha256=digest,
        width=media.width, height=media.height, duration_ms=media.duration_ms, thumbnail_key=thumbnail_key,
        thumbnail_bytes=len(media.thumbnail or b""),
    )  # fmt: skip


def _store_thumbnail(hold: Hold, index: int, media: Media) -> str | None:
    if media.thumbnail is None:
        return None
    claim, thumbnail = hold.claim, media.thumbnail
    key = keys.thumbnail_key(claim.account_id, claim.job_id, claim.token, index, "webp")
    _patiently(hold, lambda: storage().put_bytes(key, thumbnail, "image/webp"))
    return key


def _patiently(hold: Hold, put: Callable[[], None]) -> None:
    """Put again while S3 says that trying again helps: the result is paid for, a short outage must not lose it."""

    def worth_trying(error: BaseException) -> bool:
        return isinstance(error, StorageError) and error.retryable and not hold.lost

    try:
        put()
    except StorageError as error:
        if not worth_trying(error):
            raise
    else:
        return  # nearly always: tenacity costs more than the bookkeeping of a job
    for attempt in Retrying(
        stop=stop_after_delay(STORE_SECONDS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception(worth_trying),
        reraise=True,
    ):
        with attempt:
            put()


def discard(claim: Claim, assets: Sequence[NewAsset]) -> None:
    """Delete objects that have become no result. Best effort: the scheduler reaps what this leaves."""
    try:
        storage().delete_many([key for a in assets for key in (a.key, a.thumbnail_key) if key])
    except StorageError as error:
        log.warning("strays of job %s stay for the reaper: %s", claim.job_id, error)
