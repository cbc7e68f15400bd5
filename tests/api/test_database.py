"""What the database cannot, at the edge: 503 with Retry-After where it passes, 422 for a value it cannot hold."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from api.main import make_app
from api.services import services
from api.tasks import end
from cli.main import app as command
from common.errors import Busy, DatabaseAway, Unavailable
from models import connecting, db, failures, numbers
from models.db import transaction
from models.events import notifications
from models.jobs import submit
from storage.s3 import Storage
from tests.conftest import environment
from tests.files import picture
from tests.outages import admin
from tests.support import account, assert_books_are_clean, eventually, key_of, model, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PASSES = [
    "25006", "25P03", "40001", "40P01", "53000", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "58030",
    "08006", "40003",
]  # fmt: skip


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("quick")
    head = {"authorization": f"Bearer {key_of(account(amount=9))}"}
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        client.headers.update(head)
        assert client.get("/v1/credits").status_code == 200  # the key is known now
        yield client


def raises(conn: Any, state: str) -> Any:
    """A real error of the server's."""
    return conn.execute(f"do $$ begin raise exception 'no' using errcode = '{state}'; end $$")


@pytest.mark.parametrize("state", PASSES)
def test_what_passes_is_503_on_every_kind_of_route(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(notifications, "read_all", lambda conn, _account: raises(conn, state))
    monkeypatch.setattr(submit, "submit", lambda conn, _orders, **_more: raises(conn, state))
    monkeypatch.setattr(notifications, "list_notifications", lambda conn, *_args, **_more: raises(conn, state))
    for answer in (
        http.post("/v1/notifications/read"),
        http.get("/v1/notifications"),
        http.post("/v1/jobs", json={"model": "quick", "input": {}}),
    ):
        assert (answer.status_code, answer.json()["retryable"]) == (503, True), answer.text
        assert answer.headers["retry-after"]
        assert answer.json()["code"] in {"busy", "unavailable"}


@pytest.mark.parametrize(
    ("state", "status"), [("22003", 422), ("22021", 422), ("22P05", 422), ("XX000", 500), ("42P01", 500)]
)
def test_a_value_is_the_clients_and_a_fault_is_ours(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, state: str, status: int
) -> None:
    monkeypatch.setattr(notifications, "read_all", lambda conn, _account: raises(conn, state))
    answer = http.post("/v1/notifications/read")
    assert (answer.status_code, answer.json()["retryable"]) == (status, False)


WRITES: list[tuple[str, str, Any]] = [
    ("post", "/v1/jobs", {"model": "quick", "input": {}}), ("post", "/v1/keys", {"name": "x"}),
    ("post", "/v1/webhooks", {"url": "https://example.com/"}), ("post", "/v1/notifications/read", None),
    ("get", "/v1/webhooks/default/secret", None), ("post", "/v1/webhooks/default/rotate", None),
]  # fmt: skip
READS = (
    "/v1/credits",
    "/v1/jobs",
    "/v1/keys",
    "/v1/plans",
    "/v1/plans/free",
    "/v1/packs",
    f"/v1/jobs/{uuid4()}",
    "/v1/events",
    "/v1/models",
)


def test_a_database_that_is_read_only_answers_reads_and_refuses_writes_for_now(http: TestClient, database: str) -> None:
    assert http.get("/readyz").status_code == 200
    name = database.rpartition("/")[2]
    with transaction() as conn:
        conn.execute(f"alter database {name} set default_transaction_read_only = on")
    db.close()  # whoever connects from now on may only read
    services(http.app).readiness.forget()
    for method, path, body in WRITES:
        answer = http.request(method, path, json=body)
        assert (path, answer.status_code, answer.json()["retryable"]) == (path, 503, True)
        assert answer.headers["retry-after"]
    for path in READS:
        assert http.get(path).status_code in {200, 404}, path
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()["retryable"]) == (503, True)
    assert http.get("/healthz").status_code == 200
    said = CliRunner().invoke(command, ["doctor", "--json"])
    assert said.exit_code == 1
    assert "read-only" in said.output
    with db.apart() as conn:
        conn.execute("set default_transaction_read_only = off")
        conn.execute(f"alter database {name} reset default_transaction_read_only")
    db.close()
    eventually(lambda: http.get("/readyz").status_code == 200, what="readiness")
    for method, path, body in WRITES:
        assert http.request(method, path, json=body).status_code < 300
    assert_books_are_clean()


def test_a_database_that_is_away_is_503_everywhere(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "GETTING_SECONDS", 0.3)
    with environment({"DATABASE_URL": "postgresql://app@127.0.0.1:1/none"}):
        for method, path, body in [*WRITES, *(("get", path, None) for path in READS[:-1]), ("get", "/readyz", None)]:
            answer = http.request(method, path, json=body)
            assert (path, answer.status_code, answer.json()["retryable"]) == (path, 503, True)
            assert answer.headers["retry-after"]


