"""A backup that is taken while jobs run, restored elsewhere: nothing is begun twice, and the books are right."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.embedded.servers import servers
from models.access.audit_log import By
from models.db import transaction
from models.jobs import pauses, reconcile
from models.jobs.tables import QUEUES
from tests.conftest import FAST, environment, new_system
from tests.support import System, account, assert_books_are_clean, eventually, model, one, rows

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]
JOBS = 30
KINDS: dict[str, dict[str, Any]] = {
    "at-once": {},
    "polled": {"instant": False, "pending": True, "ready_seconds": 1.0, "poll_after_seconds": 0.2},
    "cannot-be-asked": {"delay_seconds": 1.0, "recovery": "none"},
    "repeatable": {"delay_seconds": 1.0, "recovery": "idempotent"},
    "fails-first": {"fail": "retryable", "fail_times": 1},
}


def headrace(*arguments: str | Path) -> Any:
    done = subprocess.run([*COMMAND, *arguments, "--json"], cwd=ROOT, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return json.loads(done.stdout)


@contextmanager
def elsewhere(folder: Path) -> Iterator[None]:
    """Other servers, with an empty database, for the time of a block."""
    with servers(folder, postgres_settings=FAST, given={}) as addresses, environment(addresses.environment()):
        yield


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in folder.rglob("*") if each.is_file()}


@pytest.mark.timeout(500)  # two systems, one after the other
def test_a_system_that_was_restored_begins_nothing_that_the_old_one_may_have_begun(
    system: System, tmp_path: Path
) -> None:
    who = account(amount=1000, plan="studio")
    for name, options in KINDS.items():
        model(name, options=options)
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        for number in range(JOBS):
            wanted = {"model": list(KINDS)[number % len(KINDS)], "input": {"seed": number}}
            assert http.post("/v1/jobs", json=wanted).status_code == 201
        eventually(lambda: one("select count(*) from jobs where ended is not null")[0] >= 5, what="the first ends")
        taken = headrace("backup", tmp_path / "kept")
        eventually(lambda: rows("select 1 from job_runs") == [], seconds=90, what="the end of the old system's jobs")
    system.stop()
    assert_books_are_clean()
    begun = system.book.starts_per_key()
    assert taken["counts"]["living_jobs"] > 0
    assert modes(tmp_path / "kept") == {0o600}
    with elsewhere(tmp_path / "elsewhere"):
        done = headrace("restore", tmp_path / "kept")
        assert done["objects_lost"] == done["objects_there"] == 0
        assert done["parked"] + done["asked"] + done["waiting"] == taken["counts"]["living_jobs"]
        assert_books_are_clean()
        _runs_on_safely(tmp_path, taken["counts"]["living_jobs"])
    assert system.book.starts_per_key() == begun, "a provider was called again"


def _runs_on_safely(tmp_path: Path, living: int) -> None:
    assert one("select count(*) from job_runs")[0] == living
    with new_system(Path(os.environ["SKETCH_BOOK"]), tmp_path / "second") as second:
        second.start("worker", "scheduler")
        with transaction() as conn:
            for queue in QUEUES:
                pauses.resume(conn, By("test"), "queue", queue, "looked at")
        parked = "select job_id from job_runs where status = 'reconciling' and wake_at = 'infinity'"
        eventually(
            lambda: one("select count(*) from job_runs")[0] == len(rows(parked)), seconds=60, what="what can end"
        )
        assert_books_are_clean()
        for (job_id,) in rows(parked):
            with transaction() as conn:
                reconcile.decide(conn, job_id, again=False)
    assert rows("select 1 from job_runs") == []
    assert rows("select 1 from accounts where reserved <> 0 or slots_in_use <> 0") == []
    assert_books_are_clean()
