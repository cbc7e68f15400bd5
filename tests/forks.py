"""Processes of ours that are started without their imports, which take most of a start: two seconds of a core.

Of each kind (`python -m api`, ...) one process has imported everything and stands in front of `main`. Whoever starts
one of that kind gets a fork of it, which differs from a new process in nothing that it could see but its command line:
it is the test's own child, in a session of its own, with the environment, folder, output and lock it was given, is sent
its signals by its number, and runs the same `__main__`. Linux only; elsewhere, and for what is no process of ours or
wants other values of what modules read while they are imported (ours, or other programs'), a program is started as ever.

Usage (from here only): python -m tests.forks MODULE SOCKET_DESCRIPTOR
"""

import ctypes
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module, reload
from typing import Any, NamedTuple

from cli.embedded.child import tie
from cli.embedded.locked import CHILD
from cli.embedded.processes import ROOT
from common import faultpoints
from common.foreign import is_foreign
from common.settings import Settings

KINDS = {
    "api": "api.main",
    "workers": "workers.main",
    "scheduler": "scheduler.main",
    "workers.deliver": "workers.deliver.main",
}
READ_AT_IMPORT = ("HEADRACE_STATE", "HEADRACE_FOLDER")
READ_AGAIN = ("HEADRACE_FAULT_POINT", "HEADRACE_FAULT_MARKER")  # read on import as well, and by each fork anew
PR_SET_CHILD_SUBREAPER = 36
ASK_BYTES = 128 * 1024
FORK_SECONDS = 60.0


class Forked(subprocess.Popen[bytes]):
    """What `locked.spawn` starts, forked if it is a process of ours."""

    def _execute_child(
        self,
        args: Sequence[str],
        executable: None,
        preexec_fn: None,
        close_fds: bool,
        pass_fds: Sequence[int],
        *given: Any,
    ) -> None:
        """As Popen's own, which gives all of its arguments in this order, and of each stream both ends."""
        cwd, env, _, _, _, *streams = given[:11]
        ready = _ready(args, env)
        if ready is None:
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, *given)  # type: ignore[misc]  # private
            return
        stop_signal, launcher, _, _, module, *arguments = args[5:]
        ask = {
            "tied": [int(stop_signal), int(launcher)], "module": module, "arguments": arguments,
            "folder": str(cwd), "environment": dict(env),
        }  # fmt: skip
        stdin, _, _, stdout, _, stderr = streams
        try:
            self.pid = ready.fork(ask, [stdin, stdout, stderr, *pass_fds])
        except (
            OSError,
            EOFError,
        ):  # it could not even import with these variables: what is started says why, if it cannot either
            del _standing[module]
            ready.end()
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, *given)  # type: ignore[misc]  # private
            return
        self._child_created = True
        self._close_pipe_fds(*streams)  # type: ignore[attr-defined]  # private


class _Ready(NamedTuple):
    """A process that stands in front of its `main`."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket
    values: dict[str, str]

    def fork(self, ask: dict[str, Any], descriptors: list[int]) -> int:
        """Have it fork a child of ours. Returns the child's number."""
        # Its parent, which only made it, ends at once; whom the child then goes to is whoever says so at that moment.
        _adopt(True)
        try:
            socket.send_fds(self.control, [json.dumps(ask).encode()], descriptors)
            number = self.control.recv(64)
        finally:
            _adopt(False)
        if not number:
            raise EOFError(f"{ask['module']} was not forked: the process that stood ready ended")
        return int(number)

    def end(self) -> None:
        """Let it go: nobody asks it any more."""
        self.control.close()
        self.process.wait(FORK_SECONDS)


_standing: dict[str, _Ready] = {}


def _ready(args: Sequence[str], env: Mapping[str, str]) -> _Ready | None:
    """Who can fork what this command would start."""
    command = args[7:]  # [python, -I, -S, child.py, LOCK, STOP_SIGNAL, LAUNCHER, COMMAND...]
    ours = args[3] == str(CHILD) and command[:2] == [sys.executable, "-m"] and command[2] in KINDS
    if sys.platform != "linux" or not ours:
        return None
    module = command[2]
    values = {name: value for name, value in env.items() if name in READ_AT_IMPORT or is_foreign(name)}
    if module not in _standing:
        _standing[module] = _stand(module, env, values)
    found = _standing.get(module)
    return found if found is not None and found.values == values else None


def _stand(module: str, env: Mapping[str, str], values: dict[str, str]) -> _Ready:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(FORK_SECONDS)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.forks", module, str(theirs.fileno())],
            cwd=ROOT, env={name: value for name, value in env.items() if name not in READ_AGAIN}, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
    return _Ready(process, ours, values)


def end_standing() -> None:
    """End those that stand ready."""
    while _standing:
        _standing.popitem()[1].end()


def _adopt(on: bool) -> None:
    """Whether whom a process below us leaves behind becomes our child."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    """Stand ready, and return in each fork once it is the process that was asked for."""
    module, control = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    import_module(KINDS[module])
    _make_what_is_made_once(module)
    assert threading.active_count() == 1, "a module starts threads, which a fork does not have"
    gc.collect()
    gc.freeze()  # what is imported stays shared
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, ASK_BYTES, 8)
        if not data:  # whoever we stand ready for has ended
            return
        middle = os.fork()
        if middle == 0:
            if os.fork():
                os._exit(0)
            _become(json.loads(data), descriptors, control)
            return
        os.waitpid(middle, 0)
        for each in descriptors:
            os.close(each)


def _make_what_is_made_once(module: str) -> None:
    """What does not depend on settings and is kept by the module it is of: the API's routes, and what boto3 knows of S3."""
    if module == "api":
        nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": ""}
        for route in import_module("api.main").INCLUDED.routes:
            route.matches(dict(nowhere))
    if module in {"api", "workers", "scheduler"}:
        clients = import_module("storage.clients")
        config = Settings.model_construct(s3_access_key_id="-", s3_bucket="-")
        clients.boto_client(clients.own_session(config), config, None, "-")  # connects nowhere


def _become(ask: dict[str, Any], descriptors: list[int], control: socket.socket) -> None:
    """Be what was asked for, in this fork, to the end."""
    stop_signal, launcher = ask["tied"]
    end = time.monotonic() + FORK_SECONDS
    while os.getppid() != launcher and time.monotonic() < end:
        time.sleep(0.001)  # until the one between us has ended
    os.setsid()
    os.environ.clear()
    os.environ.update(ask["environment"])
    time.tzset()
    reload(faultpoints)  # what has imported `reached` has the new one's values: the module is the same
    os.chdir(ask["folder"])
    *streams, lock = descriptors
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.set_inheritable(lock, True)
    tie(lock, stop_signal, launcher)
    control.send(str(os.getpid()).encode())
    control.close()
    sys.argv[1:] = ask["arguments"]
    runpy.run_module(ask["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
