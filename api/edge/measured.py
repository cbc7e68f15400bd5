"""How often each route is asked, how it answers and how long it takes. Stands in the way of a request only where figures or
traces are on.
"""

import time
from collections.abc import Mapping
from typing import Any

import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge.pace import HEALTH
from common.telemetry import figures, traces

NO_ROUTE = "none"
ABORTED = "aborted"  # the connection was closed before the answer was whole, by either side
STREAM = b"text/event-stream"


class Measured:
    """Notes each request under its route's template, never its path. A HEAD is the GET that it asks about."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0
        figures.IN_FLIGHT.read_by(lambda: [((), float(self._under_way))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, is_stream, whole = 0, False, False

        async def noting(message: Message) -> None:
            nonlocal status, is_stream, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = _is_stream(message)
            elif not message.get("more_body"):
                whole = True
            await send(message)

        begun = time.perf_counter()
        self._under_way += 1
        try:
            if not traces.is_on():
                await self._app(scope, receive, noting)
                return
            request_id = uuid_utils.uuid7()
            scope["request_id"] = str(request_id)
            with traces.request(request_id) as mark:
                await self._app(scope, receive, noting)
                if mark.trace.wanted:
                    mark.note(
                        {
                            "http.request.method": method_of(scope), "http.route": template_of(scope),
                            "http.response.status_code": status, "headrace.request_id": scope["request_id"],
                        }
                    )  # fmt: skip
                if is_stream or scope["path"] in HEALTH:
                    mark.drop()
                elif status >= 500:
                    mark.fail(str(status))
        finally:
            self._under_way -= 1
            if not is_stream:
                kind = f"{status // 100}xx" if whole else ABORTED
                figures.REQUESTS.note(time.perf_counter() - begun, template_of(scope), method_of(scope), kind)


def _is_stream(start: Message) -> bool:
    for name, value in start["headers"]:
        if name == b"content-type":
            return STREAM in value
    return False


def template_of(scope: Mapping[str, Any]) -> str:
    """The route that a request came to: of these there are as many as the code has."""
    return str(getattr(scope.get("route"), "path_format", NO_ROUTE))


METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def method_of(scope: Mapping[str, Any]) -> str:
    """A method that there is: strangers may send any word."""
    return scope["method"] if scope["method"] in METHODS else figures.OTHER
