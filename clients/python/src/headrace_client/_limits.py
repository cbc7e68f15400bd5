"""How long and how much at once, for all that one client does."""

import threading


class Limits:
    """`patience`: seconds for which what fails for now is tried again. `silence`: seconds without a byte after which a stream is
    dead (a server says something each 15 s). `streams`: at most so many waits listen at once, the others ask now and then.
    """

    def __init__(self, patience: float = 60.0, silence: float = 40.0, streams: int = 20) -> None:
        self.patience = patience
        self.silence = silence
        self._free = streams
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
