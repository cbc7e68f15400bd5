"""Bodies of hooks: read no further than their limit, and made such that they can be kept."""

import re
from typing import Any

import orjson
from starlette.requests import Request

from common.errors import BodyTooLarge, InvalidRequest

MAX_BYTES = 256 * 1024

# A NUL in JSON text, which PostgreSQL cannot keep; an even number of backslashes before it are themselves.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


async def body_of(request: Request) -> bytes:
    """The body, read no further than its limit. Raises BodyTooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(f"the body has more than {MAX_BYTES} bytes", limit=MAX_BYTES, size=len(body))
    return bytes(body)


def storable(payload: Any) -> dict[str, Any]:
    """A JSON object, as it can be kept. Raises InvalidRequest for what is none, or nested too deep to be written again."""
    try:
        # Written once more by us: what cannot be written (depth, NUL) must not reach the database.
        event = orjson.loads(_NUL.sub(rb"\1", orjson.dumps(payload)))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise InvalidRequest("the body is no JSON, or nested too deep", param="body") from None
    if not isinstance(event, dict):
        raise InvalidRequest("the body is no JSON object", param="body")
    return event


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises InvalidRequest."""
    try:
        return storable(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise InvalidRequest("the body is no JSON, or nested too deep", param="body") from None
