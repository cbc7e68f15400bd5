"""Work on files of strangers, done in processes that may be lost (`nursery`).

One nursery for this process, started when it is first needed; a child of it for each file. What a child answers is JSON
that its caller must not believe either.
"""

import array
import atexit
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

from storage.sandbox.nursery import FRAME_BYTES
from storage.sandbox.places import FilePlaces, NoPlace

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
NURSERY = Path(__file__).with_name("nursery.py")
START_SECONDS = 60.0  # until it has loaded the decoders, on a machine that has other things to do
REST_SECONDS = 1.0  # after a nursery could not be started
ANSWER_BYTES = 1024 * 1024
CLOCK_TO_CPU, CLOCK_SECONDS = 4, 30  # how much longer than its CPU time a child may live: the machine may be busy
KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")  # of the environment; no secrets, no proxies
TRIES = 2


class SandboxAway(Exception):
    """No child can be had just now. It is no fault of the file's: the same will do later."""


class Died(Exception):
    """The child did not live to answer: what the file asks for is too much. `reason`: time, memory or crash."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ChildLimits(NamedTuple):
    """Of one file. `wait_seconds`: for a place. `large`: of these there is one at a time, besides the others."""

    cpu_seconds: int
    memory_bytes: int
    wait_seconds: float
    large: bool = False


class Pool:
    """`module` has `warm()` and `work(descriptor, request)`, which answers with what JSON can say."""

    def __init__(self, module: str, size: int, share: int) -> None:
        self._module = module
        self._places, self._large = FilePlaces(size, share), FilePlaces(1, 1)
        self._guard = threading.Lock()
        self._nursery: _Nursery | None = None
        self._rests_until = 0.0
        self.owner = os.getpid()

    def run(self, account: Hashable, descriptor: int, request: dict[str, Any], limits: ChildLimits) -> dict[str, Any]:
        """What `work` answers. Raises Died, or SandboxAway."""
        try:
            with (self._large if limits.large else self._places).one(account, limits.wait_seconds):
                for _ in range(TRIES):
                    nursery = self._living()
                    try:
                        return nursery.ask(descriptor, request, limits)
                    except _Lost:
                        self._forget(nursery)
        except NoPlace:
            raise SandboxAway("too many files of this account are being read; try again soon") from None
        raise Died("crash")  # whatever ends nurseries, it must not go on for ever

    def close(self) -> None:
        with self._guard:
            nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()

    def locks(self) -> list[str]:
        """What the nursery could lock here."""
        return self._living().locks

    def _living(self) -> "_Nursery":
        with self._guard:
            if self._nursery is None:
                if time.monotonic() < self._rests_until:
                    raise SandboxAway("files cannot be read just now")
                try:
                    self._nursery = _Nursery(self._module)
                except (OSError, ValueError) as error:
                    self._rests_until = time.monotonic() + REST_SECONDS
                    log.error("no process for reading files can be started: %s", error)  # noqa: TRY400 - it goes on with the error raised
                    raise SandboxAway("files cannot be read just now") from error
            return self._nursery

    def _forget(self, nursery: "_Nursery") -> None:
        with self._guard:
            if self._nursery is nursery:
                self._nursery = None
        log.warning("the process that reads files (pid %d) has ended; another is started", nursery.pid)
        nursery.close()


class _Lost(Exception):
    """The nursery has ended."""


class _Nursery:
    """Raises OSError or ValueError where it does not start."""

    def __init__(self, module: str) -> None:
        self._guard = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, with our own arguments
                [sys.executable, "-I", NURSERY, str(theirs.fileno()), str(os.getpid()), str(ROOT), module],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={
                    **{name: os.environ[name] for name in KEPT if name in os.environ},
                    "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                },
                start_new_session=True,  # Ctrl-C is its starter's, which may still need it
            )  # fmt: skip
        try:
            self._control.settimeout(START_SECONDS)
            greeting = json.loads(self._control.makefile("rb").readline(FRAME_BYTES))
            self.locks = [str(each) for each in greeting["locks"]]
        except BaseException:
            self.close()
            raise
        self.pid = self._process.pid
        log.info("files are read by process %d and its children; locks besides limits: %s", self.pid, self.locks)

    def ask(self, descriptor: int, request: dict[str, Any], limits: ChildLimits) -> dict[str, Any]:
        seconds = limits.cpu_seconds * CLOCK_TO_CPU + CLOCK_SECONDS
        asked = {**request, "cpu_seconds": limits.cpu_seconds, "memory_bytes": limits.memory_bytes, "seconds": seconds}
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._send(json.dumps(asked).encode(), [descriptor, theirs.fileno()])
            ours.settimeout(seconds + CLOCK_SECONDS)
            return _verdict(_read(ours), limits.cpu_seconds)

    def _send(self, data: bytes, descriptors: list[int]) -> None:
        with self._guard:
            try:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
                frame = data.ljust(FRAME_BYTES)
                sent = self._control.sendmsg([frame], ancillary)
                self._control.sendall(frame[sent:])
            except OSError as error:
                raise _Lost from error

    def close(self) -> None:
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _read(answer: socket.socket) -> bytes:
    data = bytearray()
    try:
        while part := answer.recv(65536):
            data += part
            if len(data) > ANSWER_BYTES:
                raise Died("crash")
    except OSError as error:  # the nursery itself has stopped
        raise _Lost from error
    return bytes(data)


def _verdict(data: bytes, cpu_seconds: int) -> dict[str, Any]:
    """The child's line, if the nursery's, which is the last, says that it ended well. One that was late for want of a
    processor may come again; one that had half of its time of it has shown what it is.
    """
    said, _, last = data.rpartition(b"\n")
    try:
        end = json.loads(last)
        if end.get("away"):
            raise SandboxAway("the machine has no process for the file")
        code = int(end["ended"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Lost from None
    if end.get("late") and end.get("cpu", 0) >= cpu_seconds / 2:
        raise Died("time")
    if end.get("late"):
        raise SandboxAway("the machine has no time to read the file")
    if code != 0:
        raise Died({-24: "time", 71: "memory"}.get(code, "crash"))
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Died("crash")
    return found


_pools: dict[str, Pool] = {}
_guard = threading.Lock()


def pool(module: str, size: int, share: int) -> Pool:
    """This process's pool of a module; the first who asks says how large it is."""
    with _guard:
        found = _pools.get(module)
        if found is None or found.owner != os.getpid():  # a forked child has one of its own
            found = _pools[module] = Pool(module, size, share)
        return found


def close() -> None:
    """End the children of this process (its end, or a test's)."""
    with _guard:
        mine = [each for each in _pools.values() if each.owner == os.getpid()]
        _pools.clear()
    for each in mine:
        each.close()


atexit.register(close)
