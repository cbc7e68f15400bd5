"""A backup is taken of a system that runs, and restored elsewhere: the books are clean, nothing begins by itself, all results are there."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import httpx
import pytest
from botocore.config import Config

from cli.embedded.servers import Addresses
from models.access.audit_log import By
from models.db import transaction
from models.jobs import pauses, reconcile
from models.jobs.tables import QUEUES
from tests.conftest import environment, new_system
from tests.databases import address, new_database
from tests.support import System, account, assert_books_are_clean, balance, ended, eventually, model, one, rows

ROUTES = {"quick": {}, "slow": {"pending": True, "ready_seconds": 1.5}}
BY = By("tester")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def headrace(*arguments: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", *arguments, "--json"],
        env=dict(os.environ), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def load(system: System, people: list[UUID]) -> Iterator[list[str]]:
    """Orders one after the other, of all these people, for the time of a block. Gives the jobs' ids, as they come."""
    over, found = threading.Event(), list[str]()

    def order(who: UUID) -> None:
        with system.client(who) as http:
            while not over.wait(0.02):
                body: dict[str, Any] = {"model": "slow" if len(found) % 3 else "quick", "input": {}}
                found.append(http.post("/v1/jobs", json=body).raise_for_status().json()["id"])

    threads = [threading.Thread(target=order, args=[who]) for who in people]
    for each in threads:
        each.start()
    try:
        yield found
    finally:
        over.set()
        for each in threads:
            each.join(30)


@contextmanager
def elsewhere(stack: Addresses) -> Iterator[None]:
    """An empty database and an empty bucket of the same servers, for the time of a block."""
    admin = address(stack.database_url, "postgres")
    bucket = f"restored-{os.getpid()}"
    client = boto3.client(
        "s3", endpoint_url=stack.s3_endpoint_url, aws_access_key_id=stack.s3_access_key_id, aws_secret_access_key=stack.s3_secret_access_key,
        region_name="us-east-1", config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    client.create_bucket(Bucket=bucket)
    with new_database(admin, "template0") as name:
        with environment({"DATABASE_URL": address(admin, name), "S3_BUCKET": bucket}):
            yield


def test_a_backup_under_load_is_restored_elsewhere(system: System, stack: Addresses, tmp_path: Path) -> None:
    for name, options in ROUTES.items():
        model(name, options=options)
    people = [account(amount=500, plan="studio") for _ in range(2)]
    system.start("api", "worker", "scheduler")
    folder = tmp_path / "backup"
    with load(system, people) as ordered:
        eventually(lambda: len(rows("select 1 from jobs where ended = 'succeeded'")) >= 8, what="the first results")
        taken = headrace("backup", str(folder))
        seen = len(ordered)
        eventually(lambda: len(ordered) > seen + 3, what="orders after the backup")
    system.stop()
    assert taken["counts"]["living_jobs"] > 0, "it was taken of a system that did nothing"
    with elsewhere(stack):
        restored = headrace("restore", str(folder))
        assert (restored["objects_lost"], restored["objects_put"]) == (0, taken["objects"] - taken["missing"])
        assert_books_are_clean()
        counts = one("select count(*), count(*) filter (where ended is null) from jobs")
        assert counts == (taken["counts"]["jobs"], taken["counts"]["living_jobs"])
        begun = one("select count(*) from attempts")[0]
        with new_system(tmp_path / "sketch.db", tmp_path / "elsewhere") as there:
            go_on(there, people[0], begun)
        assert_books_are_clean()


def go_on(there: System, who: UUID, begun: int) -> None:
    """What an operator does after a restore, and what customers see."""
    there.start("api", "worker", "scheduler")
    with there.client(who) as http:
        done = one("select id from jobs where ended = 'succeeded' and account_id = %s limit 1", who)[0]
        url = http.get(f"/v1/jobs/{done}").json()["outputs"][0]["url"]
        assert httpx.get(url, follow_redirects=True).headers["content-type"].startswith("image/")
        waits = http.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"]
        eventually(lambda: accepted() == 0, what="the end of what its provider had accepted", seconds=60)
        assert one("select count(*) from attempts")[0] == begun, "something began by itself"
        for (job_id,) in rows("select job_id from job_runs where status = 'reconciling'"):
            with transaction() as conn:
                reconcile.decide(conn, job_id, again=False)
        with transaction() as conn:
            for queue in QUEUES:
                pauses.resume(conn, BY, "queue", queue, "all decided")
        assert ended(http, waits)["status"] == "succeeded"
    eventually(lambda: rows("select 1 from job_runs") == [], what="the end of all jobs")
    with transaction() as conn:
        reserved = conn.execute("select sum(reserved) from accounts").fetchone()
    assert reserved == (0,)
    assert balance(who)[0] > 0


def accepted() -> int:
    """Jobs that are neither parked nor waiting for their queue."""
    found: int = one("select count(*) from job_runs where status = 'running'")[0]
    return found
