"""Which providers rest, for who watches: asked of Redis every quarter of a minute at most."""

import threading
import time

from common.telemetry.figures import LabelValues
from models.catalogue.providers import providers
from models.db import transaction
from workers.calls.limits import pressure

FRESH_SECONDS = 15.0


class RestingProviders:
    """The last answer. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: list[tuple[LabelValues, float]] = []
        self._fresh_until = 0.0

    def __call__(self) -> list[tuple[LabelValues, float]]:
        """For how many seconds each provider of ours rests still; nothing while Redis is away."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._readings = _read()
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._readings


def _read() -> list[tuple[LabelValues, float]]:
    with transaction() as conn:
        limits = {name: entry.limits for name, entry in providers(conn).items()}
    found = pressure().states(limits) or {}
    return [((name,), state.resting_seconds) for name, state in found.items()]
