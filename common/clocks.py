"""Clocks that nobody sets."""

import time

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: its monotonic clock stands while it sleeps


def boot_seconds() -> float:
    """Seconds since this machine started, those in which it slept included: whoever holds a lease must count them."""
    return time.clock_gettime(_BOOT)
