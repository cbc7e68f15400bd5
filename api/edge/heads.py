"""HEAD for whatever GET answers: the same work, the same status and headers, and no body (RFC 9110, section 9.3.2).

Not for the stream of a job's events, which has no end; those of an account are a page then. uvicorn sends no body to a HEAD.
"""

import re
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STREAMS = re.compile(r"/v1/jobs/[^/]+/events/?|/compat/replicate/v1/streams/[^/]+/?")
_MAY_STREAM = re.compile(r"/v1/events/?")
_OWN = re.compile(r"/files/")  # looks at the object instead of reading it


class Heads:
    """Lets routes see a HEAD as the GET that it asks about. The outermost: what is in a scope is its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not is_answered_as_get(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        headers = scope["headers"]
        if _MAY_STREAM.fullmatch(scope["path"]):
            headers = [each for each in headers if each[0] != b"accept"]
        # In a scope of its own: uvicorn looks at the other one, and would send a body.
        await self._app({**scope, "method": "GET", "headers": headers}, receive, without_body)


def is_answered_as_get(path: str) -> bool:
    """Whether a HEAD of this path is answered from what GET says."""
    return not _STREAMS.fullmatch(path) and not _OWN.match(path)


def with_head(methods: Collection[str], path: str) -> list[str]:
    """The methods of a path, HEAD among them where there is a GET."""
    found = set(methods)
    return sorted(found | {"HEAD"} if "GET" in found and is_answered_as_get(path) else found)
