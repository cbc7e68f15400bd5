"""What S3 can answer wrong, from both clients, turned into one error that says whether trying again helps. Pure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions as boto
from boto3.exceptions import Boto3Error
from obstore.exceptions import BaseError as ObstoreError
from urllib3.exceptions import HTTPError

_RETRYABLE_CODES = frozenset({
    "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling",
    "ThrottlingException", "TooManyRequests",
    "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",  # bytes were hurt on the way
    "NoSuchUpload",  # an upload in parts was aborted, or its end arrived and the answer did not: begin again
    "EntityTooSmall", "InvalidPart", "InvalidPartOrder",  # a part was shortened or lost on the way: ours are all right
    "ExpiredToken",  # a role's credentials are renewed between tries
    "RequestTimeTooSkewed",  # clocks are set again; botocore corrects for it by itself
})  # fmt: skip
_RETRYABLE_STATUS = frozenset({408, 425, 429})  # and everything from 500
_MISSING_CODES = frozenset({"NoSuchKey", "404", "NotFound"})
_FORBIDDEN_CODES = frozenset({"403", "AccessDenied", "AllAccessDisabled", "Forbidden"})
_LOST_BUCKET = "NoSuchBucket"
_LOST = (
    boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, boto.MetadataRetrievalError, HTTPError,
    ConnectionError, TimeoutError,
)  # fmt: skip
_HINTS = {
    _LOST_BUCKET: "there is no such bucket",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "InvalidAccessKeyId": "the access key is not known there",
    "PermanentRedirect": "S3_REGION may be wrong",
    "AccessDenied": "these credentials may not do this",
}


class StorageError(Exception):
    """S3 said no or did not answer.

    `retryable`: trying again may help. `missing`: there is no such object. `code`: S3's own word, empty if it gave none.
    The message names no credential and quotes nothing of S3's answer, which may hold session tokens.
    """

    def __init__(self, message: str, *, retryable: bool, missing: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.retryable = retryable
        self.missing = missing
        self.code = code

    @property
    def forbidden(self) -> bool:
        """Whether these credentials, which are known there, may not do this; so S3 also says of an object that is not
        there, to those who may not list the bucket.
        """
        return self.code in _FORBIDDEN_CODES


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Whatever either client raises in the block leaves it as StorageError; `doing` begins the message.

    The cause is cut off on purpose: obstore's messages quote S3's whole answer, and AWS answers a bad signature with
    the request's canonical form, session token included. A traceback in a log would carry it.
    """
    try:
        yield
    except boto.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        raise answered(doing, status, code) from None
    except (boto.BotoCoreError, Boto3Error, HTTPError, ConnectionError, TimeoutError) as error:
        raise _unanswered(doing, error) from None
    except (ObstoreError, OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # a local file could not be read; obstore's own FileNotFoundError has no number
        raise _of_obstore(doing, error) from None


def answered(doing: str, status: int, code: str) -> StorageError:
    """The error for an answer of S3. A missing bucket is a wrong setting, not a missing object."""
    shown = f"{status} {code}" if code and code != str(status) else str(status)
    hint = f" ({_HINTS[code]})" if code in _HINTS else ""
    return StorageError(
        f"{doing}: S3 answered {shown}{hint}",
        retryable=status >= 500 or status in _RETRYABLE_STATUS or code in _RETRYABLE_CODES,
        missing=code in _MISSING_CODES or (status == 404 and not code),
        code=code,
    )


def _unanswered(doing: str, error: Exception) -> StorageError:
    """No answer, or half of one. What remains are wrong settings (no credentials, a bad name), where time is no help."""
    lost = isinstance(error, _LOST)
    untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
    return StorageError(f"{doing}: no answer from S3, {type(error).__name__}", retryable=lost and not untrusted)


def _of_obstore(doing: str, error: Exception) -> StorageError:
    """obstore raises one kind for most things and tells the rest in its text, so the text is read."""
    text = str(error)
    if status := re.search(r"status code: (\d{3})", text):
        code = re.search(r"<Code>(\w+)</Code>", text)
        # A put cannot miss its object: 404 without a known code is something else that is not there.
        found = answered(doing, int(status[1]), code[1] if code else status[1])
        found.missing = False
        return found
    if lost := re.search(r"HttpError \{\s*kind: (\w+)", text):
        untrusted = "InvalidCertificate" in text
        return StorageError(f"{doing}: no answer from S3, {lost[1]}", retryable=not untrusted)
    if "BareRedirect" in text:
        return StorageError(f"{doing}: S3 is elsewhere (S3_REGION may be wrong)", retryable=False)
    final = type(error).__name__ not in {"GenericError", "JoinError", "BaseError"} or "Unauthenticated" in text
    return StorageError(f"{doing}: the upload failed, {type(error).__name__}", retryable=not final)
