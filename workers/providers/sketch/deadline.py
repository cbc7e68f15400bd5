"""When to stop working on a request."""

import time
from collections.abc import Callable

from workers.providers.base import ProviderError


class Deadline:
    """Says whether to go on: until nobody wants the result any more, or the time is over."""

    def __init__(
        self, seconds_left: float, canceled: Callable[[], bool], stop: Callable[[str, str], ProviderError]
    ) -> None:
        self._end, self._canceled, self._stop = time.monotonic() + seconds_left, canceled, stop

    def go_on(self) -> None:
        """Raises ProviderError `canceled` or `timed_out`."""
        if self._canceled():
            raise self._stop("canceled", "stopped at our request")
        if time.monotonic() > self._end:
            raise self._stop("timed_out", "the time for this job is over")

    def wait(self, seconds: float) -> None:
        """Wait so long, as far as it goes on."""
        end = time.monotonic() + seconds
        self.go_on()
        while (now := time.monotonic()) < end:
            time.sleep(min(0.05, end - now))
            self.go_on()
