"""HTTP to a provider: time-outs, what may be repeated, and what an answer or its absence means.

Three things can be known about a call. It was refused or never sent: nothing began. It was answered. Or it was sent and
the answer is lost: then only a call that changes nothing, or that carries an idempotency key which the provider honours,
is repeated here; for any other the outcome is unknown.
"""

import json as standard_json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import httpx
import orjson
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay, wait_random_exponential

from common import guard
from common.keepalives import keepalive_options
from common.retry_after import seconds_asked
from workers.providers.base import OutcomeUnknown, ProviderError

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
ATTEMPTS = 3  # of a call that may be repeated
ANSWER_BYTES = 96 * 1024 * 1024  # an answer with pictures in it; results by address are streamed instead
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
UNKNOWN_STATUS = {502, 504}  # a gateway gave up: what is behind it may still be working
MESSAGE_CHARACTERS = 500


class Wire:
    """A provider's HTTP connections. Thread-safe. `explain` reads a refusal that says more than its status does; it
    answers None where it knows no better.
    """

    def __init__(self, base_url: str, explain: Callable[[httpx.Response], ProviderError | None] | None = None) -> None:
        self._explain = explain or (lambda _answer: None)
        self._client = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
            transport=httpx.HTTPTransport(
                limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0),
                trust_env=False, verify=guard.trusted(), socket_options=keepalive_options(),
            ),
            follow_redirects=False,
            trust_env=False,
        )  # fmt: skip

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        seconds: float,
        repeatable: bool,
        json: Any = None,
        files: Any = None,
        data: Any = None,
        content: bytes | None = None,
        confirm: Callable[[], None] | None = None,
    ) -> httpx.Response:
        """One call, read to its end; `seconds` bounds the wait for the answer, repeats and all, and then reading it. Any status
        below 400 is returned.

        `confirm`, of a call that begins a generation (`Request.confirm`), is called once all is ready to be sent, each
        time that it is sent. What it raises goes through as it is.

        Raises ProviderError (see `refusal`), OutcomeUnknown where the answer was lost: also if it was lost once, and
        the call made again was only turned away, which says nothing about the first.
        """
        end, lost = time.monotonic() + seconds, False

        def once() -> httpx.Response:
            nonlocal lost
            left = max(1.0, end - time.monotonic())
            call = self._client.build_request(
                method, path, headers=dict(headers), timeout=_timeout(left), json=json, files=files, data=data,
                content=content,
            )  # fmt: skip
            if confirm is not None:
                confirm()
            try:
                with closing(self._client.send(call, stream=True)) as answer:
                    _read(answer, left)
                    return answer
            except NEVER_SENT:
                raise
            except httpx.HTTPError:
                lost = True
                raise

        try:
            with _meaning():
                answer = _patiently(once, seconds) if repeatable else once()
            self._refuse(answer)
        except ProviderError as error:
            if lost and error.retryable:
                raise OutcomeUnknown(f"the answer was lost, then: {error.message}") from error
            raise
        return answer

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        seconds: float,
        json: Any = None,
        confirm: Callable[[], None] | None = None,
    ) -> Iterator[httpx.Response]:
        """One call whose answer is read while it comes, by the block; leaving the block closes it. Never repeated.

        Confirms and raises as `send` does, also for what is lost inside the block.
        """
        call = self._client.build_request(method, path, headers=dict(headers), timeout=_timeout(seconds), json=json)
        if confirm is not None:
            confirm()
        with _meaning(), closing(self._client.send(call, stream=True)) as answer:
            if answer.status_code >= 400:
                _read(answer, seconds)
                self._refuse(answer)
            yield answer

    def _refuse(self, answer: httpx.Response) -> None:
        if answer.status_code < 400:
            return
        error = self._explain(answer)
        if error is None:
            if answer.status_code in UNKNOWN_STATUS:
                raise OutcomeUnknown(f"the provider's gateway answered {answer.status_code}")
            error = refusal(answer)
        error.refused_call = True
        raise error

    def close(self) -> None:
        self._client.close()


