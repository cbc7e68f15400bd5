"""Orders that are sent again without a name: one job for each order, however often it comes, over real connections."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from psycopg import Connection
from starlette.requests import Request
from starlette.testclient import TestClient

from api.edge.flow import CLOSING
from api.intake.repeats import Repeats
from api.main import make_app
from api.orders import placing, repeatable
from api.turns.places import Places
from common.errors import Unavailable
from models.db import CommitUnknown, transaction
from models.jobs import repeats
from models.jobs.repeats import EarlierJob, SentOrder
from models.locks import lock_account
from tests.support import System, account, assert_books_are_clean, eventually, key_of, model, one, order, place, rows

PATH = "/compat/replicate/v1/models/headrace/test-model/predictions"


class Caller:
    """A program without manners: raw requests of one key, on connections of their own."""

    def __init__(self, system: System, account_id: UUID) -> None:
        self.account_id, self._key = account_id, key_of(account_id)
        self._host, self._port = urlsplit(system.url).hostname, urlsplit(system.url).port

    def send(self, body: object = None, **headers: str) -> socket.socket:
        """Send an order, and leave its connection open."""
        raw = json.dumps({"input": {"prompt": "a harbour"}} if body is None else body).encode()
        lines = {
            "host": "test", "authorization": f"Bearer {self._key}", "content-type": "application/json",
            "content-length": str(len(raw)), **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection = socket.create_connection((self._host, self._port), timeout=30)
        connection.sendall(f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + raw)
        return connection

    def jobs(self) -> int:
        return int(one("select count(*) from jobs where account_id = %s", self.account_id)[0])


def read(connection: socket.socket) -> tuple[int, dict[str, str], dict[str, object]]:
    """The answer on a connection."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = connection.recv(65536)
        assert part, raw
        raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(first.split()[1]), headers, json.loads(body)


@pytest.fixture
def sender(system: System) -> Iterator[Caller]:
    """An account's program, of an API without workers: what is ordered stays queued."""
    model()
    system.start("api")
    made = Caller(system, account(amount=20))
    yield made
    assert_books_are_clean()


def test_an_order_that_says_it_was_sent_before_is_the_first_ones_job(sender: Caller) -> None:
    with closing(sender.send(prefer="wait=60", x_stainless_retry_count="0")):
        eventually(lambda: sender.jobs() == 1)
    with closing(sender.send(prefer="wait=60", x_stainless_retry_count="1")):
        time.sleep(0.3)  # as long as its client has patience
    with closing(sender.send(x_stainless_retry_count="2")) as third:
        status, headers, said = read(third)
    assert (status, headers["idempotent-replayed"]) == (201, "true")
    assert [(UUID(str(said["id"])),)] == rows("select id from jobs")
    assert rows("select amount from reservations") == [(1,)]


def test_whoever_says_so_has_sent_it_before_whatever_became_of_the_first(sender: Caller) -> None:
    """Its connection may be open still, for all that we see, or its answer may have been written to somebody who was gone."""
    with closing(sender.send(prefer="wait=60")) as first:
        eventually(lambda: sender.jobs() == 1)
        with closing(sender.send(x_stainless_retry_count="1")) as second:
            assert read(second)[1]["idempotent-replayed"] == "true"
        assert first.fileno() >= 0
    eventually(lambda: rows("select 1 from idempotency_keys where lost_at is not null") != [])
    for headers in ({}, {"x_stainless_retry_count": "1"}):  # the first of these is told the lost answer
        with closing(sender.send(**headers)) as connection:
            assert read(connection)[1]["idempotent-replayed"] == "true"
    assert sender.jobs() == 1


