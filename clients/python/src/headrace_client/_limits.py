"""How long and how much at once, for all that one client does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

ASKED_PER_SECOND = 20  # by all waits of a client that do not listen, however many they are


class Limits:
    """`patience`: seconds for which what fails for now is tried again. `silence`: seconds without a byte after which a stream is
    dead (a server says something each 15 s). `streams`: at most so many waits listen at once, the others ask now and then.
    """

    def __init__(self, patience: float = 60.0, silence: float = 40.0, streams: int = 32) -> None:
        self.patience = patience
        self.silence = silence
        self._free = streams
        self._asking = 0
        self._lock = threading.Lock()

    def take_stream(self) -> bool:
        """Whether one more wait may listen; who got it gives it back."""
        with self._lock:
            if self._free <= 0:
                return False
            self._free -= 1
            return True

    def give_stream(self) -> None:
        """Give back what `take_stream` gave."""
        with self._lock:
            self._free += 1

    @contextmanager
    def asking(self) -> Iterator[float]:
        """For the time of a pause of a wait that asks: how long it must be, so that all of them together ask gently."""
        with self._lock:
            self._asking += 1
            least = self._asking / ASKED_PER_SECOND
        try:
            yield least
        finally:
            with self._lock:
                self._asking -= 1
