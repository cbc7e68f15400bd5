"""The first process of a container without an init of its own: what the kernel leaves to it, it does.

A first process (PID 1) is sent no signal that it does not handle, so a SIGTERM while it still imports is lost; and it
inherits every process whose parent has ended, which stays a zombie until it is waited for. So where we are the first,
our own work is done by a child, and the first only waits and hands signals on.
"""

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module

FORWARDED = {
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH
}  # fmt: skip


def run(module: str) -> None:
    """Import a module and call its `main`, as the child of a first process where we would be the first."""
    stand_in()
    import_module(module).main()


def stand_in() -> None:
    """Return in a child if this process is the first of its system; else at once. Call before threads are started."""
    if os.getpid() != 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    child = os.fork()
    if child:
        os._exit(_wait(child))
    _take_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(child: int) -> int:
    """Hand signals on and collect whatever ends, until the child has. Returns the status to end with."""
    while True:
        number = signal.sigwait(FORWARDED | {signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        while True:  # one signal may stand for several that have ended
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if not ended:
                break
            if ended == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _take_terminal() -> None:
    """Be a group of our own, in front of the terminal if there is one: its Ctrl-C comes to us, and not a second time from
    the first process.
    """
    os.setpgid(0, 0)
    if sys.stdin is not None and sys.stdin.isatty():
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with suppress(OSError):
            os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)