def _timeout(seconds: float) -> httpx.Timeout:
    read = max(1.0, min(seconds, 3600.0))
    return httpx.Timeout(read, connect=min(CONNECT_SECONDS, read), pool=CONNECT_SECONDS)


@contextmanager
def _meaning() -> Iterator[None]:
    """Say of a failed call whether it was never sent, or whether its answer is lost."""
    try:
        yield
    except NEVER_SENT as error:
        raise ProviderError(
            "unreachable", f"the provider cannot be reached: {_short(error)}", retryable=True, refused_call=True
        ) from error
    except httpx.HTTPError as error:
        raise OutcomeUnknown(f"the answer was lost: {_short(error)}") from error


def _patiently(once: Any, seconds: float) -> httpx.Response:
    for attempt in Retrying(
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(seconds),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        retry=retry_if_exception_type(httpx.TransportError),
        reraise=True,
    ):
        with attempt:
            answer: httpx.Response = once()
    return answer


def _read(answer: httpx.Response, seconds: float) -> None:
    """Read the body with limits: an endless answer cannot fill the memory, nor one that trickles hold the thread."""
    parts, size, end = [], 0, time.monotonic() + seconds
    for chunk in answer.iter_bytes():
        size += len(chunk)
        if time.monotonic() > end:
            raise httpx.ReadTimeout(f"the answer did not end within {seconds:g} s")
        if size > ANSWER_BYTES:
            raise ProviderError(
                "answer_too_large", f"the provider's answer has more than {ANSWER_BYTES} bytes", retryable=False,
                charged=True,
            )  # fmt: skip
        parts.append(chunk)
    answer._content = b"".join(parts)  # noqa: SLF001 - httpx has no limit of its own; `read()` would do just this


def json_of(answer: httpx.Response) -> Any:
    """The answer's JSON. Raises OutcomeUnknown where it is none: the call went through, and nobody knows to what."""
    return json_in(answer.content)


def json_in(data: bytes) -> Any:
    """The same of an answer's body."""
    try:
        return parsed(data)
    except ValueError as error:
        raise OutcomeUnknown("the provider's answer is not JSON") from error


def parsed(data: bytes) -> Any:
    """JSON as providers write it, NaN, lone surrogates and broken letters too: an answer that was paid for is not thrown
    away for these. Raises ValueError where it is no JSON, such as one that is cut off.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        try:
            return standard_json.loads(data.decode("utf-8-sig", errors="replace"))
        except RecursionError as error:
            raise ValueError("JSON that is nested too deeply") from error


def refusal(answer: httpx.Response) -> ProviderError:
    """What a status of 400 or more means. None of them is charged."""
    status, message = answer.status_code, message_of(answer)
    pause = seconds_asked(answer.headers)
    if status == 429:
        return ProviderError("limited", message, retryable=True, limited=True, retry_after_seconds=pause)
    if status in {401, 403}:
        return ProviderError("unauthorized", message, retryable=False, elsewhere=True)
    if status == 402:
        return ProviderError("provider_unpaid", message, retryable=False, elsewhere=True)
    if status in {404, 405, 410}:
        return ProviderError("not_found", message, retryable=False, elsewhere=True)
    if status in {408, 409, 425} or status >= 500:
        return ProviderError(f"http_{status}", message, retryable=True, retry_after_seconds=pause)
    return ProviderError("invalid_input", message, retryable=False)


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def message_of(answer: httpx.Response) -> str:
    """The provider's own words, wherever it puts them: error.message, detail, title, or the text."""
    found: Any = None
    try:
        found = parsed(answer.content)
    except ValueError:
        found = answer.text
    while isinstance(found, dict):
        found = next((found[name] for name in ("error", "message", "detail", "title", "msg") if found.get(name)), "")
    if isinstance(found, list):
        found = "; ".join(str(each.get("msg", each)) if isinstance(each, dict) else str(each) for each in found[:3])
    text = " ".join(str(found or "").split())[:MESSAGE_CHARACTERS]
    return text or f"the provider answered {answer.status_code}"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
