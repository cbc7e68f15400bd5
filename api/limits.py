"""What every request meets first: an id, and limits on its size. Pure ASGI: a few microseconds."""

from typing import Any

import uuid_utils
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import of_domain, problem
from models.errors import BodyTooLarge
from models.settings import settings

MAX_URL_BYTES = 8192


class Limits:
    """Gives each request an `x-request-id`, and refuses bodies and URLs that are too large before they are read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid_utils.uuid7())
        scope["request_id"] = request_id
        id_header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *scope.get("rate_headers", ()),
                    id_header,
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        refusal = _refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_id)
            return
        limit, read = settings().max_body_bytes, 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise _too_large(read)  # where the body is read, so the app answers it like any other refusal
            return message

        await self._app(scope, receive_limited, send_with_id)


def _refusal(scope: Scope) -> Any:
    request = Request(scope)
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > MAX_URL_BYTES:
        return problem(request, 414, "url_too_long", f"the address is longer than {MAX_URL_BYTES} bytes")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > settings().max_body_bytes:
            return of_domain(request, _too_large(int(value)))
    return None


def _too_large(size: int) -> BodyTooLarge:
    limit = settings().max_body_bytes
    return BodyTooLarge(
        f"the body has {size} bytes or more; the limit is {limit}", param="body", limit=limit, size=size
    )
