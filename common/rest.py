"""A server that did not answer is not asked again at once: each who asked would wait for it anew."""

import time


class Rest:
    """For so many seconds after a failure. Threads may share one: at worst two of them ask."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it failed a moment ago."""
        return time.monotonic() < self._until

    def start(self) -> None:
        """It has failed."""
        self._until = time.monotonic() + self._seconds
