"""Servers of ours that go away and come back while jobs are under way."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import redis

from cli.embedded import postgres, valkey
from cli.embedded.locked import stop, wait_ready
from cli.embedded.servers import Addresses, Child
from models import db

DISK_BYTES = 24 * 1024 * 1024


class Outages:
    """PostgreSQL and Redis of a test run, restarted on their ports; both stay up until this is closed."""

    def __init__(self, state: Path, addresses: Addresses, postgres_settings: dict[str, str]) -> None:
        self._state, self._addresses, self._settings = state, addresses, postgres_settings
        self._children: dict[str, Child] = {}

    def restart_postgres(self) -> None:
        """As an upgrade does it: every connection ends, also those in the middle of a commit."""
        at = urlsplit(self._addresses.database_url)
        url = self._addresses.database_url.rpartition("/")[0] + "/postgres"
        child = postgres.start(self._state, at.port or 0, at.password or "", self._settings)  # ends the old one
        self._put("postgres", child, signal.SIGINT)
        wait_ready(child, postgres.probe(url), "PostgreSQL", self._state / "postgres.log")
        db.close()  # this process's own connections

    def swap_redis(self) -> None:
        """Stopped, and another started in its place that has nothing."""
        at = urlsplit(self._addresses.redis_url)
        with redis.Redis.from_url(self._addresses.redis_url) as client, contextlib.suppress(redis.ConnectionError):
            client.shutdown(nosave=True)
        shutil.rmtree(self._state / "redis")
        child = valkey.start(self._state, at.port or 0, at.password or "")
        self._put("redis", child, signal.SIGTERM)
        probe = valkey.probe(self._addresses.redis_url)
        wait_ready(child, probe, "Valkey", self._state / "redis.log")

    def _put(self, name: str, child: "subprocess.Popen[bytes]", stop_signal: signal.Signals) -> None:
        if name in self._children:
            self._children[name][0].wait(10)  # ended by its successor
        self._children[name] = (child, stop_signal)

    def close(self) -> None:
        stop(list(self._children.values()))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of its own for temporary files. None: this machine lets nobody mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte on the disk. Returns the file that takes them."""
    taken = disk / "everything"
    with taken.open("ab", buffering=0) as file:
        block = 1024 * 1024
        while block:
            try:
                file.write(os.urandom(block))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                block //= 2
    return taken


class Turns:
    """What goes wrong, in turn, each at its place in a run; what lasts ends by itself."""

    def __init__(self) -> None:
        self._timers: list[threading.Timer] = []
        self.happened: list[str] = []

    def lasts(self, what: str, seconds: float, end: Callable[[], object]) -> None:
        """Note that it has begun; `end` is called after so long."""
        self.happened.append(what)
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def are_over(self) -> None:
        """Wait for all of them."""
        for timer in self._timers:
            timer.join()
