"""When a request is sent again. Decisions alone: who waits is elsewhere."""

import random
import time

import httpx

from headrace_client._calls import Call

LONGEST_PAUSE_SECONDS = 8.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
REFUSED_FOR_NOW = {429, 503}  # nothing was done
LOST_ON_THE_WAY = {502, 504}  # a proxy speaks: something may have been done


def after_cut(call: Call, error: httpx.TransportError) -> bool:
    """Whether a call may be sent again after its connection broke."""
    return isinstance(error, NOT_SENT) or call.may_repeat


def after_answer(call: Call, status: int) -> bool:
    """Whether a call may be sent again after this answer."""
    return status in REFUSED_FOR_NOW or (status in LOST_ON_THE_WAY and call.may_repeat)


class Tries:
    """How often something was tried in vain, and how long it goes on: `patience` seconds from the first failure."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._failed = 0
        self._began: float | None = None

    def forget(self) -> None:
        """It has worked: the next failure is the first one again."""
        self._failed, self._began = 0, None

    @property
    def failed(self) -> bool:
        """Whether something has failed since it last worked."""
        return self._failed > 0

    def pause(self, wanted: float | None = None) -> float | None:
        """How long to wait before the next try; None: no longer. `wanted` is what the server asked for.

        Pauses grow, and have jitter, so that all clients of a server that was away do not come back at once.
        """
        now = time.monotonic()
        self._began = self._began or now
        grown = min(LONGEST_PAUSE_SECONDS, 0.25 * 2 ** min(self._failed, 10))
        pause = random.uniform(grown / 2, grown)  # noqa: S311 - spreads clients, hides nothing
        if wanted is not None:
            pause = wanted + pause / 4
        self._failed += 1
        return pause if now + pause - self._began <= self._patience else None


class Deadline:
    """A moment by which something must be over; None: never."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """The seconds until then, none below 0."""
        return float("inf") if self._end is None else max(0.0, self._end - time.monotonic())
