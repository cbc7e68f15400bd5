"""What can be wrong with what comes, before it is a request, and how that is answered."""

from typing import NamedTuple

from api.edge.pace import TOO_FAST
from api.edge.request_limits import RETRY_SECONDS

MAX_HEAD_BYTES = 65_536  # request line and headers as they come; what we take is less (`api.edge.request_limits`), and told more clearly
MAX_HEADERS = 128
MAX_PIPELINED = 32  # requests behind one that is not answered yet


class Refusal(NamedTuple):
    """What is wrong with what came, as it is answered."""

    status: int
    code: str
    detail: str
    retry_after: int | None = None


class Stop(Exception):
    """Raised where the parser calls, which makes it stop. A new one each time: one that is kept would keep with its
    traceback every connection it was raised for."""


INVALID = Refusal(400, "invalid_request", "this is no HTTP/1.1 request")
LARGE_HEAD = Refusal(431, "headers_too_large", f"the head has more than {MAX_HEAD_BYTES} bytes")
MANY_HEADERS = Refusal(431, "headers_too_large", f"there are more than {MAX_HEADERS} headers")
FRAMING = Refusal(400, "invalid_request", "the body's chunks, their extensions or its trailers are too large for it")
LARGE_BODY = Refusal(413, "body_too_large", "the body is larger than anything that is taken here")
PIPELINED = Refusal(400, "invalid_request", f"more than {MAX_PIPELINED} requests wait for their answers")
AFTER_CLOSE = Refusal(400, "invalid_request", "the last request said that it was the last")
FAST = Refusal(429, "rate_limited", TOO_FAST, RETRY_SECONDS)
SLOW_HEAD = Refusal(408, "request_timeout", "the head did not come in time")
SLOW_BODY = Refusal(408, "request_timeout", "the body did not come in time")
