"""Becomes a server or a process of ours, tied to its launcher. Started by `locked.spawn`, as a file of its own.

Not a `preexec_fn`: that would run Python between fork and exec of a process with threads, which can hang and which
newer Pythons warn of. This runs after a change of user, so it uses the standard library only.

Usage: python -I -S child.py LOCK_DESCRIPTOR STOP_SIGNAL LAUNCHER_PID COMMAND...
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    lock, stop_signal, launcher = (int(argument) for argument in sys.argv[1:4])
    command = sys.argv[4:]
    tie(lock, stop_signal, launcher)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that on
    try:
        os.execvp(command[0], command)  # noqa: S606 - to become the program is the purpose
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")


def tie(lock: int, stop_signal: int, launcher: int) -> None:
    """Be found by whoever finds the lock taken, and be ended with the launcher, if it is not 0."""
    # Into the locked file itself, by the process that holds it: whoever finds the lock taken can trust the number.
    os.pwrite(lock, f"{os.getpid()} {stop_signal}\n".encode(), 0)
    if launcher:
        # Linux only, and set last, because a change of user clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, stop_signal)
        if os.getppid() != launcher:
            sys.exit("the launcher has ended")  # before the line above, which would now never fire


if __name__ == "__main__":
    main()
