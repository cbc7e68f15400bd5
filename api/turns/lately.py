"""What many want to see at once is read once, and shown for some seconds."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

_Read = TypeVar("_Read")


class Lately:
    """What was read lately, by name: one reads, and the others wait for it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._lock = seconds, clock, threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def get(self, name: str, read: Callable[[], _Read]) -> _Read:
        """What was read under this name at most so many seconds ago, or is read now."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or self._clock() - kept[0] >= self._seconds:
                kept = self._kept[name] = (self._clock(), read())
            found: _Read = kept[1]
            return found
