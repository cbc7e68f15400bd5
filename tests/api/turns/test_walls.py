"""The wall between tenants: whoever's account is held, requests of the others do not wait for it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.turns import walls
from api.turns.walls import Wall
from cli.embedded.servers import Addresses
from common.errors import Busy, Overloaded
from models import db
from models.access import api_keys
from models.credits import ledger
from models.db import transaction
from models.events import endpoints
from tests.conftest import fresh_database, new_system
from tests.files import picture
from tests.support import System, account, assert_books_are_clean, eventually, lock_waits, model, one, placed

WAITING = 40
CONNECTIONS = 8  # of an API process: as many as could wait for a lock at once, before there was a wall
FIRST = 3  # requests that are made while all the others wait


@contextmanager
def held(*accounts: UUID) -> Iterator[None]:
    """Accounts that somebody else has locked."""
    with db.apart(statement_timeout="60s") as conn, db.transaction_on(conn):
        conn.execute("set local idle_in_transaction_session_timeout = 0")
        conn.execute("select 1 from accounts where id = any(%s) order by id for update", [list(accounts)])
        yield


class Tenant:
    """An account, its key, and things of its own to ask for."""

    def __init__(self, system: System) -> None:
        self.who = account(amount=50, plan="pro")
        self.jobs = [placed(self.who, model("slow")) for _ in range(WAITING // 2)]
        with transaction() as conn:
            self.hook = endpoints.create(conn, self.who, "https://example.com/", [])[0].id
            self.spare = [api_keys.create(conn, self.who, api_keys.NewKey("spare"))[0] for _ in range(WAITING)]
        self.http = system.client(self.who)

    def request(self, verb: str, n: int) -> httpx.Response:
        """One of many."""
        calls: dict[str, Callable[[int], httpx.Response]] = {
            "cancel": lambda n: self.http.post(f"/v1/jobs/{self.jobs[n % len(self.jobs)]}/cancel"),
            "make a key": lambda n: self.http.post("/v1/keys", json={"name": f"k{n}"}),
            "rotate a key": lambda n: self.http.post(f"/v1/keys/{self.spare[n]}/rotate", json={}),
            "change a webhook": lambda n: self.http.patch(f"/v1/webhooks/{self.hook}", json={"description": f"{n}"}),
            "add a webhook": lambda n: self.http.post("/v1/webhooks", json={"url": f"https://example.com/{n}"}),
            "upload": lambda n: self.http.post("/v1/files", files={"file": ("a.png", picture(size=(10 + n, 10)))}),
            "look at credits": lambda _n: self.http.get("/v1/credits"),
            "price": lambda _n: self.http.post("/v1/quotes", json={"model": "slow", "input": {}}),
        }
        return calls[verb](n)

    def requests(self) -> list[Callable[[], httpx.Response]]:
        """One of each that locks an account, or refers to it."""
        return [
            lambda: self.http.post(f"/v1/jobs/{self.jobs[0]}/cancel"),
            lambda: self.http.post("/v1/keys", json={"name": "new"}),
            lambda: self.http.post(f"/v1/keys/{self.spare[0]}/rotate", json={}),
            lambda: self.http.post("/v1/webhooks", json={"url": "https://example.com/2"}),
            lambda: self.http.patch(f"/v1/webhooks/{self.hook}", json={"description": "x"}),
            lambda: self.http.post("/v1/files", files={"file": ("a.png", picture())}),
            lambda: self.http.post("/v1/jobs", json={"model": "slow", "input": {}}),
            lambda: self.http.post("/v1/notifications/read"),
            lambda: self.http.get("/v1/webhooks/default/secret"),
            lambda: self.http.get("/v1/credits"),
            lambda: self.http.get("/v1/jobs"),
            lambda: self.http.post("/v1/quotes", json={"model": "slow", "input": {}}),
        ]


@pytest.fixture(scope="module")
def running(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One API for all of them: a wall is an account's, and each test makes its own."""
    folder = tmp_path_factory.mktemp("walls")
    with fresh_database(stack), new_system(folder / "sketch.db", folder / "state") as system:
        model("slow", options={"pending": True, "ready_seconds": 60})
        system.start("api", api={"CATALOGUE_REFRESH_SECONDS": "60"})
        yield system


@pytest.fixture
def tenant(running: System) -> Iterator[Callable[[], Tenant]]:
    """Makes tenants of a running API."""
    made: list[Tenant] = []

    def make() -> Tenant:
        made.append(Tenant(running))
        return made[-1]

    yield make
    for each in made:
        each.http.close()


