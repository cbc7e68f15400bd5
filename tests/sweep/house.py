"""What one process of the sweep has: a database, a bucket and a Redis of its own, the API in this process, far sides,
a receiver, and a border around all of it. Made once; runs come and go.
"""

import concurrent.futures
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import redis
from starlette.testclient import TestClient

from cli.embedded.servers import Addresses, free_ports
from common.settings import settings
from models import db
from models.catalogue import providers
from models.catalogue.entries import Entry, apply
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.jobs import pauses
from storage.s3 import storage
from tests.conftest import environment
from tests.far_side import deployment
from tests.receivers import Receiver
from tests.storage.buckets import make_bucket
from tests.sweep import hooks_rest, hooks_sql, hooks_web
from tests.sweep.boundary import Boundary
from tests.sweep.far import SECRET, FarSides
from tests.sweep.kinds import KINDS
from tests.workers.deliver.test_mail import Box
from tests.workers.deliver.test_mail import server as mail_server
from workers import doorbell
from workers.calls import limits
from workers.providers.sketch.book import Book

PAUSE_SECONDS = 0.003  # what our own code waits for here, instead of the time it wanted
OURS = ("workers", "storage", "models", "scheduler", "api", "common", "tenacity")


class House:
    """Servers and far sides of one process."""

    def __init__(self, boundary: Boundary, far: FarSides, receiver: Receiver, box: Box, book: Path) -> None:
        self.boundary, self.far, self.receiver, self.box = boundary, far, receiver, box
        Book(book)  # makes its tables
        self.book = sqlite3.connect(book, isolation_level=None, timeout=30, check_same_thread=False)
        self.watcher = psycopg.connect(settings().database_url, autocommit=True)
        self.redis = redis.Redis.from_url(settings().redis_url)
        self.client: TestClient
        self.passed = 0.0  # seconds that have passed here besides those of the machine
        self._futures: set[Future[Any]] = set()

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The driver's own look at the database."""
        with self.boundary.unseen():
            return self.watcher.execute(statement, values or None).fetchall()

    def change(self, statement: str, *values: Any) -> int:
        """The driver's own change."""
        with self.boundary.unseen():
            return self.watcher.execute(statement, values or None).rowcount

    def clear(self) -> None:
        """Nothing of a run before is left outside the database."""
        self.book.execute("delete from generations")
        self.book.execute("delete from calls")
        self.book.execute("delete from refusals")
        self.far.clear()
        self.receiver.got.clear()
        self.box.got.clear()
        self.redis.flushdb()

    def rest(self) -> None:
        """Wait for the threads of this process that are still at something."""
        while self._futures:
            concurrent.futures.wait(list(self._futures), timeout=10)
            self._futures = {each for each in self._futures if not each.done()}

    def track(self, future: Future[Any]) -> None:
        self._futures.add(future)


@contextmanager
def house(addresses: Addresses, number: int, folder: Path) -> Iterator[House]:
    """The house of the process of this number."""
    admin, name = addresses.database_url.rpartition("/")[0] + "/postgres", f"swept{number}"
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"drop database if exists {name} with (force)")
        conn.execute(f"create database {name} template prepared")
    book = folder / f"sketch{number}.db"
    with ExitStack() as stack:
        receiver = Receiver()
        stack.callback(receiver.close)
        far = stack.enter_context(FarSides.running())
        box, mail_port = Box(), free_ports(1)[0]
        stack.enter_context(mail_server(box, mail_port))
        places = f"{receiver.place},{far.place('input')}"
        stack.enter_context(environment(_settings(addresses, number, name, book, places)))
        stack.enter_context(environment({"SMTP_URL": f"smtp://127.0.0.1:{mail_port}"}))
        make_bucket(storage())
        _offer(far)
        boundary = Boundary()
        made = House(boundary, far, receiver, box, book)
        # What is paused is looked up at each order: "as of a second ago" is a call more or less, as the machine is fast or slow.
        stack.enter_context(patch.object(pauses, "LOOK_SECONDS", 0))
        stack.enter_context(_own_time(made))
        stack.enter_context(_tracked(made))
        made.client = stack.enter_context(_api())
        ports = {port: "input" if name == "input" else "provider" for name, port in far.ports().items()}
        ports[9] = "provider"  # nobody listens there
        ports[int(receiver.place.rpartition(":")[2])] = "hook"
        stack.enter_context(hooks_sql.hooked(boundary))
        stack.enter_context(hooks_web.hooked(boundary, lambda port: ports.get(port, "web")))
        stack.enter_context(hooks_rest.hooked(boundary))
        yield made


