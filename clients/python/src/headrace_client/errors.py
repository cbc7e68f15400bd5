"""Everything that can go wrong, as classes. All are `HeadraceError`.

try:
    job = client.jobs.run("sketch-image", prompt="a harbour at dawn")
except NotEnoughCredits as error:
    print(f"{error.needed} credits are needed, {error.available} are there")
except JobFailed as error:
    print(error.job.error)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import ValidationError

if TYPE_CHECKING:
    from headrace_client.models import Job


class HeadraceError(Exception):
    """Something went wrong."""


class ConnectionFailed(HeadraceError):
    """The server was not reached, or broke off, for longer than the client's patience, or where it is not known whether what
    was asked for has been done.
    """


class WaitedTooLong(HeadraceError):
    """The job has not ended in the time that was given. It goes on: wait again, or cancel it."""

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobFailed(HeadraceError):
    """The job has failed; its credits are back. `job.error` says why."""

    def __init__(self, job: "Job") -> None:
        why = f"{job.error.code}: {job.error.message}" if job.error else job.status
        super().__init__(f"job {job.id} has not succeeded ({why})")
        self.job = job


class JobCanceled(JobFailed):
    """The job was canceled."""


class ChecksumMismatch(HeadraceError):
    """What was downloaded is not what the server has."""


class BadSignature(HeadraceError):
    """The webhook was not signed with this secret, or too long ago: do not believe it."""


class UnreadableAnswer(HeadraceError):
    """The server answered something that is not in its own document: is it a Headrace, of about this release?"""


class Refused(HeadraceError):
    """The server refused. Decide by the class or by `code`; `detail` is for people.

    `extra` has what else the refusal says; `request_id` is what the operator wants to know.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.code = str(problem.get("code") or f"status_{status}")
        self.detail = str(problem.get("detail") or "")
        self.param: str | None = problem.get("param")
        self.request_id: str | None = problem.get("request_id") or headers.get("x-request-id")
        self.retry_after = retry_after(headers)
        self.extra: dict[str, Any] = {name: value for name, value in problem.items() if name not in _OF_ALL}
        super().__init__(f"{status} {self.code}: {self.detail}" if self.detail else f"{status} {self.code}")


_OF_ALL = {"type", "title", "status", "detail", "code", "param", "retryable", "request_id"}


class AuthenticationError(Refused):
    """The key is not valid: it was revoked, has expired, or is not a key at all."""


class PaymentRequired(Refused):
    """Credits, a budget or a limit do not suffice; `code` says which."""


class NotEnoughCredits(PaymentRequired):
    """The account has not enough credits."""

    @property
    def needed(self) -> int | None:
        """The credits that this needs."""
        return self.extra.get("needed")

    @property
    def available(self) -> int | None:
        """The credits that there are."""
        return self.extra.get("available")


class PermissionDenied(Refused):
    """This caller may not do that."""


class NotFound(Refused):
    """There is nothing here, or it is somebody else's."""


class Gone(Refused):
    """It was here, and is not kept any more."""


class Conflict(Refused):
    """It does not stand as this needs it: a job that has ended, a version that somebody has changed meanwhile."""


class InvalidInput(Refused):
    """The request or the input of the model is wrong; `param` names the field."""


class RateLimited(Refused):
    """Too many requests, for longer than the client's patience; `retry_after` says when to come back."""


class ServerError(Refused):
    """The server has a fault; tell its operator the `request_id`."""


class Unavailable(ServerError):
    """The server cannot now, and could not for as long as the client's patience."""


_BY_CODE: dict[str, type[Refused]] = {
    "not_enough_credits": NotEnoughCredits,
    "act_refused": Conflict,
    "credential_ended": Conflict,
    "hold_ended": Conflict,
    "job_already_ended": Conflict,
    "job_not_ended": Conflict,
    "webhook_disabled": Conflict,
}
_BY_STATUS: dict[int, type[Refused]] = {
    401: AuthenticationError,
    402: PaymentRequired,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: Conflict,
    429: RateLimited,
    503: Unavailable,
}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait; None: it does not say. (Ours are numbers; a proxy's date is passed over.)"""
    said = headers.get("retry-after", "").strip()
    return float(said) if said.isascii() and said.isdigit() else None


def refusal(response: httpx.Response) -> Refused:
    """The error for an answer that is one; its body has been read."""
    try:
        said = response.json()
    except ValueError:
        said = {}
    problem = said if isinstance(said, dict) else {}
    kind = _BY_CODE.get(str(problem.get("code"))) or _BY_STATUS.get(response.status_code)
    if kind is None:
        kind = ServerError if response.status_code >= 500 else InvalidInput
    return kind(response.status_code, problem, response.headers)


def unreadable(response: httpx.Response, error: ValidationError | ValueError) -> UnreadableAnswer:
    """The error for an answer that nobody can read. It names places, and quotes nothing: answers may hold secrets."""
    places = ""
    if isinstance(error, ValidationError):
        places = ": " + ", ".join(".".join(map(str, each["loc"])) or "all of it" for each in error.errors()[:5])
    return UnreadableAnswer(
        f"the answer to {response.request.method} {response.request.url.path} is not as described{places}"
    )
