"""A clock for ages within this machine: it never jumps, and it counts the time in which the machine was suspended."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux has it; elsewhere suspends are not counted


def seconds() -> float:
    """Seconds since some moment in the past."""
    return time.clock_gettime(_CLOCK)
