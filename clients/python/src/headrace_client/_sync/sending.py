"""How calls travel: sent, sent again where that is safe, read. The one place that speaks HTTP."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Semaphore
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from headrace_client._calls import Call, sent_body, sent_headers, sent_query
from headrace_client._frames import Lines
from headrace_client._limits import Limits
from headrace_client._retries import Tries, after_answer, after_cut
from headrace_client._sync.paging import Pager
from headrace_client.errors import ConnectionFailed, Refused, refusal, unreadable

# httpx looks through all who wait for a connection with each that comes free: hundreds would keep it busy with that alone.
CALLS_AT_ONCE = 32

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=BaseModel)
T = TypeVar("T")


class Sender:
    """Sends calls of one caller to one server."""

    def __init__(
        self,
        http: httpx.Client,
        base_url: str,
        headers: Mapping[str, str],
        limits: Limits,
        gate: Semaphore | None = None,
    ) -> None:
        self.http = http
        self.base_url = base_url
        self.limits = limits
        self._headers = headers
        self._gate = gate or Semaphore(CALLS_AT_ONCE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"  # never its headers: they have the key

    def speaking_for(self, headers: Mapping[str, str]) -> "Sender":
        """The same with other headers besides."""
        return Sender(self.http, self.base_url, {**self._headers, **headers}, self.limits, self._gate)

    def ask(self, call: Call, kind: type[M]) -> M:
        """Send a call, and read its answer."""
        response = self._sent(call)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise unreadable(response, error) from None

    def ask_json(self, call: Call) -> Any:
        """Send a call whose answer has no name."""
        response = self._sent(call)
        try:
            return response.json()
        except ValueError as error:
            raise unreadable(response, error) from None

    def ask_text(self, call: Call) -> str:
        """Send a call that is answered with a text."""
        return (self._sent(call, accept="*/*")).text

    def ask_bytes(self, call: Call) -> bytes:
        """Send a call that is answered with a file."""
        return (self._sent(call, accept="*/*")).content

    def ask_nothing(self, call: Call) -> None:
        """Send a call that has no answer."""
        self._sent(call)

    def ask_lines(self, call: Call) -> Iterator[dict[str, Any]]:
        """Send a call that is answered with JSON Lines, and read them one by one as they come."""
        lines = Lines()
        try:
            with self.opened(call, accept="application/x-ndjson") as response:
                for chunk in response.iter_bytes():
                    for line in lines.feed(chunk):
                        yield json.loads(line)
                for line in lines.end():
                    yield json.loads(line)
        except httpx.TransportError as error:
            raise ConnectionFailed(_said(call, error, self.base_url)) from error

    def pager(self, call: Call, kind: type[P], items: Callable[[P], Sequence[T]]) -> Pager[T, P]:
        """A list, read page by page as somebody goes through it."""
        return Pager(self.ask, call, kind, items)

    @contextmanager
    def opened(
        self, call: Call, *, accept: str, headers: Mapping[str, str] | None = None, silence: float | None = None
    ) -> Iterator[httpx.Response]:
        """An answer that is read while it comes, tried once. Raises Refused, and httpx.TransportError as it is.

        `silence`: so many seconds without a byte are a broken line.
        """
        own = {**sent_headers(call), **(headers or {}), "Accept": accept}
        request = self._request(call, own)
        if silence is not None:
            request.extensions = {"timeout": {**request.extensions["timeout"], "read": silence}}
        response = self.http.send(request, stream=True)
        try:
            if response.is_error:
                response.read()
                raise refusal(response)
            yield response
        finally:
            response.close()

    def _sent(self, call: Call, *, accept: str = "application/json") -> httpx.Response:
        headers = {"Accept": accept, **sent_headers(call)}
        tries = Tries(self.limits.patience)
        lost = False  # one that was cut off may have been done
        while True:
            try:
                with self._gate:
                    with ExitStack() as files:
                        response = self.http.send(self._request(call, headers, files))
            except httpx.TransportError as error:
                pause = tries.pause() if after_cut(call, error) else None
                if pause is None:
                    raise ConnectionFailed(_said(call, error, self.base_url)) from error
                lost = True
            else:
                if response.is_success or (lost and call.verb == "DELETE" and response.status_code == 404):
                    return response
                refused = refusal(response)
                pause = tries.pause(refused.retry_after) if after_answer(call, response.status_code) else None
                if pause is None:
                    raise refused
            time.sleep(pause)

    def _request(self, call: Call, headers: Mapping[str, str], files: ExitStack | None = None) -> httpx.Request:
        body = sent_body(call)
        all_headers = {**self._headers, **headers}
        form = None
        if call.upload is not None and files is not None:
            form = {"file": (call.upload.name, files.enter_context(call.upload.opened()))}
        elif body is not None:
            all_headers["Content-Type"] = "application/json" if call.lines is None else "application/x-ndjson"
        return self.http.build_request(
            call.verb,
            self.base_url + call.address,
            params=sent_query(call) or None,
            headers=all_headers,
            content=body,
            files=form,
        )


def _said(call: Call, error: httpx.TransportError, base_url: str) -> str:
    unknown = "" if call.may_repeat else "; it is not known whether it was done"
    return f"{call.verb} {call.path} at {base_url}: {type(error).__name__}: {error}{unknown}"


def is_for_now(refused: Refused) -> bool:
    """Whether a refusal passes by itself."""
    return refused.status in {429, 502, 503, 504}
