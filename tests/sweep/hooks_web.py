"""HTTP, at httpcore, which is under httpx (providers) and under our guard (inputs, webhooks); SMTP; and sketch, the
provider in our own process, at the protocol that all providers have.
"""

import contextlib
import re
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import httpcore

from tests.sweep.boundary import Boundary
from workers.providers.base import OutcomeUnknown, ProviderError
from workers.providers.sketch import Sketch

ID = re.compile(r"(own-)?[0-9a-f]{8,}[0-9a-zA-Z_-]*(:\d+)?|[A-Za-z0-9_-]{40,}")
START = ("fail", "refused", "limited", "lost", "hang", "late", "cut", "kill")
ASK = ("fail", "refused", "limited", "lost", "hang", "cut", "kill")
FETCH = ("fail", "refused", "missing", "lost", "hang", "cut", "kill")
HOOK = ("fail", "refused", "lost", "hang", "cut", "kill")
STATUS = {"refused": 503, "limited": 429, "missing": 404}


class Cut:
    """An answer's body that breaks off half-way."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data[: len(self._data) // 2]
        raise httpcore.ReadError("the connection broke")


@contextmanager
def hooked(boundary: Boundary, place: Callable[[int], str]) -> Iterator[None]:
    """Watch for the time of the block. `place` names who listens on a port: provider, input or hook."""
    with ExitStack() as stack:
        stack.enter_context(_http(boundary, place))
        stack.enter_context(_sketch(boundary))
        stack.enter_context(_mail(boundary))
        yield


@contextmanager
def _http(boundary: Boundary, place: Callable[[int], str]) -> Iterator[None]:
    send = httpcore.ConnectionPool.handle_request

    def watched(self: Any, request: Any) -> Any:
        if boundary.process is None:
            return send(self, request)
        method, path = request.method.decode(), request.url.target.decode().partition("?")[0]
        where = place(request.url.port or 80)
        starts = where == "provider" and method in {"POST", "PUT"} and not path.endswith("/cancel")
        fetches = method == "GET" and "/files/" in path
        theirs = where in {"hook", "input"}  # a client's own place: that nothing is there would be an answer
        ways = START if starts else HOOK if theirs else FETCH if fetches else ASK
        way = boundary.cross("provider" if where == "provider" else "web", f"{method} {ID.sub('*', path)}", ways)
        if starts:
            boundary.starting(way)
        answer = _carried_out(boundary, way, lambda: send(self, request))
        if starts:
            boundary.answered()
        return answer

    with patch.object(httpcore.ConnectionPool, "handle_request", watched):
        yield


def _carried_out(boundary: Boundary, way: str | None, go: Callable[[], Any]) -> Any:
    match way:
        case None:
            return go()
        case "fail":
            raise httpcore.ConnectError("connection refused")
        case "hang":
            raise httpcore.ReadTimeout("no answer in time")
        case "late":  # sent, and on its way for longer than its sender waits
            boundary.hold(lambda: _whole(go()))
            raise httpcore.ReadTimeout("no answer in time")
        case "lost":
            _whole(go())
            raise httpcore.ReadError("the connection broke")
        case "kill":
            raise boundary.killed(httpcore.ReadError("killed"))
        case "cut":
            answer = go()
            data = _whole(answer)
            return httpcore.Response(answer.status, headers=answer.headers, content=Cut(data))
    headers = [(b"content-type", b"application/json")]
    if way == "limited":
        headers.append((b"retry-after", b"20"))
    return httpcore.Response(STATUS[way], headers=headers, content=b'{"error": {"message": "swept"}}')


def _whole(answer: Any) -> bytes:
    data = b"".join(answer.iter_stream())
    answer.close()
    return data


@contextmanager
def _mail(boundary: Boundary) -> Iterator[None]:
    connect, send = smtplib.SMTP.connect, smtplib.SMTP.sendmail

    def connected(self: Any, *given: Any, **more: Any) -> Any:
        way = boundary.cross("web", "SMTP connect", ("fail", "hang", "kill"))
        if way is not None:
            raise _unsent(boundary, way)
        return connect(self, *given, **more)

    def sent(self: Any, *given: Any, **more: Any) -> Any:
        way = boundary.cross("web", "SMTP send", ("fail", "refused", "lost", "hang", "kill"))
        if way in {None, "lost"}:
            done = send(self, *given, **more)
            if way is None:
                return done
        raise _unsent(boundary, str(way))

    with patch.object(smtplib.SMTP, "connect", connected), patch.object(smtplib.SMTP, "sendmail", sent):
        yield


def _unsent(boundary: Boundary, way: str) -> BaseException:
    gone = smtplib.SMTPServerDisconnected("connection unexpectedly closed")
    errors: dict[str, Exception] = {
        "hang": TimeoutError("timed out"),
        "refused": smtplib.SMTPDataError(451, b"try again later"),
    }
    return boundary.killed(gone) if way == "kill" else errors.get(way, gone)


@contextmanager
def _sketch(boundary: Boundary) -> Iterator[None]:
    with ExitStack() as stack:
        for name in ("start", "poll", "lookup", "cancel"):
            stack.enter_context(patch.object(Sketch, name, _asked(boundary, name, getattr(Sketch, name))))
        yield


def _asked(boundary: Boundary, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    starts = name == "start"
    ways = ("fail", "lost", "hang", "late", "kill") if starts else ("fail", "lost", "hang", "kill")

    def watched(self: Any, request: Any, known_as: str) -> Any:
        if boundary.process is None:
            return ask(self, request, known_as)
        if starts:
            request.confirm()  # as every adapter does in the last line before its call
        way = boundary.cross("provider", f"sketch {name}", ways)
        if starts:
            boundary.starting(way)
        if way is not None:
            raise _unasked(boundary, way, name, lambda: ask(self, request, known_as))
        answer = ask(self, request, known_as)
        if starts:
            boundary.answered()
        return answer

    return watched


def _unasked(boundary: Boundary, way: str, name: str, go: Callable[[], Any]) -> BaseException:
    """What an adapter says of a call that went wrong so."""
    if way == "kill":
        return boundary.killed(OutcomeUnknown("killed"))
    if way == "fail" and name == "start":
        return ProviderError("unreachable", "connection refused", retryable=True, refused_call=True)
    if way == "lost":
        with contextlib.suppress(ProviderError):
            go()
    if way == "late":
        boundary.hold(go)
    return OutcomeUnknown("the answer was lost")
