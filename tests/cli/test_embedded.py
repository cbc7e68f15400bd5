"""Local servers: data survives, left-overs of a killed run are ended, two launchers do not share a folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from cli.embedded.locked import AlreadyRunning
from cli.embedded.servers import servers

LAUNCH = """
import sys, time
from pathlib import Path
from cli.embedded.servers import servers
with servers(Path(sys.argv[1])) as addresses:
    print(addresses.database_url, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line and "pytest" not in line:
                found.append(line)
    return found


def test_data_survives_a_restart_and_no_process_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "stätte mit leerzeichen"
    for turn in range(2):
        with servers(folder) as addresses, psycopg.connect(addresses.database_url, autocommit=True) as conn:
            conn.execute("create table if not exists kept (turn int)")
            conn.execute("insert into kept values (%s)", [turn])
            assert conn.execute("select count(*) from kept").fetchone() == (turn + 1,)
    assert processes_of(folder) == []


def test_left_overs_of_a_killed_launcher_are_ended_by_the_next(tmp_path: Path) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, str(tmp_path)], stdout=subprocess.PIPE)
    assert launcher.stdout is not None
    old = launcher.stdout.readline().decode().strip()
    with pytest.raises(AlreadyRunning, match=str(launcher.pid)), servers(tmp_path):
        pass
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    with servers(tmp_path) as addresses, psycopg.connect(addresses.database_url) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
        assert addresses.database_url != old
    assert processes_of(tmp_path) == []


def test_servers_that_die_are_told_with_their_log(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="unrecognized configuration parameter"):
        with servers(tmp_path, postgres_settings={"no_such_setting": "1"}):
            pass
    time.sleep(0.1)
    assert processes_of(tmp_path) == []


def test_the_environment_replaces_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/x")
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://elsewhere")
    with servers(tmp_path) as addresses:
        assert (addresses.database_url, addresses.s3_endpoint_url) == ("postgresql://elsewhere/x", "http://elsewhere")
        assert not (tmp_path / "postgres").exists()
        assert not (tmp_path / "s3").exists()
