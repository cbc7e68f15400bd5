"""Refusals as fal has them: `{detail, message, error_type}`, where `detail` names the fields of what does not fit."""

from typing import Any

from api.edge.voices import PlainRefusal, Spoken

TRIED_AGAIN = frozenset({408, 409, 429})  # statuses that its library sends the same request again for, ten times
PERMANENT = {408: 400, 409: 422, 429: 403}  # what they are where that would be of no use
ENDED = "job_already_ended"


def speak_fal(refusal: PlainRefusal) -> Spoken:
    """A refusal in this dialect."""
    status = refusal.status
    if status in TRIED_AGAIN and not refusal.retryable:
        status = PERMANENT[status]
    request_id = refusal.request_id or ""
    body: dict[str, Any] = {
        "detail": _detail(refusal) if status == 422 else refusal.detail,
        "message": refusal.detail,  # what its library for JavaScript shows
        "error_type": refusal.code,
        "code": refusal.code,
        "param": refusal.param,
        "request_id": request_id,
        **refusal.extra,
    }
    if refusal.code == ENDED:
        body["status"] = "ALREADY_COMPLETED"
    headers = {"x-fal-request-id": request_id, "x-fal-error-type": refusal.code}
    if refusal.retryable:
        headers["retry-after"] = str(refusal.retry_after)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Spoken(body, headers, status)


def _detail(refusal: PlainRefusal) -> list[dict[str, Any]]:
    """As the framework of its applications says it: where, what, and a word for programs."""
    place = [each for each in (refusal.param or "").split(".") if each and each != "body"]
    if place[:1] == ["input"]:
        place = place[1:]
    loc = ["body", *(int(each) if each.isascii() and each.isdecimal() else each for each in place)]
    return [
        {"loc": loc, "msg": refusal.detail, "type": refusal.code, **({"ctx": refusal.extra} if refusal.extra else {})}
    ]
