"""A result is fetched from where it lies, through the guard: an address out of a provider's answer may be what a customer
wrote into the prompt. Only a provider's own places (`OutputSource.own`) may be private.

Fetching is not generating: what goes wrong here says nothing against the result, so it is tried again for some seconds,
and then whoever wants it may open it afresh, or ask for it under its id.
"""

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from common.addresses import place_of
from common.guard import AddressRefused, open_url
from common.retry_after import seconds_asked
from workers.providers.base import NotFetched, ProviderError
from workers.providers.wire import READ_SECONDS

log = logging.getLogger(__name__)

FETCH_SECONDS = 600.0  # in all, from the first try to the last byte
TRIES, TRIES_SECONDS = 5, 10.0  # until the first byte comes
MAX_PAUSE_SECONDS = 3.0  # between two tries, whatever Retry-After says
RESULT_BYTES = 16 * 1024**3  # unpacked; who takes a result has a smaller limit of his own
PASSING = {403, 404, 408, 409, 425, 429}  # a bucket's copy may come later than its address; and every 5xx
REFUSED = "the result's address is not one that is fetched from"  # all that is said of it, whatever the reason


def fetch(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    own: Collection[str] = (),
    seconds: float = FETCH_SECONDS,
    tries: int = TRIES,
    most: int = RESULT_BYTES,
) -> Iterator[bytes]:
    """Stream a result, unpacked where it is sent packed (Content-Encoding). `own`: the places (`host:port`) of the provider
    itself, which may be private; a stranger's server does not redirect into them.

    Raises NotFetched where it cannot be had to its end, is empty, or takes longer than `seconds`; `refused` where it is
    not fetched from there at all. Once something of it was given out it is not begun anew here. Raises ProviderError
    `answer_too_large` past `most` bytes.
    """
    end = time.monotonic() + seconds
    allow = own if place_of(url) in own else ()
    with _opened(url, headers or {}, allow, end, tries, most) as (first, rest):
        chunk: bytes | None = first
        while chunk is not None:
            yield chunk
            chunk = _next(rest, most)


@contextmanager
def _opened(
    url: str, headers: Mapping[str, str], allow: Collection[str], end: float, tries: int, most: int
) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """The first bytes and the rest of them, after as many tries as it takes."""
    again = Retrying(
        stop=stop_after_attempt(tries) | stop_after_delay(min(TRIES_SECONDS, end - time.monotonic())),
        wait=_pause,
        retry=retry_if_exception(_passes),
        reraise=True,
    )
    with ExitStack() as stack:
        yield again(_begun, stack, url, headers, allow, end, most)


def _begun(
    stack: ExitStack, url: str, headers: Mapping[str, str], allow: Collection[str], end: float, most: int
) -> tuple[bytes, Iterator[bytes]]:
    seconds = max(0.1, end - time.monotonic())
    with ExitStack() as opening:
        try:
            answer = opening.enter_context(
                open_url(
                    url, max_bytes=most, seconds=seconds, headers=headers, allow=allow, any_status=True,
                    idle_seconds=READ_SECONDS,
                )
            )  # fmt: skip
        except AddressRefused as error:
            raise _broken(error, most) from error
        if answer.status != 200:
            failed = NotFetched(f"the result's address answered {answer.status}", answer.status)
            failed.retry_after_seconds = seconds_asked(answer.headers)
            raise failed
        rest = answer.content()
        first = _next(rest, most)
        if first is None:
            raise NotFetched("the result's address answered with nothing", 200)
        stack.push(opening.pop_all())
        return first, rest


def _next(rest: Iterator[bytes], most: int) -> bytes | None:
    """The next bytes. None: that was all."""
    try:
        return next((chunk for chunk in rest if chunk), None)
    except AddressRefused as error:
        raise _broken(error, most) from error


def _broken(error: AddressRefused, most: int) -> NotFetched | ProviderError:
    if error.code == "too_large":
        return ProviderError("answer_too_large", f"a result of more than {most} bytes", retryable=False, charged=True)
    if error.code == "refused_address":
        log.warning("a result's address is refused: %s", error.message)
        return NotFetched(REFUSED, refused=True)
    return NotFetched(f"the result could not be fetched: {error.message}"[:300], error.status)


def _passes(error: BaseException) -> bool:
    if not isinstance(error, NotFetched) or error.refused:
        return False
    return error.status in {None, 200} or error.status in PASSING or error.status >= 500


_grows = wait_random_exponential(multiplier=0.2, max=MAX_PAUSE_SECONDS)


def _pause(state: RetryCallState) -> float:
    """What the address asks for, within limits; else a little more each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, NotFetched) else None
    return min(asked, MAX_PAUSE_SECONDS) if asked is not None else _grows(state)
