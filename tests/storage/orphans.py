"""A sandbox whose children begin when their nursery has ended."""

import os
import sys
import time

from tests.storage.probes import work

__all__ = ["warm", "work"]


def warm() -> None:
    fork, nursery = os.fork, os.getpid()

    def fork_late() -> int:
        pid = fork()
        is_for_a_file = sys._getframe(1).f_code.co_name == "_begin"  # it also tries in a child which locks there are
        while pid == 0 and is_for_a_file and os.getppid() == nursery:
            time.sleep(0.01)
        return pid

    os.fork = fork_late