@pytest.mark.parametrize("verb", [
    "cancel", "make a key", "change a webhook", "add a webhook", "upload", "look at credits", "price", "rotate a key",
])  # fmt: skip
def test_an_account_that_is_held_keeps_nobody_else_waiting(tenant: Callable[[], Tenant], verb: str) -> None:
    theirs, mine = tenant(), tenant()
    with transaction() as conn:
        past = datetime.now(UTC) - timedelta(hours=1)
        ledger.grant(conn, theirs.who, kind="gift", amount=1, ref="lapsed", expires_at=past)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(theirs.request(verb, n)), daemon=True)
        for n in range(WAITING)
    ]
    for each in mine.requests():
        assert each().status_code < 300  # once before, so that nothing is done for the first time below
    mine.jobs.pop(0)
    with held(theirs.who):
        for thread in threads:
            thread.start()
        if verb in {"look at credits", "price"}:  # they wait for nobody: counted without what has lapsed
            for thread in threads:
                thread.join(60)
            assert {each.status_code for each in answers} == {200}
        else:
            eventually(lambda: lock_waits() > 0 or bool(answers), what="somebody who waits")
        first, rest = mine.requests()[:FIRST], mine.requests()[FIRST:]
        for each in first:
            assert each().status_code < 300
        if verb not in {"look at credits", "price", "upload"}:  # of uploads, most are refused at once
            assert len(answers) < CONNECTIONS, "the others went on before a single round of these was over"
        for each in rest:
            assert each().status_code < 300
    for thread in threads:
        thread.join(60)
    assert len(answers) == WAITING
    limits = {"too_many_webhooks", "too_many_uploads"}
    refused = [each for each in answers if each.status_code >= 300 and each.json()["code"] not in limits]
    assert all((each.status_code, each.json()["retryable"]) == (503, True) for each in refused)
    assert all(each.headers["retry-after"] for each in refused)
    assert_books_are_clean()


def test_ten_accounts_that_are_held_keep_nobody_else_waiting(tenant: Callable[[], Tenant]) -> None:
    mine, others = tenant(), [tenant() for _ in range(10)]
    answers: list[int] = []

    def ask(other: Tenant, n: int) -> None:
        answers.append(other.http.post(f"/v1/jobs/{other.jobs[n]}/cancel").status_code)
        answers.append(other.http.post("/v1/keys", json={"name": "x"}).status_code)

    for each in mine.requests():
        assert each().status_code < 300
    mine.jobs.pop(0)
    threads = [threading.Thread(target=ask, args=(other, n), daemon=True) for other in others for n in range(4)]
    with held(*(each.who for each in others)):
        for thread in threads:
            thread.start()
        eventually(lambda: lock_waits() > 0, what="somebody who waits")
        for each in mine.requests()[:FIRST]:
            assert each().status_code < 300
        assert len(answers) < CONNECTIONS, "the others went on before a single round of these was over"
    for thread in threads:
        thread.join(60)
    assert set(answers) <= {200, 201, 503}
    assert_books_are_clean()


def test_a_lock_that_is_let_go_in_time_is_only_waited_for(tenant: Callable[[], Tenant]) -> None:
    mine = tenant()
    answers: list[int] = []

    def ask(n: int) -> None:
        answers.append(mine.http.post(f"/v1/jobs/{mine.jobs[n]}/cancel").status_code)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    with held(mine.who):
        for thread in threads:
            thread.start()
        eventually(lambda: lock_waits() > 0, what="somebody who waits")
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 4
    assert_books_are_clean()


# The wall alone


def run(work: Callable[[Wall], Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(work(Wall()), 30)

    return asyncio.run(limited())


def test_of_one_name_one_tries_at_a_time_and_others_go_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, "WAIT_SECONDS", 0.3)
    inside: list[str] = []
    most = 0

    async def busy() -> None:
        nonlocal most
        inside.append("busy")
        most = max(most, len(inside))
        await asyncio.sleep(0.01)
        inside.pop()
        raise Busy("held")

    async def work(wall: Wall) -> list[Any]:
        waiting = [asyncio.ensure_future(wall.run("theirs", busy)) for _ in range(20)]
        await asyncio.sleep(0)
        for n in range(5):
            assert await wall.run("mine", lambda n=n: asyncio.sleep(0, n)) == n
        assert not any(each.done() for each in waiting)
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in run(work)] == [Busy] * 20
    assert most == 1


def test_a_line_is_bounded_and_nothing_of_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, "MAX_WAITING", 3)

    async def work(wall: Wall) -> list[Any]:
        gate = asyncio.Event()
        waiting = [asyncio.ensure_future(wall.run("theirs", gate.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert (wall._queues, wall._waiting) == ({}, 0)
        return found

    assert [type(each) for each in run(work)] == [bool] * 3 + [Overloaded] * 2


def test_a_rotation_that_waits_for_the_account_does_not_stop_a_submit_with_that_key(database: str) -> None:
    """A submit holds the account and refers to its key; a rotation held the key and waited for the account."""
    who = account(amount=9)
    with transaction() as conn:
        key_id, _ = api_keys.create(conn, who, api_keys.NewKey("spends", monthly_credits=5))

    def rotate() -> None:
        with transaction() as conn:
            api_keys.rotate(conn, who, key_id, 1)

    with ThreadPoolExecutor(1) as thread:
        with transaction() as conn:
            conn.execute("select 1 from accounts where id = %s for no key update", [who])
            rotating = thread.submit(rotate)
            eventually(lambda: lock_waits() > 0, what="the rotation that waits")
            conn.execute("insert into key_spending (key_id, month, credits) values (%s, '2026-01-01', 1)", [key_id])
        rotating.result()
    assert one("select count(*) from api_keys where account_id = %s", who) == (2,)
