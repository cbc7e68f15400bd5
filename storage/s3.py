"""One S3 module for AWS, SeaweedFS, MinIO and R2. boto3, but results are put through obstore: a tenth of the CPU.

Every failure is a StorageError that says whether trying again helps. Both clients repeat what is safe to repeat a few
times and for seconds (all of it is: a put writes the same bytes under the same key); longer patience is the caller's,
who knows what the object is worth. Make the storage after a fork, not before: obstore's threads do not survive one.
"""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import obstore

from common.settings import Settings, settings
from common.telemetry import figures, traces
from storage import keys
from storage.clients import boto_client, own_session, upload_store
from storage.errors import StorageError, answered, mapped
from storage.objects import Chunks, Head, ListedObject, Part
from storage.sums import Sums, bare, chunks_of, sums_of

__all__ = ["Chunks", "Head", "ListedObject", "Part", "Storage", "StorageError", "close", "storage"]

# The least that S3 takes for a part. A put of 200 MB costs 15 MiB above idle with two parts in flight, 24 with parts of
# 8 MiB, which are no faster. S3's 10,000 parts then end at 48 GiB, far above MAX_RESULT_BYTES.
PART_BYTES = 5 * 1024 * 1024
PARTS_IN_FLIGHT = 2
PROBE = b"probe"
NOTHING = ".headrace-nothing"  # a key of no object
READABLE_SECONDS = 60.0  # for so long it is believed that these credentials read what is there
PAGE = 1000  # S3's own limit, for lists and deletes
ONE_ODD_KEY = frozenset({"MalformedXML", "InvalidArgument", "KeyTooLongError"})


