"""The primary is killed under load and its synchronous replica is promoted: what was answered is there, and all goes on by itself."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from cli.embedded.servers import Addresses
from common.places import database_parameters
from tests.conftest import environment, lending
from tests.databases import Spare
from tests.listening import Listening
from tests.outages import Own, own_servers
from tests.standbys import Standby, standby
from tests.support import System, account, assert_books_are_clean, balance, eventually, key_of, model, one, rows

JOBS, CLIENTS = 90, 3
PRICE = 2


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with own_servers(tmp_path_factory.mktemp("own")) as servers:
        yield servers


@pytest.fixture(scope="module")
def stack(own: Own) -> Addresses:
    """This test's own servers, in the place of those that all others share."""
    return own.addresses


@pytest.fixture(scope="module")
def spare(stack: Addresses) -> Iterator[Spare]:
    with lending(stack) as lender:
        yield lender


@pytest.fixture
def heir(own: Own, database: str, tmp_path: Path) -> Iterator[Standby]:
    """A replica that every commit waits for. In the end the old primary is back, and waits for nobody."""
    with standby(database, tmp_path / "standby") as made:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("alter system set synchronous_standby_names = '*'")
            conn.execute("select pg_reload_conf()")
            eventually(lambda: _is_waited_for(conn), what="a replica that is waited for")
        try:
            yield made
        finally:
            made.kill()
            own.start_postgres()
            with psycopg.connect(database, autocommit=True) as conn:
                conn.execute("alter system reset synchronous_standby_names")
                conn.execute("select pg_reload_conf()")


def _is_waited_for(conn: "psycopg.Connection[tuple[object, ...]]") -> bool:
    return conn.execute("select sync_state from pg_stat_replication").fetchall() == [("sync",)]


def both(database: str, heir: Standby) -> str:
    """The address of whichever of the two takes writes."""
    found = database_parameters(database)
    places = f"127.0.0.1:{found['port']},127.0.0.1:{heir.port}"
    return (
        f"postgresql://{found['user']}:{found['password']}@{places}/{found['dbname']}?target_session_attrs=read-write"
    )


@pytest.mark.timeout(240)
def test_a_replica_that_is_promoted_under_load_has_all_that_was_answered(
    system: System, own: Own, database: str, heir: Standby
) -> None:
    model("quick", price={"unit": "job", "credits": PRICE})
    model("slow", price={"unit": "job", "credits": PRICE}, options={"pending": True, "ready_seconds": 1})
    who = account(amount=JOBS * PRICE, plan="studio")
    headers = {"authorization": f"Bearer {key_of(who)}"}
    with environment({"DATABASE_URL": both(database, heir), "DATABASE_REPLICA_URL": heir.url(database)}):
        system.start("api", "worker", "scheduler", "deliver")
        with Listening(f"{system.url}/v1/events", headers, after=0) as heard:
            accepted, away = _order_all(system, who, own, heir)
            eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=90, what="the end of all jobs")
            eventually(lambda: heard.kinds().count("job.succeeded") == JOBS, seconds=60, what="all events")
            numbers = heard.numbers()
        assert one("select inet_server_port()") == (heir.port,)
        stored = dict(rows("select id::text, ended from jobs"))
        assert set(accepted) - set(stored) == set(), "a job that was accepted is lost"
        assert set(stored) == set(accepted), "an order that was repeated with its key is there twice"
        assert set(stored.values()) == {"succeeded"}
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "an event was lost, or came twice"
        for name in ("api", "worker", "scheduler", "deliver"):
            assert system.processes.alive(name), f"{name} did not live through it"
        system.stop()
        starts = system.book.starts_per_key()
        assert {key: count for key, count in starts.items() if count > 1} == {}, "asked twice for one attempt"
        assert balance(who) == (0, 0)
        assert_books_are_clean()
    print(f"orders were answered again {away:.1f} s after the kill")


def _order_all(system: System, who: UUID, own: Own, heir: Standby) -> tuple[list[str], float]:
    """Order from several threads; in the middle of it the primary is killed and its heir promoted. Returns the jobs, and after how
    many seconds the next order was accepted.
    """
    accepted: list[str] = []
    answered_at: list[float] = []
    may_end = threading.Event()

    def order_some(client: int) -> None:
        with system.client(who) as http:
            for number in range(client, JOBS, CLIENTS):
                job_id = _ordered(http, "slow" if number % 3 == 0 else "quick", f"k{number}")
                accepted.append(job_id)
                answered_at.append(time.monotonic())
                _look_for(http, job_id)
                if len(accepted) > JOBS // 2:
                    may_end.wait(60)

    with ThreadPoolExecutor(CLIENTS) as threads:
        ordering = [threads.submit(order_some, client) for client in range(CLIENTS)]
        eventually(lambda: len(accepted) >= JOBS // 3, seconds=60, what="a third of the orders")
        own.kill_postgres()
        killed_at = time.monotonic()
        heir.promote()
        may_end.set()
        for each in ordering:
            each.result()
    assert len(set(accepted)) == JOBS
    return accepted, min(at for at in answered_at if at > killed_at) - killed_at


def _ordered(http: httpx.Client, name: str, key: str) -> str:
    """As a client does: what is not answered, or answered with 503, is ordered again with its key."""
    end = time.monotonic() + 60
    while True:
        answer = http.post("/v1/jobs", json={"model": name, "input": {}}, headers={"Idempotency-Key": key}, timeout=30)
        if answer.status_code == 201:
            return str(answer.json()["id"])
        assert answer.status_code == 503, answer.text
        assert time.monotonic() < end, answer.text
        time.sleep(0.1)


def _look_for(http: httpx.Client, job_id: str) -> None:
    """Whoever has ordered sees it in their list, or is told that nobody can look now."""
    answer = http.get("/v1/jobs?limit=100")
    if answer.status_code != 503:
        assert answer.status_code == 200, answer.text
        assert job_id in {each["id"] for each in answer.json()["data"]}, "an accepted order is in no list"
