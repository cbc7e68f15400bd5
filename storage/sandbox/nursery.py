"""The process that makes a child for every file: `python -I nursery.py SOCKET PARENT ROOT MODULE`.

It has loaded the decoders once, and holds nothing else: no secrets in its environment, no sockets but the one to whoever
started it. For each request (a line of JSON with a file and a way to answer) it forks a child that confines itself, calls
the module's `work(descriptor, request)`, writes one line of JSON and ends. The nursery watches the child's time and adds a
line that says how it ended. When its starter ends, however it ends, the socket does, and so do the nursery and its children.
"""

import array
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

FRAME_BYTES = 2048  # of a request, filled up with blanks
WAKE_SECONDS = 5.0
NICENESS = 5  # of what takes a machine's cores for seconds: who answers requests goes first


class _Child(NamedTuple):
    answer: int
    deadline: float


def main() -> None:
    number, parent, root, module = sys.argv[1:5]
    control = socket.socket(fileno=int(number))
    sys.path.insert(0, root)
    from storage.sandbox import confine  # noqa: PLC0415 - found only now that the path is set

    if os.getppid() != int(parent):
        return
    confine.offer_as_victim()
    os.chdir("/")
    os.nice(NICENESS)
    worker = importlib.import_module(module)
    worker.warm()
    gc.collect()
    locks = ["network"] if confine.leave_the_network() else []
    locks += ["calls"] if confine.knows_calls() else []
    gc.freeze()  # what is loaded stays shared with the children
    control.sendall(json.dumps({"ready": os.getpid(), "locks": locks}).encode() + b"\n")
    _serve(control, worker)


def _serve(control: socket.socket, worker: Any) -> None:
    children: dict[int, _Child] = {}
    wake, waking = os.pipe()
    os.set_blocking(waking, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    try:
        while True:
            now = time.monotonic()
            pause = max(0.0, min([WAKE_SECONDS, *(each.deadline - now for each in children.values())]))
            ready, _, _ = select.select([control.fileno(), wake], [], [], pause)
            with suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(children)
            if control.fileno() in ready and not _begin(control, children, worker):
                return
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def _reap(children: dict[int, _Child]) -> None:
    """Say how each child ended that has, and end those whose time is over."""
    now = time.monotonic()
    for pid, child in list(children.items()):
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found == 0:
            if now > child.deadline:
                os.kill(pid, signal.SIGKILL)
            continue
        end = {
            "ended": os.waitstatus_to_exitcode(status),
            "cpu": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_bytes": usage.ru_maxrss * 1024,
            "late": now > child.deadline,
        }
        with suppress(OSError):
            os.write(child.answer, b"\n" + json.dumps(end).encode())
        os.close(child.answer)
        del children[pid]


def _begin(control: socket.socket, children: dict[int, _Child], worker: Any) -> bool:
    """Start a child for the next request. False: there will be none any more."""
    descriptors = array.array("i")
    data, ancillary, _, _ = control.recvmsg(FRAME_BYTES, socket.CMSG_SPACE(2 * descriptors.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    while data and len(data) < FRAME_BYTES:
        more = control.recv(FRAME_BYTES - len(data))
        if not more:
            return False
        data += more
    if not data or len(descriptors) != 2:
        return False
    request = json.loads(data)
    file, answer = descriptors
    os.set_blocking(answer, True)
    nursery = os.getpid()  # asked before the fork: a child whose parent has ended by then is tied to nobody
    try:
        pid = os.fork()
    except OSError:  # the machine may have no more processes
        with suppress(OSError):
            os.write(answer, b'\n{"away": true}')
        os.close(file)
        os.close(answer)
        return True
    if pid == 0:
        _become_child(control, nursery, children, worker, request, file, answer)
    os.close(file)
    children[pid] = _Child(answer, time.monotonic() + request["seconds"])
    return True


def _become_child(
    control: socket.socket,
    nursery: int,
    children: dict[int, _Child],
    worker: Any,
    request: dict[str, Any],
    file: int,
    answer: int,
) -> NoReturn:
    code = 70
    try:
        from storage.sandbox import confine  # noqa: PLC0415 - as in main

        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        for each in children.values():
            os.close(each.answer)
        if confine.tie_to(nursery):
            confine.limit(request["cpu_seconds"], request["memory_bytes"])
            confine.refuse_calls()
            os.write(answer, json.dumps(worker.work(file, request)).encode() + b"\n")
            code = 0
    except MemoryError:
        code = 71
    finally:
        os._exit(code)


if __name__ == "__main__":
    # Not the folder of this file: its neighbours are no modules of the standard library's.
    sys.path[:] = [each for each in sys.path if each != str(Path(__file__).parent)]
    main()