class OpenConnection:
    """What a request hears: nothing, until its connection is gone."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.scope = {CLOSING: self.gone.is_set}

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def test_an_equal_order_waits_a_moment_for_the_loss_of_one_on_its_way() -> None:
    async def second(*, is_cut: bool) -> UUID | None:
        flights, cut, whole = Repeats(Places()), OpenConnection(), OpenConnection()
        name = (uuid4(), b"\x01" * 32)
        first = flights.begin(cast(Request, cut), *name)
        again = flights.begin(cast(Request, whole), *name)
        asked = asyncio.create_task(flights.under_way(again, retried=False))
        await asyncio.sleep(0.02)  # it has begun to wait
        assert (asked.done(), first.is_lost) == (False, False)
        first.job.set_result(job_id)
        if is_cut:
            cut.gone.set()
        try:
            return await asked
        finally:
            for each in (first, again):
                await flights.land(each, lost=False)

    job_id = uuid4()
    assert asyncio.run(second(is_cut=True)) == job_id
    assert asyncio.run(second(is_cut=False)) is None


def test_a_connection_that_is_gone_is_seen_without_waiting_for_it() -> None:
    async def look() -> list[bool]:
        connection, flights = OpenConnection(), Repeats(Places())
        flight = flights.begin(cast(Request, connection), uuid4(), b"")
        seen = [flight.is_lost]
        connection.gone.set()
        seen += [flight.is_lost, flight.is_lost]
        await flights.land(flight, lost=False)
        return seen

    assert asyncio.run(look()) == [False, True, True]


def test_an_order_whose_connection_was_closed_before_its_answer_is_the_same_sent_again(sender: Caller) -> None:
    with closing(sender.send(prefer="wait=60")):
        eventually(lambda: sender.jobs() == 1)
    for _ in range(5):  # as Replicate's library for JavaScript does, within 30 ms
        sender.send(prefer="wait=60").close()
    with closing(sender.send()) as last:
        status, headers, said = read(last)
    assert (status, headers["idempotent-replayed"], sender.jobs()) == (201, "true", 1), said


def test_a_burst_of_cut_orders_is_one_job_whatever_of_it_was_read(sender: Caller) -> None:
    for pause in (0.0, 0.001, 0.003, 0.01, 0.03):
        connection = sender.send(prefer="wait=60")
        time.sleep(pause)
        connection.close()
    with closing(sender.send()) as last:
        assert read(last)[0] == 201
    assert sender.jobs() == 1


def test_one_whose_loss_is_known_is_found_later_and_given_once(sender: Caller) -> None:
    with closing(sender.send(prefer="wait=60")):
        eventually(lambda: sender.jobs() == 1)
    eventually(lambda: rows("select 1 from idempotency_keys where lost_at is not null") != [])
    with closing(sender.send()) as second:
        assert read(second)[1]["idempotent-replayed"] == "true"
    with closing(sender.send()) as third:  # the answer had reached its client: this is a new order
        assert "idempotent-replayed" not in read(third)[1]
    assert sender.jobs() == 2


def test_a_connection_that_is_cut_before_an_answer_that_nothing_waits_for_is_a_loss(sender: Caller) -> None:
    """An order without `Prefer: wait`, whose account is held by somebody else until its client has gone."""
    with transaction() as conn:
        lock_account(conn, sender.account_id)
        with closing(sender.send()):
            eventually(lambda: rows("select 1 from pg_locks where not granted") != [])
        with closing(sender.send({"input": {"nonsense": 1}})) as another:
            assert read(another)[0] == 422  # the API has heard of the cut by now
    eventually(lambda: rows("select 1 from idempotency_keys where lost_at is not null") != [])
    with closing(sender.send()) as again:
        assert read(again)[1]["idempotent-replayed"] == "true"
    assert sender.jobs() == 1


def test_equal_orders_whose_connections_are_open_are_as_many_jobs(sender: Caller) -> None:
    with closing(sender.send(prefer="wait=4")) as first, closing(sender.send(prefer="wait=4")) as second:
        found = {str(read(each)[2]["id"]) for each in (first, second)}
    assert len(found) == sender.jobs() == 2


def test_answered_orders_and_others_words_are_new_ones(sender: Caller) -> None:
    for body in ({"input": {"seed": 1}}, {"input": {"seed": 1}}, {"input": {"seed": 2}}):
        with closing(sender.send(body)) as connection:
            assert "idempotent-replayed" not in read(connection)[1]
    assert sender.jobs() == 3


def test_a_name_of_the_clients_own_is_honoured(sender: Caller) -> None:
    found = []
    for _ in range(2):
        with closing(sender.send(idempotency_key="mine")) as connection:
            found.append(read(connection)[2]["id"])
    assert found[0] == found[1]
    assert sender.jobs() == 1


def test_a_refused_order_that_was_lost_is_tried_again(sender: Caller) -> None:
    with transaction() as conn:
        conn.execute("update accounts set slots_in_use = slots_in_use where id = %s", [sender.account_id])
    for _ in range(3):
        sender.send({"input": {"nonsense": 1}}).close()
    with closing(sender.send({"input": {"nonsense": 1}})) as connection:
        status, _, said = read(connection)
    assert (status, said["status"], sender.jobs()) == (422, 422, 0)


def test_twenty_orders_at_once_that_are_cut_are_found_by_as_many_that_follow(sender: Caller) -> None:
    """Each of those that follow is one of the first or a new one: nobody gets a job that is somebody else's too."""

    def lose(number: int) -> None:
        with closing(sender.send({"input": {"seed": number}}, prefer="wait=60")):
            time.sleep(0.05)

    def again(number: int) -> str:
        with closing(sender.send({"input": {"seed": number}})) as connection:
            return str(read(connection)[2]["id"])

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lose, range(10)))
        found = list(pool.map(again, range(10)))
    assert len(set(found)) == sender.jobs() == 10


