"""A result is fetched from where it lies. Fetching is not generating: what goes wrong here says nothing against the result,
so it is tried again for some seconds, and then whoever wants it may open it afresh, or ask for it under its id.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from workers.providers.base import NotFetched, ProviderError
from workers.providers.wire import CONNECT_SECONDS, READ_SECONDS, retry_after_seconds

FETCH_SECONDS = (
    600.0  # in all, from the first try to the last byte; a wait for one more byte may end READ_SECONDS later
)
TRIES, TRIES_SECONDS = 5, 10.0  # until the first byte comes
PAUSE_SECONDS_MOST = 3.0  # between two tries, whatever Retry-After says
RESULT_BYTES = 16 * 1024**3  # unpacked; who takes a result has a smaller limit of his own
PASSING = {403, 404, 408, 409, 425, 429}  # a bucket's copy may come later than its address; and every 5xx


def fetch(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    seconds: float = FETCH_SECONDS,
    tries: int = TRIES,
    most: int = RESULT_BYTES,
) -> Iterator[bytes]:
    """Stream a result, unpacked where it is sent packed (Content-Encoding).

    Raises NotFetched where it cannot be had to its end, is empty, or takes longer than `seconds`. Once something of it
    was given out it is not begun anew here. Raises ProviderError `answer_too_large` past `most` bytes.
    """
    end, size = time.monotonic() + seconds, 0
    with _opened(url, headers or {}, end, tries) as (first, rest):
        chunk: bytes | None = first
        while chunk is not None:
            size += len(chunk)
            if size > most:
                raise ProviderError(
                    "answer_too_large", f"a result of more than {most} bytes", retryable=False, charged=True
                )
            yield chunk
            chunk = _next(rest, end)


@contextmanager
def _opened(url: str, headers: Mapping[str, str], end: float, tries: int) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """The first bytes and the rest of them, after as many tries as it takes."""
    read = max(0.1, min(READ_SECONDS, end - time.monotonic()))
    timeout = httpx.Timeout(read, connect=min(CONNECT_SECONDS, read))
    # A result does not shrink by being packed, so it is asked for as it is; who packs it all the same is understood.
    headers = {"accept-encoding": "identity", **headers}
    with httpx.Client(timeout=timeout, follow_redirects=True, trust_env=False) as client:
        again = Retrying(
            stop=stop_after_attempt(tries) | stop_after_delay(min(TRIES_SECONDS, end - time.monotonic())),
            wait=_pause,
            retry=retry_if_exception(_passes),
            reraise=True,
        )
        answer, first, rest = again(_begun, client, url, headers, end)
        try:
            yield first, rest
        finally:
            answer.close()


def _begun(
    client: httpx.Client, url: str, headers: Mapping[str, str], end: float
) -> tuple[httpx.Response, bytes, Iterator[bytes]]:
    answer = None
    try:
        answer = client.send(client.build_request("GET", url, headers=dict(headers)), stream=True)
        if answer.status_code != 200:
            error = NotFetched(f"the result's address answered {answer.status_code}", answer.status_code)
            error.retry_after_seconds = retry_after_seconds(answer.headers)
            raise error
        rest = answer.iter_bytes()  # as it comes: a full chunk of something that drips would be waited for for ever
        first = _next(rest, end)
        if first is None:
            raise NotFetched("the result's address answered with nothing", 200)
    except BaseException as error:
        if answer is not None:
            answer.close()
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | ValueError):  # ValueError: a name that is none
            raise _broken(error) from error
        raise
    return answer, first, rest


def _next(rest: Iterator[bytes], end: float) -> bytes | None:
    """The next bytes. None: that was all."""
    try:
        for chunk in rest:
            if time.monotonic() > end:
                raise NotFetched("the result did not come to its end in its time")
            if chunk:
                return chunk
    except httpx.HTTPError as error:
        raise _broken(error) from error
    return None


def _broken(error: Exception) -> NotFetched:
    return NotFetched(f"the result could not be fetched: {type(error).__name__}: {error}"[:300])


def _passes(error: BaseException) -> bool:
    if not isinstance(error, NotFetched):
        return False
    return error.status in {None, 200} or error.status in PASSING or error.status >= 500


_grows = wait_random_exponential(multiplier=0.2, max=PAUSE_SECONDS_MOST)


def _pause(state: RetryCallState) -> float:
    """What the address asks for, within limits; else a little more each time."""
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after_seconds if isinstance(error, NotFetched) else None
    return min(told, PAUSE_SECONDS_MOST) if told is not None else _grows(state)
