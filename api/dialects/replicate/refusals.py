"""Refusals as Replicate has them: `{type?, title, detail, status}`, a text in each."""

from api.edge.voices import PlainRefusal, Spoken
from common.dialects.replicate import BASE

LONGEST_RETRY = 5  # seconds: its library sleeps as long as it is told, whatever that is


def refuse(refusal: PlainRefusal) -> Spoken:
    """A refusal in this dialect."""
    body = {
        "title": refusal.title, "detail": refusal.detail, "status": refusal.status, "type": f"urn:headrace:problem:{refusal.code}",
        "code": refusal.code, "param": refusal.param, "request_id": refusal.request_id,
    }  # fmt: skip
    headers = {"retry-after": str(min(LONGEST_RETRY, refusal.retry_after))} if refusal.retryable else {}
    return Spoken(body, headers)


PREFIX = BASE.removesuffix("/v1")