def test_ready_does_not_wait_behind_slow_work(http: TestClient) -> None:
    """All connections, and all threads, of a process are in use, and it is ready."""
    over = threading.Event()

    def hold() -> None:
        with transaction():
            over.wait(30)

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: db.pool().get_stats()["pool_available"] == 0 and db.pool().get_stats()["pool_size"] == 8)
    asking = [threading.Thread(target=lambda: http.get("/v1/jobs")) for _ in range(50)]
    for thread in asking:
        thread.start()
    assert http.get("/readyz").status_code == 200
    assert any(thread.is_alive() for thread in asking), "the others wait still"
    over.set()
    for thread in (*threads, *asking):
        thread.join()


def test_ready_is_bounded_where_the_database_says_nothing(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.telemetry.health.NEEDED_SECONDS", 0.5)
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        with environment({"DATABASE_URL": f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/none"}):
            services(http.app).readiness.forget()
            answers: list[Any] = []
            threads = [threading.Thread(target=lambda: answers.append(http.get("/readyz"))) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert [each.status_code for each in answers] == [503] * 10
    finally:
        silent.close()


def test_a_probe_leaves_nothing(http: TestClient) -> None:
    for _ in range(3):
        services(http.app).readiness.forget()
        assert http.get("/readyz").status_code == 200
    assert rows("select 1 from probes") == []


def test_storage_that_is_away_and_a_disk_that_is_full_are_503(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("api.intake.receiving.incoming.spool", full)
        answer = http.post("/v1/files", files={"file": ("a.png", picture())})
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    with environment({"S3_ENDPOINT_URL": "http://127.0.0.1:1"}):
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "put_file", full)
            assert http.post("/v1/files", files={"file": ("a.png", picture())}).status_code == 503
    assert rows("select 1 from uploads") == []


def test_a_lock_that_was_not_had_is_busy_and_a_deadlock_as_well() -> None:
    for state in ("55P03", "40P01", "40001"):
        with pytest.raises(Busy), transaction() as conn:
            raises(conn, state)
    with pytest.raises(DatabaseAway), transaction() as conn:
        conn.execute("select pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Unavailable), transaction() as conn:
        conn.execute("set local statement_timeout = '1ms'")
        conn.execute("select pg_sleep(1)")


@pytest.mark.parametrize("begin", [db.transaction, db.single, db.certain])
def test_connections_that_the_server_has_closed_are_found_out_before_they_are_used(begin: Any) -> None:
    def pids() -> set[int]:
        with begin() as first, begin() as second, begin() as third:
            return {conn.execute("select 1").connection.info.backend_pid for conn in (first, second, third)}

    before = pids()
    with admin() as other:
        gone = other.execute("select pg_terminate_backend(pid, 5000) from unnest(%s) pid", [list(before)]).fetchall()
    assert gone == [(True,)] * 3
    assert not pids() & before


def test_patience_is_for_the_block_and_its_threads() -> None:
    who = account()
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        with db.patience(1), pytest.raises(Busy), transaction() as other:
            assert other.execute("show lock_timeout").fetchone() == ("1ms",)
            other.execute("select 1 from accounts where id = %s for no key update", [who])
    with transaction() as conn:
        assert conn.execute("show lock_timeout").fetchone() == ("2s",)


def test_only_what_the_server_says_is_certain() -> None:
    assert not failures.is_certain(psycopg.OperationalError("the connection is lost"))
    assert failures.named(ValueError("ours")) is None


def test_a_task_that_misses_its_cancellation_is_cancelled_again() -> None:
    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def work() -> None:
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(end([task]), 20)
        assert task.cancelled()

    asyncio.run(work())


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_answer_is_found_out_by_what_was_asked_with_the_write(
    monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    who, asked = account(amount=1), 0
    asking = numbers.ask_number

    def counted(conn: Any) -> Any:
        nonlocal asked
        asked += 1
        return asking(conn)

    def lost(conn: Any) -> None:
        if arrived:
            psycopg.Connection.commit(conn)
        conn.pgconn.finish()
        raise psycopg.OperationalError("the connection is lost")

    def write(first: str, second: str) -> int:
        with db.certain() as conn:
            db.write_certainly(conn, first, [])
            conn.execute(second)
        return asked

    writes, reads = f"update accounts set debt = 7 where id = '{who}'", "select 1"
    for first, second, needed in ((writes, reads, 1), (reads, writes, 2)):
        asked = 0
        with transaction() as conn:
            conn.execute("update accounts set debt = 0")
        with monkeypatch.context() as patch, contextlib.nullcontext() if arrived else pytest.raises(Unavailable):
            patch.setattr("models.db.ask_number", counted)
            patch.setattr(connecting.Linked, "commit", lost)
            patch.setattr(db, "transaction_on", lambda _conn: contextlib.nullcontext())
            write(first, second)
        assert asked == needed + 1  # once more to see that it is the same history
        assert rows("select debt from accounts where id = %s", who) == [(7 if arrived else 0,)]
