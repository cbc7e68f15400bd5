"""A rolling deploy under load, there and back and there again: processes of the newest release and of this code work side by side on one
database, one Redis and one bucket, and end in turn while clients go on. No job is lost, and none is run twice at its provider.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from cli.embedded.servers import Addresses, free_ports
from models.schema import migrations
from tests.flows.test_previous_release import PROCESSES, ROOT, empty, release, run, tag
from tests.support import eventually
from workers.providers.sketch.book import Book

__all__ = ["empty", "release", "tag"]  # fixtures

pytestmark = [pytest.mark.faults, pytest.mark.timeout(500)]

CLIENTS, PAUSE_SECONDS = 4, 0.2
SMALL = {"width": 64, "height": 64}
BATCH = "\n".join(
    json.dumps({"model": "sketch-image", "input": {"prompt": f"mill {n}", **SMALL}, "labels": {"customer": "acme"}}) for n in range(40)
)  # fmt: skip


class Version:
    """One version's processes, which start and end together or one by one."""

    def __init__(self, name: str, folder: Path, logs: Path, given: dict[str, str]) -> None:
        self.name, self._folder, self._logs = name, folder, logs
        self._port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self._port}"
        self._given = given
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all of them, and wait until the API answers."""
        given = {**os.environ, **self._given, "API_PORT": str(self._port), "PUBLIC_URL": self.url}
        for name in PROCESSES:
            with (self._logs / f"{self.name}-{name}").open("ab") as log:
                self._children[name] = subprocess.Popen(
                    [sys.executable, "-m", name], cwd=self._folder, env=given, stdout=log, stderr=log
                )

        def ready() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
            return False

        eventually(ready, seconds=90, what=f"the API of {self.name}")

    def stop(self) -> None:
        """End them one after the other, as a deploy does. Each must end by itself."""
        for name in PROCESSES:
            child = self._children.pop(name)
            assert child.poll() is None, f"{name} of {self.name} has ended by itself"
            child.send_signal(signal.SIGTERM)
            assert child.wait(90) in (0, -signal.SIGTERM), name

    def kill(self) -> None:
        """End whatever runs still."""
        for child in self._children.values():
            child.kill()
            child.wait(30)


class Clients:
    """Programs that order all the time, at whichever API answers, and send an order again until one has."""

    def __init__(self, key: str) -> None:
        self.urls: list[str] = []
        self.accepted: dict[str, str] = {}  # the job of each order
        self.refused: list[str] = []
        self._head = {"authorization": f"Bearer {key}"}
        self._over = threading.Event()

    def work(self, number: int) -> None:
        with httpx.Client(headers=self._head, timeout=20) as http:
            turn = number
            while not self._over.is_set():
                name, body = (
                    uuid4().hex,
                    {"model": "sketch-image", "input": {"prompt": f"a harbour {turn}", **SMALL}},
                )
                while name not in self.accepted:
                    turn += 1
                    url = self.urls[turn % len(self.urls)]
                    with suppress(httpx.TransportError):
                        answer = http.post(f"{url}/v1/jobs", json=body, headers={"idempotency-key": name})
                        if answer.status_code == 201:
                            self.accepted[name] = answer.json()["id"]
                        elif answer.status_code != 503:
                            self.refused.append(answer.text)
                time.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        self._over.set()

    def many_more(self) -> None:
        """Until they have ordered some more, at whoever is there now."""
        aim = len(self.accepted) + 10 * CLIENTS
        eventually(lambda: self.refused or len(self.accepted) >= aim, seconds=90, what="further orders")
        assert not self.refused


@contextmanager
def ordering(clients: Clients) -> Iterator[None]:
    """Clients that order as long as the block lasts."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(clients.work, n) for n in range(CLIENTS)]
        try:
            yield
        finally:
            clients.stop()
        for each in working:
            each.result(60)


def count(url: str) -> Callable[[str], int]:
    """Asks the database for a number."""

    def ask(statement: str) -> int:
        with psycopg.connect(url) as conn:
            return int((conn.execute(statement).fetchone() or [0])[0])

    return ask


def test_two_versions_work_side_by_side_and_end_in_turn_while_clients_order(
    release: Path, empty: str, stack: Addresses, tmp_path: Path
) -> None:
    assert stack.redis_url
    run(release, "migrate")
    account = run(release, "account", "a-customer")[0]["account"]
    run(release, "grant", "--account", account, "100000")
    key = run(release, "keys", "--account", account, "--name", "test")[0]["secret"]
    with psycopg.connect(empty) as conn:
        conn.execute("update plans set storage_quota_bytes = 1000000000000")
    book, logs, asked = Book(tmp_path / "book.db"), tmp_path, count(empty)
    given = {"SKETCH_BOOK": str(tmp_path / "book.db"), "SCHEDULER_TICK_SECONDS": "0.2"}
    old, new = Version("old", release, logs, given), Version("new", ROOT, logs, given)
    clients = Clients(key)
    head = {"authorization": f"Bearer {key}"}
    try:
        old.start()
        clients.urls = [old.url]
        with ordering(clients):
            clients.many_more()
            migrations.upgrade(before_post=True)  # while the old ones work
            new.start()
            clients.urls = [old.url, new.url]
            clients.many_more()
            batch = httpx.post(f"{new.url}/v1/batches?max_running=2", content=BATCH, headers=head, timeout=30)
            assert batch.status_code == 201, batch.text
            held = httpx.post(f"{new.url}/v1/holds", json={"amount": 5, "seconds": 3600}, headers=head, timeout=30)
            assert held.status_code == 201, held.text
            clients.many_more()
            old.stop()  # whoever asks it hears nothing, and asks the other
            clients.many_more()
            old.start()  # the new version was not good, and is taken back
            new.stop()
            clients.many_more()
            new.start()
            old.stop()
            clients.many_more()
        eventually(lambda: asked("select count(*) from job_runs") == 0, seconds=120, what="the end of all jobs")
    finally:
        old.kill()
        new.kill()
        for path in sorted(logs.glob("*-*")):
            if path.is_file():
                print(f"{path.name}:\n{path.read_text()[-1500:]}")  # shown where the test fails
    with psycopg.connect(empty) as conn:
        ended = dict(conn.execute("select id::text, ended from jobs").fetchall())
    assert set(clients.accepted.values()) <= set(ended)
    assert len(ended) == len(set(clients.accepted.values())) + 40
    assert set(ended.values()) == {"succeeded"}
    assert len(book.starts_per_key()) == len(ended)
    assert set(book.starts_per_key().values()) == {1}
    assert run(ROOT, "audit")["clean"] is True  # the release knows nothing of holds, which are in these books
