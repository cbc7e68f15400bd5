"""Client of Headrace: order generated images, video and speech, wait for them, fetch them.

    from headrace_client import Headrace

    job = Headrace().jobs.run("sketch-image", prompt="a harbour at dawn")
    open("harbour.png", "wb").write(job.image())

`Headrace` blocks, `AsyncHeadrace` is awaited; else they are the same. Errors are in `headrace_client.errors` and here, types of
what is sent and answered in `headrace_client.models`.
"""

from headrace_client import errors, models
from headrace_client._async.client import AsyncHeadrace
from headrace_client._async.jobs import AsyncFinishedJob
from headrace_client._async.paging import AsyncPager
from headrace_client._calls import OMIT, Omit
from headrace_client._lines import BatchResult
from headrace_client._sync.client import Headrace
from headrace_client._sync.jobs import FinishedJob
from headrace_client._sync.paging import Pager
from headrace_client._version import VERSION
from headrace_client.errors import (
    AuthenticationError,
    BadSignature,
    ChecksumMismatch,
    Conflict,
    ConnectionFailed,
    Gone,
    HeadraceError,
    InvalidInput,
    JobCanceled,
    JobFailed,
    NotEnoughCredits,
    NotFound,
    PaymentRequired,
    PermissionDenied,
    RateLimited,
    Refused,
    ServerError,
    Unavailable,
    UnreadableAnswer,
    WaitedTooLong,
)
from headrace_client.signatures import WebhookEvent, verify_webhook

__version__ = VERSION
__all__ = [
    "OMIT",
    "AsyncFinishedJob",
    "AsyncHeadrace",
    "AsyncPager",
    "AuthenticationError",
    "BadSignature",
    "BatchResult",
    "ChecksumMismatch",
    "Conflict",
    "ConnectionFailed",
    "FinishedJob",
    "Gone",
    "Headrace",
    "HeadraceError",
    "InvalidInput",
    "JobCanceled",
    "JobFailed",
    "NotEnoughCredits",
    "NotFound",
    "Omit",
    "Pager",
    "PaymentRequired",
    "PermissionDenied",
    "RateLimited",
    "Refused",
    "ServerError",
    "Unavailable",
    "UnreadableAnswer",
    "WaitedTooLong",
    "WebhookEvent",
    "errors",
    "models",
    "verify_webhook",
]
