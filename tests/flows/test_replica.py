"""Lists, searches, use and pages with a replica: which of them it answers, two API hosts on it, its end under load."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from cli.embedded.servers import free_ports
from tests.api.console.house import console, operator, sign_in
from tests.conftest import environment
from tests.standbys import Standby, standby
from tests.support import System, account, eventually, key_of, model, status

OWN = (
    "/v1/jobs", "/v1/jobs?status=succeeded&limit=1", "/v1/usage", "/v1/batches", "/v1/credits/entries", "/v1/images", "/v1/search/images?q=lake",
    "/v1/feed", "/v1/content/articles", "/v1/content/search?q=mill", "/v1/payments",
    "/v1/collections", "/v1/courses", "/v1/notifications", "/v1/webhooks/default/deliveries", "/compat/replicate/v1/predictions",
)  # fmt: skip
OPERATORS = (
    "/v1/admin/jobs",
    "/v1/admin/usage",
    "/v1/admin/stats",
    "/v1/admin/users",
    "/v1/admin/acts",
    "/v1/admin/payments",
)
PAGES = (
    "/console",
    "/console/jobs",
    "/console/accounts",
    "/console/payments",
    "/console/webhooks",
    "/account/jobs",
    "/account/use",
)
# What a replica is asked besides: how far it is, and what a pooler or a session wants.
READS = """select coalesce(sum(calls), 0)::int from pg_stat_statements s join pg_database d on d.oid = s.dbid
            where datname = current_database() and query ilike '%from%' and query !~* 'pg_is_in_recovery|pg_stat_statements|pg_backend_pid'"""


@pytest.fixture
def replica(database: str, tmp_path: Path) -> Iterator[Standby]:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("create extension pg_stat_statements")
    with standby(database, tmp_path / "standby") as made:
        given = {"DATABASE_REPLICA_URL": made.url(database), "DATABASE_REPLICA_WAIT_SECONDS": "3"}
        with environment(given):
            yield made


def reads_of(replica: Standby, database: str) -> int:
    """How many statements of ours it has answered."""
    found = replica.ask(READS, database=database.rpartition("/")[2])
    assert isinstance(found, int)
    return found


def test_lists_searches_use_and_pages_are_the_replica_s(replica: Standby, database: str) -> None:
    secret = operator()[1]
    headers = {"authorization": f"Bearer {secret}"}
    with console() as http:
        sign_in(http, secret)
        sign_in(http, secret, site="account")
        for path in (*OWN, *OPERATORS, *PAGES):
            before = reads_of(replica, database)
            answer = http.get(path, headers={} if path in PAGES else headers)
            assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
            assert reads_of(replica, database) > before, f"{path} was read from the primary"
        before = reads_of(replica, database)
        assert http.get("/v1/credits", headers=headers).status_code == 200
        assert reads_of(replica, database) == before, "what is spent next is the primary's to say"


def test_who_orders_at_one_host_and_lists_at_another_sees_the_job(
    system: System, replica: Standby, database: str
) -> None:
    model("quick", price={"unit": "job", "credits": 1})
    who, hosts = account(amount=40), _two_hosts(system)
    with httpx.Client(headers={"authorization": f"Bearer {key_of(who)}"}, timeout=30) as http:

        def order_and_list(number: int) -> bool:
            made = http.post(f"{hosts[number % 2]}/v1/jobs", json={"model": "quick", "input": {}})
            assert made.status_code == 201, made.text
            listed = http.get(f"{hosts[1 - number % 2]}/v1/jobs").json()["data"]
            return made.json()["id"] in {each["id"] for each in listed}

        assert [number for number in range(20) if not order_and_list(number)] == []
        assert reads_of(replica, database) > 0
        replica.pause()
        assert [number for number in range(4) if not order_and_list(number)] == []


def test_a_replica_that_is_killed_under_load_stops_no_list_and_is_read_again(
    system: System, replica: Standby, database: str
) -> None:
    who, (host, _) = account(amount=40), _two_hosts(system)
    over, lists = threading.Event(), list[int]()

    def list_on() -> None:
        with httpx.Client(headers={"authorization": f"Bearer {key_of(who)}"}, timeout=30) as http:
            while not over.is_set():
                lists.append(http.get(f"{host}/v1/jobs").status_code)

    with ThreadPoolExecutor(4) as threads:
        listing = [threads.submit(list_on) for _ in range(4)]
        try:
            eventually(lambda: len(lists) > 40, seconds=60, what="lists from the replica")
            assert set(lists) == {200}
            replica.kill()
            at = len(lists)
            eventually(lambda: len(lists) > at + 100, seconds=60, what="lists without it")
            missed = lists[at:].count(503)
            replica.start()
            before = reads_of(replica, database)
            eventually(lambda: reads_of(replica, database) > before, seconds=60, what="a replica that is read again")
        finally:
            over.set()
        for each in listing:
            each.result()
    assert set(lists) <= {200, 503}
    assert missed <= 4, "more than what was under way went down with it"
    assert lists[-1] == 200


def _two_hosts(system: System) -> list[str]:
    """Two API processes on the primary and the replica."""
    port = free_ports(1)[0]
    system.start("api")
    other = f"http://127.0.0.1:{port}"
    system.processes.start_one("api", {"API_PORT": str(port)}, number=2)
    eventually(lambda: _is_ready(other), seconds=60, what="the other host")
    return [system.url, other]


def _is_ready(url: str) -> bool:
    try:
        return status(f"{url}/readyz", seconds=2) == 200
    except OSError:
        return False
