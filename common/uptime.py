"""A clock that nobody sets, for ages within this machine."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: its monotonic clock stands while it sleeps


def seconds() -> float:
    """Seconds since this machine started, those in which it slept included: whoever holds a lease must count them."""
    return time.clock_gettime(_CLOCK)
