"""One S3 module for AWS, SeaweedFS, MinIO and R2. boto3, but results are put through obstore: a tenth of the CPU.

Every error is a StorageError that says whether trying again helps. Reads and deletes are repeated by boto3 itself
(three tries); a put is repeated by who has the file.
"""

import io
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import boto3
import obstore
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import S3Store

from models.settings import settings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
READ_SECONDS = 60
CHUNK_BYTES = 8 * 1024 * 1024  # of a multipart put; times two in flight, the most of a file that is in memory
CHUNKS_IN_FLIGHT = 2
READ_CHUNK_BYTES = 256 * 1024
DELETE_BATCH = 1000  # S3's own limit

_RETRYABLE_CODES = {
    "InternalError", "OperationAborted", "RequestTimeout", "RequestTimeTooSkewed", "ServiceUnavailable", "SlowDown",
    "Throttling", "ThrottlingException", "TooManyRequests",
}  # fmt: skip
_MISSING_CODES = {"NoSuchKey", "404", "NotFound"}

Value = TypeVar("Value")


class StorageError(Exception):
    """S3 said no or did not answer. `retryable`: trying again may help. `missing`: there is no such object."""

    def __init__(self, message: str, *, retryable: bool, missing: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.missing = missing


class Part(NamedTuple):
    """Bytes of an object, streamed, with the object's whole size and type."""

    chunks: Iterator[bytes]
    size: int
    media_type: str | None


class Head(NamedTuple):
    """What is known of an object without reading it."""

    size: int
    media_type: str | None


class Item(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    last_modified: datetime


class Storage:
    """One bucket. Thread-safe; made once per process."""

    def __init__(self) -> None:
        config = settings()
        secret = config.s3_secret_access_key.get_secret_value() if config.s3_secret_access_key else None
        self._bucket = config.s3_bucket
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=config.s3_endpoint_url,
            region_name=config.s3_region,
            aws_access_key_id=config.s3_access_key_id,
            aws_secret_access_key=secret,
            config=Config(
                s3={"addressing_style": "path" if config.s3_path_style else "virtual"},
                signature_version="s3v4",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 3},
                max_pool_connections=50,
            ),
        )
        options: dict[str, Any] = {"region": config.s3_region, "virtual_hosted_style_request": not config.s3_path_style}
        if config.s3_endpoint_url:
            options["endpoint"] = config.s3_endpoint_url
        if config.s3_access_key_id and secret:
            options |= {"access_key_id": config.s3_access_key_id, "secret_access_key": secret}
        self._store = S3Store(
            self._bucket,
            client_options={
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=READ_SECONDS),
                "allow_http": (config.s3_endpoint_url or "").startswith("http://"),
            },
            # A put is tried again by its caller, who knows how long that is worth; not silently for minutes by Rust.
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=READ_SECONDS)},
            **options,
        )

    def put_file(self, key: str, path: Path, media_type: str) -> None:
        """Store a file, in parts if it is large; at most two parts of 8 MiB are in memory."""
        with path.open("rb") as file:
            self._put(key, file, media_type)
        # obstore has compared nothing but the parts' own answers: one HEAD makes sure that the object is whole.
        if path.stat().st_size > CHUNK_BYTES and (size := self.head(key).size) != path.stat().st_size:
            raise StorageError(f"{key} has {size} bytes in S3, {path.stat().st_size} on disk", retryable=True)

    def put_bytes(self, key: str, data: bytes, media_type: str) -> None:
        """Store a small object."""
        self._put(key, io.BytesIO(data), media_type)

    def _put(self, key: str, file: Any, media_type: str) -> None:
        attributes: Any = {"Content-Type": media_type}
        try:
            obstore.put(
                self._store, key, file, attributes=attributes, chunk_size=CHUNK_BYTES, max_concurrency=CHUNKS_IN_FLIGHT
            )
        except (ObstoreError, OSError) as error:
            raise _of_obstore(error) from error

    def get_range(self, key: str, start: int | None = None, end: int | None = None) -> Part:
        """The bytes from `start` to `end`, both inclusive; the whole object without them. Close the iterator or use it up."""
        wanted = {} if start is None else {"Range": f"bytes={start}-{'' if end is None else end}"}
        answer = self._call(lambda: self._client.get_object(Bucket=self._bucket, Key=key, **wanted))
        whole = answer.get("ContentRange", "").rpartition("/")[2]
        return Part(_chunks(answer["Body"]), int(whole or answer["ContentLength"]), answer.get("ContentType"))

    def head(self, key: str) -> Head:
        """Size and type. Raises StorageError with `missing` where there is none."""
        answer = self._call(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
        return Head(answer["ContentLength"], answer.get("ContentType"))

    def presign(
        self, key: str, seconds: int, *, filename: str | None = None, media_type: str | None = None, inline: bool = True
    ) -> str:
        """A link that reads one object without credentials for so many seconds."""
        extra = {}
        if filename:
            kind = "inline" if inline else "attachment"
            extra["ResponseContentDisposition"] = f"{kind}; filename*=UTF-8''{quote(filename)}"
        if media_type:
            extra["ResponseContentType"] = media_type
        url: str = self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key, **extra}, ExpiresIn=seconds
        )
        return url

    def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete objects, a thousand per call. What is not there counts as deleted. Returns those that failed, and why."""
        failed: dict[str, str] = {}
        for begin in range(0, len(keys), DELETE_BATCH):
            objects = [{"Key": key} for key in keys[begin : begin + DELETE_BATCH]]
            answer = self._call(
                lambda objects=objects: self._client.delete_objects(  # type: ignore[misc]  # boto3 has no types
                    Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
                )
            )
            for error in answer.get("Errors", []):
                if error.get("Code") not in _MISSING_CODES:
                    failed[error["Key"]] = f"{error.get('Code')}: {error.get('Message')}"
        return failed

    def list_page(self, prefix: str, after: str | None, limit: int) -> list[Item]:
        """Up to `limit` (at most 1,000) objects whose keys come after `after`, in order."""
        extra = {"StartAfter": after} if after else {}
        answer = self._call(
            lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=min(limit, 1000), **extra)
        )
        return [Item(each["Key"], each["Size"], each["LastModified"]) for each in answer.get("Contents", [])]

    def abort_stale_uploads(self, older_than: timedelta) -> int:
        """Abort multipart uploads that were begun longer ago. Returns how many."""
        before = datetime.now(UTC) - older_than
        answer = self._call(lambda: self._client.list_multipart_uploads(Bucket=self._bucket))
        stale = [each for each in answer.get("Uploads", []) if each["Initiated"] < before]
        for each in stale:
            self._call(
                lambda each=each: self._client.abort_multipart_upload(  # type: ignore[misc]  # boto3 has no types
                    Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                )
            )
        return len(stale)

    def ensure_bucket(self) -> None:
        """Make the bucket if it is missing (local set-ups)."""
        try:
            self._call(lambda: self._client.head_bucket(Bucket=self._bucket))
        except StorageError as error:
            if not error.missing:
                raise
            self._call(lambda: self._client.create_bucket(Bucket=self._bucket))

    def check(self) -> None:
        """Put, read and delete a probe. Raises StorageError that says what does not work."""
        key = f".headrace-probe-{threading.get_ident()}"
        self.put_bytes(key, b"probe", "text/plain")
        if b"".join(self.get_range(key).chunks) != b"probe":
            raise StorageError("what was read back is not what was put", retryable=False)
        failed = self.delete_many([key])
        if failed:
            raise StorageError(f"the probe could not be deleted: {failed[key]}", retryable=False)

    def close(self) -> None:
        self._client.close()

    def _call(self, function: Callable[[], Value]) -> Value:
        try:
            return function()
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise _of_boto(error) from error


def _chunks(body: Any) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(READ_CHUNK_BYTES)
    except (BotoCoreError, OSError) as error:
        raise StorageError(f"S3 stopped in the middle: {type(error).__name__}", retryable=True) from error
    finally:
        body.close()


def _of_boto(error: Exception) -> StorageError:
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return StorageError(
            f"S3 answered {status} {code}",
            retryable=status >= 500 or status == 429 or code in _RETRYABLE_CODES,
            missing=code in _MISSING_CODES or code == "NoSuchBucket",
        )
    # No answer at all: refused, timed out, cut off. Wrong settings look different (NoCredentials, ParamValidation).
    name = type(error).__name__
    retryable = any(word in name for word in ("Connect", "Timeout", "Connection", "EndpointConnection", "Proxy", "SSL"))
    return StorageError(f"S3 could not be asked: {name}", retryable=retryable)


def _of_obstore(error: Exception) -> StorageError:
    name, text = type(error).__name__, str(error)
    final = name in {"PermissionDeniedError", "UnauthenticatedError", "InvalidPathError", "NotFoundError"} or any(
        sign in text for sign in ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "NoSuchBucket")
    )
    # Its messages quote the request; only the kind is passed on.
    return StorageError(f"S3 did not take the object: {name}", retryable=not final, missing=name == "NotFoundError")


_lock = threading.Lock()
_storage: Storage | None = None


def storage() -> Storage:
    """This process's storage."""
    global _storage  # noqa: PLW0603 - one per process
    if _storage is None:
        with _lock:
            if _storage is None:
                _storage = Storage()
    return _storage


def close() -> None:
    """Forget this process's storage (end of a process, or of a test)."""
    global _storage  # noqa: PLW0603 - one per process
    with _lock:
        if _storage is not None:
            _storage.close()
        _storage = None
