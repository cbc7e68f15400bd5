"""Named places at which a fault test may kill the process.

A run that sets HEADRACE_FAULT_POINT="name" and HEADRACE_FAULT_MARKER="/some/file" is killed by SIGKILL the first time
any process reaches that name: creating the marker file decides who it is, so one run kills exactly once. Without the
two variables `reached` is one dictionary look-up; settings refuse them in production.
"""

import os
import signal

_POINT = os.environ.get("HEADRACE_FAULT_POINT")
_MARKER = os.environ.get("HEADRACE_FAULT_MARKER")


def reached(name: str) -> None:
    """Die here if the test asked for it, otherwise do nothing."""
    if name != _POINT or not _MARKER:
        return
    try:
        os.close(os.open(_MARKER, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
