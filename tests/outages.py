"""Servers of a test's own, to be stopped, started again and emptied while jobs run."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from cli.embedded import postgres, valkey
from cli.embedded.locked import _end_holders, stop, wait_ready
from cli.embedded.servers import Addresses, servers
from common.settings import settings
from tests.conftest import FAST, environment, prepared

OUTSIDE = ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL")
Child = tuple["subprocess.Popen[bytes]", signal.Signals]


class Own:
    """PostgreSQL, Valkey and SeaweedFS that nobody else uses. From the main thread only: it is what children hang on."""

    def __init__(self, state: Path, addresses: Addresses) -> None:
        self.addresses = addresses
        self._state = state.resolve()
        self._keys = json.loads((self._state / "secrets.json").read_text())
        self._children: list[Child] = []

    def stop_postgres(self) -> None:
        """As an operator's restart does: at once, with every transaction rolled back."""
        self._end("postgres")

    def kill_postgres(self) -> None:
        """As a machine does that runs out of memory: nothing is written any more, and no connection is ended."""
        pid = int((self._state / "postgres.lock").read_text().split()[0])
        os.killpg(pid, signal.SIGKILL)
        self._end("postgres")  # returns when all of it is gone

    def start_postgres(self) -> None:
        port = urlsplit(self.addresses.database_url).port
        assert port is not None
        child = postgres.start(self._state, port, self._keys["postgres"], FAST)
        self._children.append((child, signal.SIGINT))
        url = self.addresses.database_url.rpartition("/")[0] + "/postgres"
        self._wait(child, lambda: psycopg.connect(url, connect_timeout=2).close(), "postgres")

    def stop_redis(self) -> None:
        self._end("redis")

    def start_redis(self, *, empty: bool = False) -> None:
        if empty:
            shutil.rmtree(self._state / "redis")
        port = urlsplit(self.addresses.redis_url).port
        assert port is not None
        child = valkey.start(self._state, port, self._keys["redis"])
        self._children.append((child, signal.SIGTERM))
        self._wait(child, valkey.probe(self.addresses.redis_url), "redis")

    def close(self) -> None:
        stop(self._children)

    def _wait(self, child: "subprocess.Popen[bytes]", probe: Callable[[], object], name: str) -> None:
        wait_ready(child, probe, name, self._state / f"{name}.log")

    def _end(self, name: str) -> None:
        """Whoever holds the name's lock, with the signal that is written there; returns when it is gone."""
        _end_holders([self._state / f"{name}.lock"])


@contextmanager
def own_servers(state: Path) -> Iterator[Own]:
    """Servers of one's own for the time of a block, whatever runs besides."""
    with environment({}):
        for name in OUTSIDE:
            os.environ.pop(name, None)
        with servers(state, postgres_settings=FAST) as addresses:
            own = Own(state, addresses)
            try:
                with prepared(addresses):
                    yield own
            finally:
                own.close()


def admin() -> "psycopg.Connection[tuple[object, ...]]":
    """A connection beside the test's database, to change it from outside."""
    url = settings().database_url.rpartition("/")[0] + "/postgres"
    return psycopg.connect(url, autocommit=True)


def hang_up_all(database_url: str) -> None:
    """End every connection to a database, as a failover does."""
    with admin() as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            [database_url.rpartition("/")[2].partition("?")[0]],
        )


def set_read_only(database_url: str, *, on: bool) -> None:
    """Make a database refuse writes, or take them again, in every session from now on."""
    name = database_url.rpartition("/")[2].partition("?")[0]
    with admin() as conn:
        conn.execute(f"alter database {name} set default_transaction_read_only = {'on' if on else 'off'}")
    hang_up_all(database_url)
