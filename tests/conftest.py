"""Real servers for all tests, started once; a database of its own for each test that wants one."""

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

import api.main
from cli.embedded.processes import Processes
from cli.embedded.servers import Addresses, free_ports, servers
from common.redis_client import redis_client
from common.settings import settings
from models import db
from models.jobs import pauses
from models.schema import prepare
from storage import s3
from tests.databases import Spare, address, new_database, sessions
from tests.forks import Forked, end_standing
from tests.holding import one_connection_a_thread
from tests.rabbits import Rabbit, rabbitmq
from tests.support import ADMIN_TOKEN, OWN_SECRET, System
from workers import doorbell
from workers.calls import limits

os.environ["COLUMNS"] = "200"  # tables and sentences of the command line are not broken, wherever the tests run

# Addresses of a stack that runs already, as JSON: set by tests.mutants, whose many short runs would each start one. It is
# that run's alone for as long as it lasts: tests flush and drop.
STACK = "HEADRACE_TEST_STACK"
PREPARED = f"prepared{os.getpid()}"

# Durable to a killed process, not to a power cut, which no test makes. What was answered is written down (synchronous_commit
# stays on): a server that does not stop in time is killed, also in tests.
FAST = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


# Ten thousand tests and all their modules live until the end: nothing of them is looked through for garbage.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """All tests are there."""
    gc.freeze()
    gc.enable()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Each of several workers imports its share of the tests first: whoever is first prepares a file's assertions, which
    takes two thirds of the time, and the others, who import it later, find them prepared.
    """
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if worker is None or workers is None or sys.dont_write_bytecode:
        return
    here = Path(__file__).parent
    for path in sorted(here.rglob("test_*.py"))[int(worker.removeprefix("gw")) :: int(workers)]:
        with suppress(Exception):  # what is wrong with it is said where it is collected
            import_module(".".join(path.relative_to(here.parent).with_suffix("").parts))


def pytest_sessionfinish() -> None:
    """Processes that stand ready for tests end with them."""
    end_standing()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The flows first: their files are the longest, and the last one to begin would be waited for alone."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/flows/"))


def forget() -> None:
    """Drop what this process remembers of servers and settings."""
    sessions.lay_aside()
    db.close()
    doorbell.close()
    limits.close()
    s3.close()
    pauses.forget_seen()
    settings.cache_clear()


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Settings for the time of a block, in this process and its children."""
    before = dict(os.environ)
    os.environ.update(values)
    forget()
    sessions.take_up()
    try:
        yield
    finally:
        forget()
        os.environ.clear()
        os.environ.update(before)
        sessions.take_up()


@pytest.fixture(scope="session", autouse=True)
def _one_connection_a_thread() -> Iterator[None]:
    with one_connection_a_thread():
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """PostgreSQL, Valkey and SeaweedFS, with a prepared database to copy."""
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "S3_ENDPOINT_URL"):
        os.environ.pop(name, None)  # tests flush and drop: never somebody's real servers
    with _servers(tmp_path_factory) as addresses, prepared(addresses):
        yield addresses


@contextmanager
def prepared(addresses: Addresses) -> Iterator[None]:
    """These servers for the time of a block, with a prepared database to copy."""
    url = addresses.database_url.rpartition("/")[0] + "/" + PREPARED
    with psycopg.connect(_admin(addresses), autocommit=True) as conn:
        conn.execute(f"create database {PREPARED}")
    secrets = {"SECRET_KEY": OWN_SECRET, "PROVISIONING_ADMIN_TOKEN": ADMIN_TOKEN}
    with environment({**addresses.environment(), "DATABASE_URL": url, "ENVIRONMENT": "test", **secrets}):
        prepare.prepare()
        db.close()
        yield
    # Only servers that others go on using are left as they were found; ours end with us, or have been ended by a test.
    if STACK in os.environ:
        with psycopg.connect(_admin(addresses), autocommit=True) as conn:
            conn.execute(f"drop database {PREPARED} with (force)")


def _servers(tmp_path_factory: pytest.TempPathFactory) -> AbstractContextManager[Addresses]:
    given = os.environ.get(STACK)
    if given:
        return nullcontext(Addresses(**json.loads(given)))
    return servers(tmp_path_factory.mktemp("servers"), postgres_settings=FAST)


def _admin(addresses: Addresses) -> str:
    return addresses.database_url.rpartition("/")[0] + "/postgres"


@contextmanager
def fresh_database(stack: Addresses) -> Iterator[str]:
    """A database of one's own with schema, plans and catalogue, for the time of a block."""
    with new_database(_admin(stack), PREPARED) as name, _used(stack, name) as url:
        yield url


@contextmanager
def _used(stack: Addresses, name: str) -> Iterator[str]:
    url = address(_admin(stack), name)
    with environment({"DATABASE_URL": url}):
        yield url


@pytest.fixture(scope="session")
def spare(stack: Addresses) -> Iterator[Spare]:
    """The database that tests have, one after the other."""
    with lending(stack) as lender, pytest.MonkeyPatch.context() as patch:
        # An API that runs in this process for a test closes this process's connections when it stops, as its own would.
        patch.setattr(api.main, "db", SimpleNamespace(close=_close_or_keep))
        yield lender


def _close_or_keep() -> None:
    sessions.lay_aside()
    db.close()
    sessions.take_up()


@contextmanager
def lending(stack: Addresses) -> Iterator[Spare]:
    """Databases of these servers for one test after the other, for the time of a block."""
    lender = Spare(_admin(stack), PREPARED)
    yield lender
    lender.disconnect()
    if STACK in os.environ:  # else these servers end with us, or have been ended by a test
        lender.close()


@pytest.fixture
def database(stack: Addresses, spare: Spare) -> Iterator[str]:
    """A database as it was prepared, with schema, plans and catalogue, and an empty Redis."""
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    db.close()  # a test without a database of its own may have read the prepared one, which cannot be copied then
    with spare.lend() as name, _used(stack, name) as url:
        yield url


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """A RabbitMQ, started once for all tests that want it."""
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as started:
        yield started


@pytest.fixture
def rabbit(rabbit_server: Rabbit, database: str) -> Iterator[Rabbit]:
    """A RabbitMQ with empty queues, which carries messages in Redis's place."""
    rabbit_server.forget()
    with environment({"BROKER_URL": rabbit_server.url}):
        yield rabbit_server


@pytest.fixture
def book(database: str, tmp_path: Path) -> Iterator[Path]:
    """A book for sketch, so that its asynchronous and failing routes work."""
    path = tmp_path / "sketch.db"
    with environment({"SKETCH_BOOK": str(path)}):
        yield path


@pytest.fixture
def system(book: Path, tmp_path: Path) -> Iterator[System]:
    """The whole system on a fresh database; tests start the processes they need."""
    with new_system(book, tmp_path / "state") as made:
        yield made


@contextmanager
def new_system(book: Path, state: Path) -> Iterator[System]:
    """A system on the database of the moment, for the time of a block; none of its processes runs yet."""
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    settings_of_system = {
        "API_PORT": str(port),
        "PUBLIC_URL": url,
        "LEASE_SECONDS": "2",
        "RING_AGAIN_SECONDS": "1",
        "RETRY_BASE_SECONDS": "0.2",
        "SCHEDULER_TICK_SECONDS": "0.1",
        "SIGNED_LINK_SECONDS": "1",
        "CATALOGUE_REFRESH_SECONDS": "0.2",
        "WORKER_STOP_SECONDS": "60",
    }
    with environment(settings_of_system):
        started = System(url, book, Processes(state, settings_of_system, popen=Forked))
        try:
            yield started
        finally:
            started.stop()
