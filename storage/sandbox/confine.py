"""What a decoding process may not do. Standard library only; Linux has all of it, other systems the limits.

Each lock is told by name to whoever started the process (docs/operations.md says what holds where):
`network`: its own network namespace, without any interface. `calls`: the kernel refuses system calls that open files,
start programs, speak to others or look into other processes.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
CLONE_NEWUSER, CLONE_NEWNET, CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
ALLOWED, REFUSED, NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
OPEN_FILES = 32
VICTIM = "500"  # of a machine without memory: rather a decoder than the database

# By architecture: its number, and the calls that are refused (their names are in the kernel's tables, in this order:
# socket connect accept sendto sendmsg bind listen socketpair, open openat openat2 creat, execve execveat fork vfork,
# kill tkill tgkill ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd, unlink unlinkat rename renameat
# renameat2 link linkat symlink symlinkat mkdir mkdirat rmdir chmod fchmodat chown truncate mount bpf perf_event_open
# io_uring_setup userfaultfd keyctl setns unshare).
_REFUSED = {
    "x86_64": (0xC000003E, 56, (
        41, 42, 43, 44, 46, 49, 50, 53, 2, 257, 437, 85, 59, 322, 57, 58, 62, 200, 234, 101, 310, 311, 434, 438,
        87, 263, 82, 264, 316, 86, 265, 88, 266, 83, 258, 84, 90, 268, 92, 76, 165, 321, 298, 425, 323, 250, 308, 272)),
    "aarch64": (0xC00000B7, 220, (
        198, 203, 202, 206, 211, 200, 201, 199, 56, 437, 221, 281, 129, 130, 131, 117, 270, 271, 434, 438,
        35, 38, 276, 37, 36, 34, 53, 54, 45, 40, 280, 241, 425, 282, 219, 268, 97)),
}  # fmt: skip
CLONE3 = 435


def tie_to(parent: int) -> bool:
    """End when the process that made this one ends. False: it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def leave_the_network() -> bool:
    """A user and a network namespace of its own; False where that is not permitted (Docker's default) or not known.

    The user namespace also keeps it from reading the memory and the environment of its user's other processes. It must
    have one thread only.
    """
    return sys.platform == "linux" and bool(ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)


def offer_as_victim() -> None:
    """Let the kernel, should it run out of memory, end decoders first."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(VICTIM)


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """For this process, from now on. `memory_bytes` is what it may have more than it has."""
    most = _address_space() + memory_bytes
    for what, value in (
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_AS, most), (resource.RLIMIT_CPU, cpu_seconds),
    ):  # fmt: skip
        _, hard = resource.getrlimit(what)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):  # macOS knows no limit of the address space
            # A process that catches SIGXCPU is killed a second later.
            resource.setrlimit(what, (least, least + 1 if what == resource.RLIMIT_CPU and hard < 0 else least))


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 1 << 30


def knows_calls() -> bool:
    """Whether `refuse_calls` is known here, and permitted."""
    if sys.platform != "linux" or platform.machine() not in _REFUSED:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0 if refuse_calls() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def refuse_calls() -> bool:
    """No file, program, socket or other process from now on: what is open stays open. False where that is not known."""
    known = _REFUSED.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    program = _program(*known)
    kept = ctypes.create_string_buffer(program, len(program))
    pointed = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(kept)))
    libc = ctypes.CDLL(None)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(pointed), 0, 0) == 0)


def _program(architecture: int, clone: int, refused: tuple[int, ...]) -> bytes:
    """Of the kernel's packet filter: (code, where to go if so, if not, value). It looks at a call's number."""

    def load(offset: int) -> bytes:
        return struct.pack("HBBI", 0x20, 0, 0, offset)

    def skip(code: int, value: int, if_so: int, if_not: int) -> bytes:
        return struct.pack("HBBI", code, if_so, if_not, value)

    def answer(value: int) -> bytes:
        return struct.pack("HBBI", 0x06, 0, 0, value)

    equal, at_least, any_bit = 0x15, 0x35, 0x45
    program = [
        load(4), skip(equal, architecture, 1, 0), answer(REFUSED), load(0),
        skip(at_least, 0x40000000, 0, 1), answer(REFUSED),  # x32, whose numbers are others
        skip(equal, CLONE3, 0, 1), answer(NO_SUCH_CALL),  # its flags cannot be seen; libc falls back to clone
        skip(equal, clone, 0, 4), load(16), skip(any_bit, CLONE_THREAD, 1, 0), answer(REFUSED), answer(ALLOWED),
    ]  # fmt: skip
    for number in refused:
        program += [skip(equal, number, 0, 1), answer(REFUSED)]
    return b"".join([*program, answer(ALLOWED)])
