"""What a child of the sandbox tries in tests."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def warm() -> None:
    """Nothing to load."""


def work(descriptor: int, request: dict[str, Any]) -> dict[str, Any]:
    return {"answer": globals()[request["probe"]](descriptor, request)}


def greet(*_: object) -> str:
    return "hello"


def who(*_: object) -> int:
    return os.getpid()


def spin(*_: object) -> None:
    while True:
        pass


def hoard(*_: object) -> None:
    kept = []
    while True:
        kept.append(bytes(10_000_000))


def crash(*_: object) -> None:
    os.abort()


def killed(*_: object) -> None:
    signal.raise_signal(signal.SIGSEGV)


def silence(*_: object) -> None:
    os._exit(0)


def flood(*_: object) -> str:
    return "x" * 5_000_000


def surroundings(*_: object) -> dict[str, Any]:
    sockets = 0
    for number in range(64):
        try:
            kind = os.fstat(number).st_mode
        except OSError:
            continue
        sockets += (kind & 0o170000) == 0o140000
    return {"environment": sorted(os.environ), "sockets": sockets}


def _tried(what: Callable[[], object]) -> str:
    try:
        what()
    except OSError:
        return "refused"
    return "done"


def read_secret(_: int, request: dict[str, Any]) -> str:
    return _tried(lambda: Path(request["path"]).read_bytes())


def write_file(_: int, request: dict[str, Any]) -> str:
    return _tried(lambda: Path(request["path"]).write_bytes(b"mine"))


def truncate_file(_: int, request: dict[str, Any]) -> str:
    return _tried(lambda: os.truncate(request["path"], 0))


def listen(*_: object) -> str:
    return _tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))


def connect(*_: object) -> str:
    return _tried(lambda: socket.create_connection(("127.0.0.1", 1), 1))


def run_program(*_: object) -> str:
    return _tried(lambda: subprocess.run(["/bin/true"], check=True))


def fork(*_: object) -> str:
    return _tried(lambda: os.fork() or os._exit(0))


def kill_parent(_: int, request: dict[str, Any]) -> str:
    return _tried(lambda: os.kill(request["pid"], 0))


def look_into_parent(_: int, request: dict[str, Any]) -> str:
    return _tried(lambda: Path(f"/proc/{request['pid']}/environ").read_bytes())


def rest(*_: object) -> None:
    time.sleep(3600)
