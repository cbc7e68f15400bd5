"""Refusals as OpenAI has them: always one object `error` with `message`, `type`, `param` and `code`, since its newer libraries show
nothing of any other body.
"""

from http import HTTPStatus

from api.edge.voices import PlainRefusal, Spoken
from common.dialects.openai import BASE

PREFIX = BASE.removesuffix("/v1")
LONGEST_RETRY = 60  # seconds; beyond it its libraries do as they like
UNPAID = "insufficient_quota"  # what programs look for where there are no credits
CODES = {
    "not_authenticated": "invalid_api_key",
    "unknown_model": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
}


def refuse_openai(refusal: PlainRefusal) -> Spoken:
    """A refusal in this dialect. What is for good says so, since a library sends again whatever it is not told to leave."""
    status = 400 if refusal.status == HTTPStatus.UNPROCESSABLE_ENTITY else refusal.status
    unpaid = status == HTTPStatus.PAYMENT_REQUIRED
    error = {
        "message": refusal.detail,
        "type": UNPAID if unpaid else _type_of(status),
        "param": refusal.param,
        "code": UNPAID if unpaid else CODES.get(refusal.code, refusal.code),
        **({"reason": refusal.code} if unpaid else {}),
        **{name: value for name, value in refusal.extra.items() if name == "job_id"},
    }
    if refusal.retryable:
        headers = {"retry-after": str(max(1, min(LONGEST_RETRY, refusal.retry_after)))}
    else:
        headers = {"x-should-retry": "false"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Spoken({"error": error}, headers, status)


def _type_of(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    if status == HTTPStatus.FORBIDDEN:
        return "permission_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