@pytest.mark.usefixtures("database")
def test_of_one_account_nothing_is_found_by_another_nor_by_other_words() -> None:
    offer, asked = model(), b"\x01" * 32
    mine, other = account(amount=5), account(amount=5)
    made = order(mine, offer)
    place(order(mine, offer, idempotency_key="~not-lost", body_hash=b"\x02" * 32))
    place(
        type(made)(made.job_id, mine, offer, made.input, idempotency_key=repeats.sent_key(made.job_id), body_hash=asked)
    )
    with transaction() as conn:
        looks = [
            SentOrder(mine, asked, True), SentOrder(other, asked, True), SentOrder(mine, b"\x03" * 32, True), SentOrder(mine, asked, False),
        ]  # fmt: skip
        found = EarlierJob(made.job_id, "interactive")
        assert earlier(conn, looks) == [found, None, None, None]
        repeats.mark_lost(conn, mine, made.job_id)
        assert earlier(conn, [SentOrder(other, asked, False)]) == [None]
        assert earlier(conn, [SentOrder(mine, asked, False)] * 2) == [found, None]


def earlier(conn: Connection[Any], looks: list[SentOrder]) -> list[EarlierJob | None]:
    return repeats.earlier(conn, looks, repeats.ask_lost(conn, looks))


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("retried", [False, True])
def test_an_account_that_orders_the_same_for_ever_is_answered_as_quickly(retried: bool) -> None:
    """What is read for one order: the same after five thousand equal ones that had their answers."""
    who, asked = account(amount=5), b"\x01" * 32
    made = order(who, model())
    place(made)

    def blocks() -> int:
        with transaction() as conn:
            conn.execute("analyze idempotency_keys")
        with transaction() as conn:
            statement = repeats._LAST if retried else repeats._LOST
            values = [f"{{{who}}}", f"{{{asked.hex()}}}", 3600]
            [plan] = conn.execute(f"explain (analyze, buffers, format json) {statement}", values).fetchone() or []
            return int(plan[0]["Plan"]["Shared Hit Blocks"])

    def add(first: int, last: int) -> None:
        with transaction() as conn:
            conn.execute(
                """insert into idempotency_keys (account_id, key, body_hash, job_id, created_at)
                   select %s, '~' || n, %s, %s, app_now() - make_interval(secs => n) from generate_series(%s::int, %s) n""",
                [who, asked, made.job_id, first, last],
            )

    add(1, 500)
    few = blocks()
    add(501, 5_500)
    assert blocks() <= few + 4, (few, blocks())


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model()
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def test_a_found_job_whose_answer_fails_is_found_again(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    who = account(amount=5)
    head = {"authorization": f"Bearer {key_of(who)}"}
    first = http.post(PATH, json={"input": {}}, headers=head).json()["id"]
    with transaction() as conn:
        repeats.mark_lost(conn, who, UUID(first))

    async def away(*_: object) -> None:
        raise Unavailable("the database is away for a moment")

    with monkeypatch.context() as patch:
        patch.setattr(repeatable, "see_job", away)
        assert http.post(PATH, json={"input": {}}, headers=head).status_code == 503
    again = http.post(PATH, json={"input": {}}, headers=head)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first, "true")
    assert one("select count(*) from jobs") == (1,)


def test_an_order_of_which_nobody_knows_whether_it_was_committed_is_found_if_it_was(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = {"authorization": f"Bearer {key_of(account(amount=5))}"}
    real = placing.accept_order

    async def unknown(*values: Any) -> Any:
        job_id, _ = await real(*values)
        raise CommitUnknown("the acknowledgement was lost", job_id=str(job_id))

    with monkeypatch.context() as patch:
        patch.setattr(repeatable, "accept_order", unknown)
        assert http.post(PATH, json={"input": {}}, headers=head).status_code == 503
    again = http.post(PATH, json={"input": {}}, headers=head)
    assert (again.status_code, again.headers.get("idempotent-replayed")) == (201, "true")
    assert one("select count(*) from jobs") == (1,)
