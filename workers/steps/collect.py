"""Take a provider's results: spool to disk (small pictures: in memory), measure, store. The rows that make them results
are written at the end.

Objects are named by attempt and content, so that whoever collects the same answer again, or at the same time, stores the
same object. Nothing is deleted here: what becomes no result is a stray, and the scheduler reaps it.
"""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential
from uuid_utils.compat import uuid7

from common.scratch import scratch_file
from common.settings import settings
from common.spooling import spool
from models.jobs.ending import NewAsset
from storage import keys
from storage.media import Media, UnusableResult, is_picture, kind_of, kinds_of, measure, measure_picture
from storage.s3 import StorageError, storage
from workers.leases import Hold, LeaseLost
from workers.providers.base import NotFetched, Output
from workers.steps.decisions import fetching_seconds
from workers.steps.delivered import DATA_BYTES, Collectable, staged

log = logging.getLogger(__name__)

MEMORY_BYTES = 1024 * 1024  # a picture up to this size is not written to disk: that would cost more than its upload
STORE_SECONDS = 15.0  # how long one upload is tried again before the step is given back
SAID_BYTES = 200
FETCH_TRIES = 3  # of one address in one step, where what came was cut off


class Collector:
    """One attempt's outputs on their way to be results. `outputs` tells how far it has come: what is stored is an asset.

    `alone`: nobody else has them, so that they are stored even when the lease is lost.
    """

    def __init__(self, hold: Hold, outputs: Sequence[Collectable], *, alone: bool) -> None:
        self._hold = hold
        self._alone = alone
        self._unusable: dict[int, UnusableResult] = {}
        self._gone: set[int] = set()  # what an earlier step has stored, and is not in the bucket
        self._end = math.inf  # of fetching
        self._said: dict[int, str] = {}  # how texts begin: where no text was ordered, it is an apology
        self.outputs: list[Collectable] = list(outputs)

    def collect(self) -> list[NewAsset]:
        """Store every output. What cannot be used for good is left out, if the rest is what was ordered.

        Raises UnusableResult (nothing of the kind that was ordered, with what there is instead), NotFetched, StorageError,
        SandboxAway, OSError, LeaseLost. May be called again: what is stored is not stored again.
        """
        self._end = time.monotonic() + fetching_seconds(self._hold.claim)
        missing: UnusableResult | NotFetched | None = None
        if self._gone:
            missing = NotFetched("it was stored, and is not in the bucket")
        for index, output in enumerate(self.outputs):
            if isinstance(output, NewAsset) or index in self._unusable:
                continue
            try:
                self.outputs[index] = self._fetched(index, output)
            except NotFetched as error:
                if error.refused:  # it will not be fetched later either
                    self._unusable[index] = UnusableResult("unusable_answer", error.message)
                    continue
                missing = missing or error
            except UnusableResult as error:
                if error.cut_off:
                    missing = missing or error
                else:
                    self._unusable[index] = error
        if missing is not None:
            raise missing
        return self.usable()

    def check(self) -> None:
        """Look whether what an earlier step has stored is still there. Raises StorageError where S3 does not say."""
        stored = [(number, each) for number, each in enumerate(self.outputs) if isinstance(each, NewAsset)]
        self._gone = {number for number, asset in stored if not is_there(asset)}

    def usable(self) -> list[NewAsset]:
        """What is stored, if one of it is of the kind that was ordered. Raises UnusableResult."""
        stored = [each for number, each in enumerate(self.outputs) if number not in self._gone]
        assets = [each for each in stored if isinstance(each, NewAsset)]
        kind = self._hold.claim.entry.kind
        if any(kind in {kind_of(asset.media_type), *asset.kinds} for asset in assets):
            for index, error in self._unusable.items():
                log.warning("job %s: output %d is left out: %s", self._hold.claim.job_id, index, error)
            return assets
        for error in self._unusable.values():
            raise error
        what = ", ".join(sorted({asset.media_type for asset in assets})) or "nothing"
        said = f": {next(iter(self._said.values()))!r}" if self._said else ""
        raise UnusableResult("no_result_of_kind", f"a result of kind {kind} was ordered, and {what} was answered{said}")

    def fits_the_row(self) -> bool:
        """Whether what nobody else has is small enough to be written down as it is."""
        return sum(len(chunk) for each in self._inline() for chunk in each.chunks()) <= DATA_BYTES

    def stage(self) -> None:
        """Put what nobody else has into the bucket as it came. Raises StorageError."""
        claim, live = self._hold.claim, self._hold.claim.live
        assert live is not None  # noqa: S101 - outputs are an attempt's
        for index, output in enumerate(self.outputs):
            if isinstance(output, Output) and output.address is None:
                data = b"".join(output.chunks())
                digest = hashlib.sha256(data).digest()
                key = keys.result_key(claim.account_id, claim.job_id, live.number, index, digest, "bin")
                storage().put_bytes(key, data, "application/octet-stream")
                self.outputs[index] = staged(key, output.claimed_media_type)

    def _inline(self) -> list[Output]:
        return [each for each in self.outputs if isinstance(each, Output) and each.address is None]

    def _fetched(self, index: int, output: Output) -> NewAsset:
        """What breaks off, or is cut off, is fetched again, for seconds."""
        tries = 1 if output.address is None else FETCH_TRIES
        for attempt in Retrying(
            stop=stop_after_attempt(tries),
            wait=wait_random_exponential(multiplier=0.3, max=3),
            retry=retry_if_exception(lambda e: isinstance(e, UnusableResult) and e.cut_off),
            reraise=True,
        ):
            with attempt:
                return self._take(index, output)
        raise AssertionError("tenacity raises the last error")

    def _take(self, index: int, output: Output) -> NewAsset:
        chunks = self._watched(output)
        first = bytearray()
        for chunk in chunks:
            first += chunk
            if len(first) > MEMORY_BYTES:
                break
        if not first:
            raise UnusableResult("empty_result", "the provider's result is empty", cut_off=True)
        if len(first) <= MEMORY_BYTES and is_picture(bytes(first[:64])):
            media = measure_picture(bytes(first), account=self._hold.claim.account_id)
            return self._store(index, media, bytes(first), hashlib.sha256(first).digest(), len(first))
        with scratch_file() as file:
            digest, size = spool(chain([bytes(first)], chunks), file)
            path = Path(file.name)
            claim = self._hold.claim
            media = measure(path, claimed=output.claimed_media_type, ordered=claim.entry.kind, account=claim.account_id)
            asset = self._store(index, media, path, digest, size)
        if kind_of(asset.media_type) == "text":
            self._said[index] = first[:SAID_BYTES].decode(errors="replace")
        return asset

    def _watched(self, output: Output) -> Iterator[bytes]:
        """The stream, while the job is ours, the result is not too large and there is time."""
        size, limit = 0, settings().max_result_bytes
        end = self._end if output.address is not None else math.inf
        for chunk in output.chunks():
            size += len(chunk)
            if size > limit:
                raise UnusableResult("result_too_large", f"the result has more than {limit} bytes")
            if time.monotonic() > end:
                raise NotFetched("the result did not come in its time")
            self._go_on()
            yield chunk

    def _go_on(self) -> None:
        if self._hold.lost and not self._alone:
            raise LeaseLost("another worker collects the result")

    def _store(self, index: int, media: Media, result: Path | bytes, digest: bytes, size_bytes: int) -> NewAsset:
        self._go_on()
        claim, live = self._hold.claim, self._hold.claim.live
        assert live is not None  # noqa: S101 - outputs are an attempt's
        key = keys.result_key(claim.account_id, claim.job_id, live.number, index, digest, media.extension)

        def put() -> None:
            if isinstance(result, bytes):
                storage().put_bytes(key, result, media.media_type)
            else:
                storage().put_file(key, result, media.media_type)

        self._patiently(put)
        thumbnail_key = None
        if media.thumbnail is not None:
            thumbnail_key = keys.thumbnail_key(claim.account_id, claim.job_id, live.number, index, digest, "webp")
            self._put_thumbnail(thumbnail_key, media)
        return NewAsset(
            id=uuid7(), index=index, key=key, media_type=media.media_type, size_bytes=size_bytes, sha256=digest,
            width=media.width, height=media.height, duration_ms=media.duration_ms, thumbnail_key=thumbnail_key,
            thumbnail_bytes=len(media.thumbnail or b""), kinds=tuple(sorted(kinds_of(media))),
        )  # fmt: skip

    def _put_thumbnail(self, key: str, media: Media) -> None:
        thumbnail = media.thumbnail or b""
        self._patiently(lambda: storage().put_bytes(key, thumbnail, "image/webp"))

    def _patiently(self, put: Callable[[], None]) -> None:
        """Put again while S3 says that trying again helps: the result is paid for, a short outage must not lose it."""

        def worth_trying(error: BaseException) -> bool:
            return isinstance(error, StorageError) and error.retryable and (self._alone or not self._hold.lost)

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


def is_there(asset: NewAsset) -> bool:
    """Whether a result that was stored earlier is in the bucket, whole. Raises StorageError where S3 does not say."""
    try:
        return storage().head(asset.key).size == asset.size_bytes
    except StorageError as error:
        if error.missing:
            return False
        raise
