"""`make hosts` in short: a host without power, a database that nobody reaches, and a worker that alone does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.network import ROOT, why_not
from tests.hosts.scenes import scenes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(280)]

PLAYED = "kill-worker1", "cut-database", "cut-worker1-database"
WHY_NOT = why_not()


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_what_becomes_of_hosts_loses_no_job_and_pays_nobody_twice(tmp_path: Path) -> None:
    """As a process of its own: its thread and all that it starts leave this machine's network."""
    table = tmp_path / "hosts.md"
    chosen = [part for name in PLAYED for part in ("--only", name)]
    command = [sys.executable, "-m", "tests.hosts", *chosen, "--folder", str(tmp_path / "hosts"), "--write", str(table)]
    played = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-3000:]
    assert all(each.meaning in table.read_text() for each in scenes() if each.name in PLAYED)
    assert _left_in(tmp_path / "hosts") == []


def _left_in(folder: Path) -> list[str]:
    """Processes that still have a file of this folder open: locks, logs, data."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [str(each.readlink()) for each in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(each.startswith(str(folder)) for each in opened):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
