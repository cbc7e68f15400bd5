"""No listener misses an event or hears one twice, whatever is restarted or cut off meanwhile."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from cli.embedded import valkey
from cli.embedded.locked import stop, wait_ready
from cli.embedded.servers import free_ports
from common.settings import settings
from models.catalogue.entries import Offer
from models.credits import ledger
from models.db import transaction
from models.events import events
from models.jobs.dispatch import Ring
from tests.conftest import environment
from tests.listening import Listening, Wire
from tests.support import System, account, assert_books_are_clean, eventually, key_of, model, one, placed
from workers import doorbell

pytestmark = pytest.mark.faults
BEATS = {"HEARTBEAT_SECONDS": "1"}


def headers_of(account_id: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(account_id)}"}


def current(account_id: UUID) -> int:
    number: int = one("select event_number from accounts where id = %s", account_id)[0]
    return number


def grant(account_id: UUID, ref: str) -> float:
    """An event at once. Returns when it was committed."""
    with transaction() as conn:
        ledger.grant(conn, account_id, kind="gift", amount=1, ref=ref)
    return time.monotonic()


@contextmanager
def jobs_all_the_while(account_id: UUID, offer: Offer, every: float = 0.1) -> Iterator[list[UUID]]:
    """Orders by somebody else than the process that is restarted, so that events keep coming."""
    ordered: list[UUID] = []
    over = threading.Event()

    def order() -> None:
        while not over.wait(every):
            ordered.append(placed(account_id, offer))
            doorbell.ring([Ring(ordered[-1], "interactive")], wake_listeners_of=[account_id])

    thread = threading.Thread(target=order)
    thread.start()
    try:
        yield ordered
    finally:
        over.set()
        thread.join()


def all_ended(account_id: UUID) -> bool:
    return one("select count(*) from job_runs where account_id = %s", account_id) == (0,)


def assert_heard_all(heard: Listening, account_id: UUID, begin: int) -> None:
    eventually(lambda: int(heard.last or 0) >= current(account_id), what="the newest event")
    assert heard.numbers() == list(range(begin + 1, current(account_id) + 1))
    assert "reset" not in heard.kinds()


def test_listeners_go_on_across_a_stop_and_a_crash_of_the_api(system: System) -> None:
    system.start("api", "worker", "scheduler", api=BEATS)
    who, quick, slow = account(amount=2000), model("quick"), model("slow", options={"delay_seconds": 6})
    begin, url, headers = current(who), f"{system.url}/v1/events", headers_of(who)
    with Listening(url, headers) as one_, Listening(url, headers) as two, jobs_all_the_while(who, quick):
        long = placed(who, slow)
        doorbell.ring([Ring(long, "interactive")], wake_listeners_of=[who])
        with Listening(f"{system.url}/v1/jobs/{long}/events", headers) as follower:
            time.sleep(1)
            system.processes.stop("api")  # waits for the process: streams must not hold it up
            time.sleep(1)
            system.start("api", api=BEATS)
            time.sleep(1)
            system.processes.kill("api")
            time.sleep(1)
            system.start("api", api=BEATS)
            assert follower.over.wait(20), "the job's stream did not end"
            ends = [kind for kind in follower.kinds() if kind not in {"job", "job.queued", "job.running"}]
            assert ends == ["job.output", "job.succeeded"]
    with Listening(url, headers, after=begin) as late:
        eventually(lambda: all_ended(who), seconds=60, what="all jobs")
        assert_heard_all(late, who, begin)
    assert min(one_.connects, two.connects) >= 3
    for heard in (one_, two):
        assert heard.numbers() == list(range(begin + 1, begin + 1 + len(heard.numbers())))
        assert len(heard.numbers()) > 20
    assert_books_are_clean()


def test_listeners_are_served_from_postgres_while_redis_is_restarted(system: System, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    url = f"redis://:secret@127.0.0.1:{port}/0"
    queue = valkey.start(tmp_path, port, "secret")
    try:
        wait_ready(queue, valkey.probe(url), "Valkey", tmp_path / "redis.log")
        with environment({"REDIS_URL": url}):
            system.start("api", "worker", "scheduler", api=BEATS)
            who, offer = account(amount=2000), model("quick")
            begin = current(who)
            with Listening(f"{system.url}/v1/events", headers_of(who)) as heard:
                eventually(lambda: bool(heard.frames), what="the balance")
                with jobs_all_the_while(who, offer):
                    time.sleep(2)
                    queue.kill()
                    queue.wait()
                    time.sleep(1)
                    committed = grant(who, "while redis is away")
                    eventually(lambda: "credits.granted" in heard.kinds(), seconds=4, what="the grant, from Postgres")
                    assert time.monotonic() - committed < 2.5
                    time.sleep(2)
                    queue = valkey.start(tmp_path, port, "secret")
                    wait_ready(queue, valkey.probe(url), "Valkey", tmp_path / "redis.log")
                    time.sleep(3)
                eventually(lambda: all_ended(who), seconds=60, what="all jobs")
                assert_heard_all(heard, who, begin)
                committed = grant(who, "redis is back")
                eventually(lambda: heard.kinds().count("credits.granted") == 2, seconds=3, what="the second grant")
                assert time.monotonic() - committed < 0.5, "the subscription did not come back"
                assert heard.connects == 1
            assert_books_are_clean()
    finally:
        stop([(queue, valkey.STOP_SIGNAL)])


def test_a_redis_that_hears_nothing_is_noticed(system: System) -> None:
    head, _, tail = settings().redis_url.rpartition(":")
    port, _, database = tail.partition("/")
    wire = Wire(int(port))
    try:
        system.start("api", api={**BEATS, "REDIS_URL": f"{head}:{wire.port}/{database}"})
        who = account()
        with Listening(f"{system.url}/v1/events", headers_of(who)) as heard:
            eventually(lambda: bool(heard.frames), what="the balance")
            time.sleep(1)
            wire.cut()
            time.sleep(8)  # silent for longer than it takes to notice
            for number in range(3):
                committed = grant(who, f"unheard {number}")
                eventually(lambda n=number: len(heard.numbers()) == n + 1, seconds=4, what="a grant")
                assert time.monotonic() - committed < 2.5
            wire.mend()
            time.sleep(3)
            committed = grant(who, "heard")
            eventually(lambda: len(heard.numbers()) == 4, seconds=3, what="the last grant")
            assert time.monotonic() - committed < 0.5
    finally:
        wire.close()


def test_a_listener_goes_on_after_a_network_was_away_for_longer_than_either_end_waits(system: System) -> None:
    system.start("api", "worker", "scheduler", api={**BEATS, "SLOW_READER_SECONDS": "4"})
    who, offer = account(amount=2000), model("quick")
    begin, wire = current(who), Wire(int(system.url.rpartition(":")[2]))
    try:
        with Listening(f"http://127.0.0.1:{wire.port}/v1/events", headers_of(who), silence=3) as heard:
            with jobs_all_the_while(who, offer):
                time.sleep(2)
                wire.cut()
                time.sleep(1)  # what had come through is heard
                before = len(heard.numbers())
                time.sleep(8)
                assert len(heard.numbers()) == before
                wire.mend()
                time.sleep(2)
            eventually(lambda: all_ended(who), seconds=60, what="all jobs")
            assert_heard_all(heard, who, begin)
            assert heard.connects >= 2
            assert len(heard.numbers()) > before + 40
    finally:
        wire.close()


def test_a_slow_reader_is_cut_off_and_resumes_without_harm_to_others(system: System) -> None:
    system.start("api", api={**BEATS, "LISTENER_BACKLOG": "20", "SLOW_READER_SECONDS": "60"})
    who = account()
    begin, headers = current(who), headers_of(who)
    port = int(system.url.rpartition(":")[2])
    with socket.socket() as slow, Listening(f"{system.url}/v1/events", headers) as quick:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(
            f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: {headers['authorization']}\r\n\r\n".encode()
        )
        time.sleep(0.5)
        padding = "x" * 100_000
        for _ in range(60):
            with transaction() as conn:
                conn.execute("select 1 from accounts where id = %s for no key update", [who])
                events.add(conn, who, "test.large", {"padding": padding})
            time.sleep(0.02)
        eventually(lambda: len(quick.numbers()) == 60, what="the quick reader's events")
        slow.settimeout(5)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := slow.recv(1_000_000):
                received += chunk
        assert not received.endswith(b"0\r\n\r\n")  # not a clean end: the client knows that something is missing
    complete = [int(number) for number in re.findall(rb"id: (\d+)\nevent: test.large\ndata: [^\n]+\n\n", received)]
    assert len(complete) < 60
    last = complete[-1] if complete else begin
    assert complete == list(range(begin + 1, last + 1))
    with Listening(f"{system.url}/v1/events", headers, after=last) as resumed:
        eventually(lambda: len(resumed.numbers()) == begin + 60 - last, what="what was missed")
    assert [*complete, *resumed.numbers()] == quick.numbers() == list(range(begin + 1, begin + 61))
