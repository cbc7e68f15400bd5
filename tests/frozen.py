"""Processes that stand still for a while, as those of a virtual machine that is moved, or of one whose disk has stopped."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 10.0


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """For the time of a block, which begins when each thread of these processes stands still: the signal is only sent when `kill`
    returns, and a process with many threads goes on for a moment.
    """
    for each in pids:
        os.kill(each, signal.SIGSTOP)
    try:
        end = time.monotonic() + SECONDS
        while not all(map(_stands_still, pids)):
            assert time.monotonic() < end, f"processes {pids} do not stand still"
            time.sleep(0.001)
        yield
    finally:
        for each in pids:
            os.kill(each, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(each.read_text().rpartition(")")[2].split()[0] == "T" for each in threads)
