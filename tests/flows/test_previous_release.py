"""A rolling deploy: the newest release's processes work on the schema that the code here makes before it is deployed.

The release is the last line of deploy/releases.txt, since not every copy of the repository has its tags; only its command line and its HTTP interface are used, which releases share.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from cli.embedded.servers import Addresses, free_ports
from models.schema import functions, migrations
from tests.conftest import environment
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]
RELEASES = [tuple(line.split()) for line in (ROOT / "deploy" / "releases.txt").read_text().splitlines()]
PROCESSES = ("api", "workers", "scheduler", "workers.deliver")


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else b""


@pytest.fixture(scope="module")
def tag() -> str:
    """The commit of the newest release."""
    name, commit = RELEASES[-1]
    if not git("cat-file", "-t", commit):
        pytest.skip(f"this copy of the repository has no history: {name} is not in it")
    return commit


def test_the_list_of_releases_is_that_of_the_changelog_and_of_the_tags_that_there_are() -> None:
    known = dict(RELEASES)
    log = (ROOT / "CHANGELOG.md").read_text()
    assert list(known) == [f"v{each}" for each in reversed(re.findall(r"^## \[([0-9.]+)\]", log, re.MULTILINE))]
    for name in git("tag", "--list", "v*").decode().split():
        assert git("rev-list", "-n1", name).decode().strip() == known[name]


@pytest.fixture
def release(tag: str, tmp_path: Path) -> Path:
    """The files of that release."""
    folder = tmp_path / "release"
    with tarfile.open(fileobj=BytesIO(git("archive", tag))) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def empty(stack: Addresses) -> Iterator[str]:
    """A database with nothing in it."""
    server, name = stack.database_url.rpartition("/")[0], f"release{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as conn:
        conn.execute(f"create database {name}")
    with environment({"DATABASE_URL": f"{server}/{name}"}):
        yield f"{server}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)")


def run(release: Path, *arguments: str) -> Any:
    """A command of that release, and what it answers."""
    done = subprocess.run([*COMMAND, *arguments, "--json"], cwd=release, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return json.loads(done.stdout)


@contextmanager
def running(release: Path, given: Mapping[str, str]) -> Iterator[None]:
    """That release's processes."""
    children, logs = [], release.parent / "logs"
    logs.mkdir()
    try:
        for name in PROCESSES:
            with (logs / name).open("wb") as log:
                children.append(
                    subprocess.Popen(
                        [sys.executable, "-m", name], cwd=release, env={**os.environ, **given}, stdout=log, stderr=log
                    )
                )
        yield
        assert [child.poll() for child in children] == [None] * len(children), "one has ended by itself"
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(60)
        for name in PROCESSES:
            print(f"{name}:\n{(logs / name).read_text()[-3000:]}")  # shown where the test fails


def work(url: str, key: str) -> None:
    """What clients do: order, hear, cancel, fetch."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        eventually(ready, seconds=60, what="the API")
        client.post("/v1/webhooks", json={"url": "https://example.invalid/hook"}).raise_for_status()
        orders = [
            {"model": "sketch-image", "input": {"prompt": "a harbour", "seed": 7}},
            {"model": "sketch-image", "input": {"prompt": "two harbours", "seed": 8, "count": 2}},
            {"model": "sketch-speech", "input": {"text": "the wheel turns"}},
        ]
        jobs = [client.post("/v1/jobs", json=each).raise_for_status().json()["id"] for each in orders]

        def status(job: str) -> str:
            found: str = client.get(f"/v1/jobs/{job}").raise_for_status().json()["status"]
            return found

        eventually(lambda: all(status(job) == "succeeded" for job in jobs), seconds=60, what="the end of the jobs")
        for job in jobs:
            for asset in client.get(f"/v1/jobs/{job}").json()["outputs"]:
                assert client.get(asset["url"], follow_redirects=True).status_code == 200
        late = client.post("/v1/jobs", json={**orders[0], "priority": -5}).raise_for_status().json()["id"]
        client.post(f"/v1/jobs/{late}/cancel")
        eventually(lambda: status(late) in {"canceled", "succeeded"}, seconds=60, what="the end of the last job")


@pytest.mark.timeout(400)  # four processes of another tree start
def test_the_newest_release_works_on_the_schema_of_this_code(release: Path, empty: str, stack: Addresses) -> None:
    assert stack.redis_url
    run(release, "migrate")
    migrations.upgrade(before_post=True)
    account = run(release, "account", "a-customer")[0]["account"]
    run(release, "grant", "--account", account, "100")
    key = run(release, "keys", "--account", account, "--name", "test")[0]["secret"]
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    with running(release, {"API_PORT": str(port), "PUBLIC_URL": url, "SCHEDULER_TICK_SECONDS": "0.2"}):
        work(url, key)
        with psycopg.connect(empty) as conn:
            eventually(lambda: _duties(conn)[0] > 0, what="a duty")
            assert _duties(conn)[1] == []
    assert run(release, "audit")["clean"] is True


def _duties(conn: psycopg.Connection[Any]) -> tuple[int, list[Any]]:
    """How many duties were done, and those that failed."""
    done = conn.execute("select name, error from duties where finished_at is not null").fetchall()
    conn.rollback()
    return len(done), [row for row in done if row[1] is not None]


def test_a_function_that_was_released_is_never_changed(tag: str) -> None:
    """A change is a new version, so that processes of the release go on with what they know, and a downgrade has it."""
    released = {Path(path).stem: path for path in git("ls-tree", "-r", "--name-only", tag, "models").decode().split()
                if path.endswith(".sql")}  # fmt: skip
    for name, path in released.items():
        assert name in functions.FILES, f"{name} must stay, in versions/superseded"
        assert functions.FILES[name].read_bytes() == git("show", f"{tag}:{path}"), (
            f"{name} is released: make a new version"
        )