class Storage:
    """One bucket. Thread-safe; made once per process by `storage()`."""

    def __init__(self, config: Settings | None = None) -> None:
        """By this process's settings if no others are given. Connects nowhere yet.

        Raises StorageError where the settings cannot be right.
        """
        config = config or settings()
        self._bucket = config.s3_bucket
        self._endpoint = config.s3_endpoint_url or None
        self._ours = (*keys.OURS, config.archive_prefix)
        secret = config.s3_secret_access_key.get_secret_value() if config.s3_secret_access_key else None
        session = own_session(config)
        try:
            with mapped("setting up"):
                self._client = boto_client(session, config, self._endpoint, secret)
        except ValueError:  # boto3's word for an endpoint that is no URL; obstore would panic at it
            raise StorageError("S3_ENDPOINT_URL is not a URL such as https://s3.example.com", retryable=False) from None
        self._store = upload_store(session, config, self._endpoint, secret)
        self._readable_until = 0.0

    # Writing

    def put_file(self, key: str, file: Path | BinaryIO, media_type: str) -> None:
        """Store a file, from its start, in parts if it has more than 5 MiB. At most two parts are in memory.

        Prefer a path: Rust then reads it itself, for half of the CPU. Raises StorageError, OSError (the local file).
        """
        self._put(key, file, media_type)

    def put_bytes(self, key: str, data: bytes, media_type: str) -> None:
        """Store a small object. Raises StorageError."""
        self._put(key, data, media_type)

    def _put(self, key: str, file: Path | BinaryIO | bytes, media_type: str) -> None:
        with traces.span("put", kind="client"), figures.timed(figures.PUTS):
            self._put_and_look(key, file, media_type)

    def _put_and_look(self, key: str, file: Path | BinaryIO | bytes, media_type: str) -> None:
        """Put, then see for ourselves that it is there and whole: not every S3 checks the SHA-256 that obstore signs.

        A put that went wrong is for the caller to repeat. Only an input is taken away again: its key is looked at
        before the input is fetched, and hurt bytes would be taken for it.
        """
        _refuse_odd(key)
        doing = f"putting {key}"
        sums = sums_of(chunks_of(file), PART_BYTES)
        with mapped(doing):
            obstore.put(
                self._store, key, file, attributes={"Content-Type": media_type}, chunk_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT,
            )  # fmt: skip
        wrong = self._difference(key, sums)
        if wrong is None:
            return
        if key.startswith(keys.INPUTS):
            self.delete_many([key])
        raise StorageError(f"{doing}: S3 said that it is stored, but {wrong}", retryable=True)

    def _difference(self, key: str, sums: Sums) -> str | None:
        """How what is stored differs from what was put; None: not at all. Raises StorageError (S3 does not answer).

        1. A HEAD, by obstore for a tenth of the CPU: nothing there, or another size, is a difference.
        2. Its ETag is the one that was worked out: nothing differs. So it nearly always ends.
        3. Another ETag tells of hurt bytes, or is no sum of bytes: with SSE-KMS or SSE-C (AWS, MinIO; it looks like one
           all the same), MinIO with --no-compat, Google. What was put in one piece is read back, and so decided.
        4. What was put in parts is read back as well where its ETag should have been the sum; where it is none, the
           right size must do. AWS and MinIO, the servers with KMS, have checked each part's signed SHA-256 before.
        Checksums (x-amz-checksum-*) tell nothing more: a server has those that it was sent, and R2 and older MinIO
        refuse some of them.
        """
        try:
            with mapped(f"looking at {key}"):
                try:
                    found = obstore.head(self._store, key)
                except FileNotFoundError:  # obstore's for a 404
                    return "nothing is there"
        except StorageError as error:
            if self._is_missing(error):
                return "nothing is there"
            raise
        if found["size"] != sums.size:
            return f"{found['size']} bytes are there, not {sums.size}"
        if bare(found["e_tag"]) == sums.etag:
            return None
        if sums.size > PART_BYTES and (not sums.may_be(found["e_tag"]) or self._hidden(key)):
            return None
        with self.get_range(key).chunks as chunks:
            return None if sums_of(chunks, PART_BYTES) == sums else "other bytes are there"

    def _hidden(self, key: str) -> bool:
        """Whether an object is encrypted in a way that its ETag is no sum of its bytes."""
        with mapped(f"looking at {key}"):
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer

    # Reading

    def get_range(self, key: str, start: int | None = None, end: int | None = None) -> Part:
        """The bytes from `start` to `end`, both counted in; to the last without `end`, all without `start`.

        Raises StorageError, with `missing` where there is no object, with code InvalidRange where `start` lies behind it.
        """
        if start is None and end is not None:
            raise ValueError("end without start")
        if start is not None and (start < 0 or (end is not None and end < start)):
            raise ValueError(f"not a range: {start} to {end}")
        wanted = {} if start is None else {"Range": f"bytes={start}-{'' if end is None else end}"}
        doing = f"reading {key}"
        try:
            with mapped(doing):
                answer = self._client.get_object(Bucket=self._bucket, Key=key, **wanted)
        except StorageError as error:
            error.missing = self._is_missing(error)
            raise
        whole = answer.get("ContentRange", "").rpartition("/")[2]
        if not whole and (start or (end is not None and answer["ContentLength"] > end + 1)):
            answer["Body"].close()
            raise StorageError(f"{doing}: S3 sent the whole where a range was asked for", retryable=False)
        return Part(Chunks(answer["Body"], doing), int(whole or answer["ContentLength"]), answer.get("ContentType"))

    def head(self, key: str) -> Head:
        """Size and type. Raises StorageError, with `missing` where there is no object."""
        try:
            with mapped(f"looking at {key}"):
                answer = self._client.head_object(Bucket=self._bucket, Key=key)
        except StorageError as error:
            if error.missing:
                self._has_bucket()  # a HEAD's answer has no body, and so does not say what is missing
            error.missing = self._is_missing(error)
            raise
        return Head(answer["ContentLength"], answer.get("ContentType"))

    def _is_missing(self, error: StorageError) -> bool:
        """Whether an object is not there. To those who may not list the bucket S3 says only that they may not read it: so it
        is found out whether they read what is there.
        """
        if not error.forbidden:
            return error.missing
        now = time.monotonic()
        if now >= self._readable_until:
            try:
                self._read_own_probe()
            except StorageError:
                return False
            self._readable_until = now + READABLE_SECONDS
        return True

    def _read_own_probe(self) -> None:
        key = f".headrace-probe-{uuid4().hex}"
        with mapped(f"putting {key}"):
            obstore.put(self._store, key, PROBE)
        try:
            with mapped(f"reading {key}"):
                self._client.head_object(Bucket=self._bucket, Key=key)
                self._client.get_object(Bucket=self._bucket, Key=key)["Body"].close()
        finally:
            self.delete_many([key])

    def list_page(self, prefix: str, after: str | None, limit: int) -> list[ListedObject]:
        """Up to `limit` objects whose keys come after `after`, in order. Raises StorageError."""
        extra = {"StartAfter": after} if after else {}
        with mapped(f"listing {prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, **extra,
                PaginationConfig={"MaxItems": limit, "PageSize": min(limit, PAGE)},
            )  # fmt: skip
            return [
                ListedObject(each["Key"], each["Size"], each["LastModified"])
                for page in pages
                for each in page.get("Contents", [])
            ]

    # Clearing away

    def delete_many(self, object_keys: Sequence[str]) -> dict[str, str]:
        """Delete objects, a thousand per call; what is not there counts as deleted. Returns those that stayed, and why.

        A call that fails leaves its thousand, and the others are made all the same. Raises StorageError where none of
        them succeeds. All may be asked for again.
        """
        failed: dict[str, str] = {}
        done, last = False, None
        for begin in range(0, len(object_keys), PAGE):
            batch = object_keys[begin : begin + PAGE]
            if last is not None and not last.code and last.retryable:  # nobody answered: nor will they to the rest
                failed |= dict.fromkeys(batch, str(last))
                continue
            try:
                failed |= self._delete(batch)
            except StorageError as error:
                failed |= dict.fromkeys(batch, str(error))
                last = error
            else:
                done = True
        if last is not None and not done:
            raise last
        return failed

    def _delete(self, batch: Sequence[str]) -> dict[str, str]:
        try:
            with mapped(f"deleting {len(batch)} objects"):
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                )
        except StorageError as error:
            if error.code not in ONE_ODD_KEY:
                raise
            return self._delete_singly(batch)
        failed: dict[str, str] = {}
        for each in answer.get("Errors", []):
            said = answered("deleting", 0, str(each.get("Code", "")))
            if not said.missing:  # some servers name no key: then it may be any of them
                why = f"{said.code}: {str(each.get('Message', ''))[:200]}"
                failed |= dict.fromkeys([each["Key"]] if "Key" in each else batch, why)
        return failed

    def _delete_singly(self, batch: Sequence[str]) -> dict[str, str]:
        """For a thousand that S3 refuses as a whole because of one of them."""
        failed = {}
        for key in batch:
            try:
                with mapped("deleting"):
                    self._client.delete_object(Bucket=self._bucket, Key=key)
            except StorageError as error:
                if not error.code:
                    raise  # nobody answers any more
                if not error.missing:
                    failed[key] = str(error)
        return failed

    def abort_stale_uploads(self, older_than: timedelta, limit: int = PAGE) -> int:
        """Abort uploads in parts, begun longer ago than that by S3's clock. Returns how many, `limit` at most.

        Others' uploads in a shared bucket are left alone. Filtered here and not by S3, as MinIO takes a prefix for a
        whole key. Raises StorageError.
        """
        before = datetime.now(UTC) - older_than
        with mapped("listing uploads"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
            stale = [
                each
                for page in pages
                for each in page.get("Uploads", [])
                if each["Initiated"] < before and each["Key"].startswith(self._ours)
            ]
        count = 0
        for each in stale[:limit]:
            try:
                with mapped(f"aborting an upload of {each['Key']}"):
                    self._client.abort_multipart_upload(Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"])
            except StorageError as error:
                if error.code != "NoSuchUpload":  # it has ended meanwhile
                    raise
            else:
                count += 1
        return count

    # The bucket

    def _has_bucket(self) -> None:
        doing = f"looking for the bucket {self._bucket}"
        try:
            with mapped(doing):
                self._client.head_bucket(Bucket=self._bucket)
        except StorageError as error:
            if error.missing:
                raise answered(doing, 404, "NoSuchBucket") from None
            raise

    def look(self) -> None:
        """Ask for what is not there: who says so lets us in. Raises StorageError, also where the bucket is not there."""
        try:
            self.head(NOTHING)
        except StorageError as error:
            if not error.missing:
                raise

    def check(self) -> list[str]:
        """Try with a probe what is used. Returns what these credentials may not do, where it can be done without. Raises
        StorageError that says which of the rest does not work, and why.
        """
        key = f".headrace-probe-{uuid4().hex}"
        self.put_bytes(key, PROBE, "text/plain")
        try:
            self._read_probe(key)
            listed = self._listed(key)
        finally:
            failed = self.delete_many([key])
        if failed:
            raise StorageError(f"deleting {key}: {failed[key]}", retryable=False)
        if listed == [key] and self._listed(key):
            raise StorageError(f"deleting {key}: it is still there", retryable=False)
        if listed is not None and listed != [key]:
            raise StorageError(f"listing {key}: it is not in the list", retryable=False)
        notes = [] if listed is not None else ["list objects, so what a crash leaves behind stays"]
        try:
            self.abort_stale_uploads(timedelta(days=36_500))  # none is so old: this tries only the list of uploads
        except StorageError as error:
            if not error.forbidden:
                raise
            notes.append("list uploads in parts, so those that a crash leaves open stay")
        return notes

    def _listed(self, key: str) -> list[str] | None:
        """What the list of objects has under this key; None: these credentials may not list."""
        try:
            return [item.key for item in self.list_page(key, None, 1)]
        except StorageError as error:
            if not error.forbidden:
                raise
            return None

    def _read_probe(self, key: str) -> None:
        if self.head(key).size != len(PROBE):
            raise StorageError(f"looking at {key}: its size is not that of what was put", retryable=False)
        for start, end in ((None, None), (1, 2)):
            wanted = PROBE if start is None else PROBE[1:3]
            with self.get_range(key, start, end).chunks as chunks:
                if b"".join(chunks) != wanted:
                    raise StorageError(f"reading {key}: it is not what was put", retryable=False)

    def close(self) -> None:
        """Drop boto3's connections; obstore drops its own when it is forgotten."""
        self._client.close()


def _refuse_odd(key: str) -> None:
    """Refuse keys that would be stored under another name: obstore drops slashes at the ends, SeaweedFS turns others."""
    if any(part in {"", ".", ".."} for part in key.split("/")) or "\\" in key or not key.isprintable():
        raise ValueError(f"not a key for an object: {key!r}")


_lock = threading.Lock()
_storage: Storage | None = None


def storage() -> Storage:
    """This process's storage, from its settings."""
    global _storage  # noqa: PLW0603 - one per process
    if _storage is None:
        with _lock:
            if _storage is None:
                _storage = Storage()
    return _storage


def reach() -> None:
    """Find out whether S3 answers and lets us in. Raises StorageError."""
    storage().look()


def close() -> None:
    """Forget this process's storage (end of a process, or of a test)."""
    global _storage  # noqa: PLW0603 - one per process
    with _lock:
        if _storage is not None:
            _storage.close()
        _storage = None