def _settings(addresses: Addresses, number: int, database: str, book: Path, places: str) -> dict[str, str]:
    return {
        **addresses.environment(), "ENVIRONMENT": "test", "SKETCH_BOOK": str(book),
        "DATABASE_URL": addresses.database_url.rpartition("/")[0] + "/" + database,
        "REDIS_URL": addresses.redis_url.rpartition("/")[0] + f"/{number}", "S3_BUCKET": f"swept{number}",
        "ALLOW_PRIVATE_ADDRESSES": places, "CALLBACK_URL": "http://127.0.0.1:9", "RETRY_BASE_SECONDS": "0.01",
        "LEASE_SECONDS": "8",
        "RING_AGAIN_SECONDS": "1", "SIGNED_LINK_SECONDS": "1", "STRAY_SECONDS": "0", "KEY_CACHE_SECONDS": "0",
        "CATALOGUE_REFRESH_SECONDS": "86400", "WEBHOOK_RETRY_SCALE": "0.001", "WEBHOOK_TIMEOUT_SECONDS": "5",
        "FAR_SIDE_KEY": "far-side-key", "OWN_SECRET": SECRET, "WEBHOOK_SECRET": SECRET, "DATABASE_POOL_SIZE": "8",
    }  # fmt: skip


def _offer(far: FarSides) -> None:
    """Put the far sides and the models of all kinds into the catalogue."""
    with transaction() as conn:
        entries = [
            ProviderEntry.model_validate({"name": name, "base_url": url, "key": deployment.KEY_VARIABLE, **fields})
            for name, url, fields in far.providers()
        ]
        providers.apply(conn, entries)
        apply(conn, [Entry.model_validate(kind.entry()) for kind in KINDS.values()])


@contextmanager
def _api() -> Iterator[TestClient]:
    """The API's application, which never counts or looks by itself while runs go on."""
    from api import main
    from api.auth import keyring

    with ExitStack() as stack:
        if hasattr(keyring, "COUNT_SECONDS"):
            stack.enter_context(patch.object(keyring, "COUNT_SECONDS", 1e6))
        client = TestClient(main.make_app(), raise_server_exceptions=False)
        yield stack.enter_context(client)


@contextmanager
def _own_time(made: House) -> Iterator[None]:
    """Our own code's pauses are short, and its clock goes on when the driver lets time pass. What the servers under it
    wait for is left alone.
    """
    sleep, wait, monotonic = time.sleep, threading.Event.wait, time.monotonic

    def asked_by_us() -> bool:
        return str(sys._getframe(2).f_globals.get("__name__", "")).partition(".")[0] in OURS

    def slept(seconds: float) -> None:
        sleep(min(seconds, PAUSE_SECONDS))

    def waited(self: threading.Event, timeout: float | None = None) -> bool:
        return wait(self, timeout if timeout is None or not asked_by_us() else min(timeout, PAUSE_SECONDS))

    def now() -> float:
        return monotonic() + (made.passed if asked_by_us() else 0.0)

    with ExitStack() as stack:
        stack.enter_context(patch.object(time, "sleep", slept))
        stack.enter_context(patch.object(threading.Event, "wait", waited))
        stack.enter_context(patch.object(time, "monotonic", now))
        yield


@contextmanager
def _tracked(made: House) -> Iterator[None]:
    submit = ThreadPoolExecutor.submit

    def tracked(self: Any, act: Callable[..., Any], /, *given: Any, **more: Any) -> Any:
        future = submit(self, act, *given, **more)
        made.track(future)
        return future

    with patch.object(ThreadPoolExecutor, "submit", tracked):
        yield


def forget_rests() -> None:
    """A process that was just started has not heard of anything that is away."""
    doorbell.close()
    limits.close()


def template(addresses: Addresses) -> None:
    """The database that all others are copies of."""
    from models.schema import prepare

    with environment({**addresses.environment(), "ENVIRONMENT": "test"}):
        prepare.prepare()
        db.close()
        with psycopg.connect(addresses.database_url.rpartition("/")[0] + "/postgres", autocommit=True) as conn:
            conn.execute("alter database headrace rename to prepared")
