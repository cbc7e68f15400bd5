"""The whole system with RabbitMQ for messages: killed under load, hung, and left to workers that are killed, stopped and drained."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis

from common.settings import settings
from models.access.audit_log import By
from models.db import transaction
from models.fleet import processes
from models.operations import fleet_acts
from tests.listening import Listening
from tests.rabbits import Rabbit, needs_rabbitmq
from tests.support import System, account, assert_books_are_clean, balance, ended, eventually, key_of, model, one, rows

pytestmark = needs_rabbitmq

JOBS, CLIENTS = 120, 4
PRICE = 2
SLOW = {"instant": False, "delay_seconds": 3}


def test_a_server_that_is_killed_under_load_loses_no_job_and_no_event(system: System, rabbit: Rabbit) -> None:
    who = account(amount=(JOBS + 1) * PRICE, plan="studio")
    model("quick", price={"unit": "job", "credits": PRICE})
    model("slow", price={"unit": "job", "credits": PRICE}, options={"pending": True, "ready_seconds": 1})
    system.start("api", "worker", "scheduler")
    headers = {"authorization": f"Bearer {key_of(who)}"}
    with Listening(f"{system.url}/v1/events", headers, after=0) as heard:
        killed_after, slowest = _order_all(system, who, rabbit.kill)
        assert one("select count(*) > 0 from job_runs") == (True,), "nothing was left to lose"
        rabbit.start()
        eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=90, what="the end of all jobs")
        eventually(lambda: heard.kinds().count("job.succeeded") == JOBS, seconds=30, what="all events")
        numbers = heard.numbers()
    assert 0 < killed_after < JOBS
    assert slowest < 1.5, "an order waited for messages"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "an event was lost, or came twice"
    system.processes.kill("scheduler")  # who would ring what nobody hears: this one is heard of by its message alone
    with system.client(who) as http:
        assert ended(http, _accepted(http, "quick", "last"))["status"] == "succeeded"
    with redis.Redis.from_url(settings().redis_url) as client:
        assert client.keys("dramatiq*") == []
    assert rabbit.queues() == {"headrace.interactive", "headrace.batch"}
    system.stop()
    assert rows("select ended, count(*) from jobs group by 1") == [("succeeded", JOBS + 1)]
    starts = system.book.starts_per_key()
    assert {key: count for key, count in starts.items() if count > 1} == {}, "asked twice for one attempt"
    assert balance(who) == (0, 0)
    assert_books_are_clean()


def _order_all(system: System, who: UUID, kill: Callable[[], None]) -> tuple[int, float]:
    """Order from several threads, and kill in the middle of it. Returns how many had been accepted by then, and the seconds of the
    slowest order.
    """
    accepted, seconds = list[str](), list[float]()

    def order_some(client: int) -> None:
        with system.client(who) as http:
            for number in range(client, JOBS, CLIENTS):
                begun = time.monotonic()
                accepted.append(_accepted(http, "slow" if number % 3 == 0 else "quick", f"k{number}"))
                seconds.append(time.monotonic() - begun)

    with ThreadPoolExecutor(CLIENTS) as threads:
        ordering = [threads.submit(order_some, client) for client in range(CLIENTS)]
        eventually(lambda: len(accepted) >= JOBS // 3, seconds=60, what="a third of the orders")
        at = len(accepted)
        kill()
        for each in ordering:
            each.result()
    assert len(set(accepted)) == JOBS
    return at, max(seconds)


def _accepted(http: httpx.Client, name: str, key: str) -> str:
    """RabbitMQ carries hints: while it is away an order is taken all the same, at once."""
    answer = http.post("/v1/jobs", json={"model": name, "input": {}}, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_orders_are_taken_at_once_while_rabbitmq_hangs(system: System, rabbit: Rabbit) -> None:
    who = account(amount=20, plan="studio")
    model("quick")
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        ended(http, _accepted(http, "quick", "first"))
        took = []
        with rabbit.hung():
            for number in range(10):
                begun = time.monotonic()
                _accepted(http, "quick", f"k{number}")
                took.append(time.monotonic() - begun)
                time.sleep(0.3)
            ready = http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["dependencies"]["broker"]["status"] == "away"
        # One finds it out. If each waited for it, each would take 0.2 s, which is what is left of a connection's half a second.
        assert sorted(took)[len(took) // 2] < 0.15, took
        eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=60, what="the end of all jobs")
    system.stop()
    assert rows("select ended, count(*) from jobs group by 1") == [("succeeded", 11)]
    assert_books_are_clean()


def test_what_a_killed_worker_had_fetched_is_another_s_at_once(system: System, rabbit: Rabbit) -> None:
    """Without a scheduler, who would ring anew: the messages themselves come back."""
    who = account(amount=20, plan="studio")
    model("quick")
    model("slow", options=SLOW, timeout_seconds=60)
    system.start("api", "worker", worker={"WORKER_THREADS": "2"})
    with system.client(who) as http:
        slow = [_accepted(http, "slow", f"s{number}") for number in range(2)]
        _running(2)
        quick = [_accepted(http, "quick", f"q{number}") for number in range(2)]
        system.processes.kill("worker")
        eventually(lambda: rabbit.depth() == 4, what="the messages")
        system.start("worker", worker={"WORKER_THREADS": "2"})
        assert [ended(http, job_id, seconds=10)["status"] for job_id in quick] == ["succeeded"] * 2
        system.start("scheduler")  # what the killed one was at is rescued
        assert {ended(http, job_id, seconds=60)["status"] for job_id in slow} == {"succeeded"}
    system.stop()
    assert_books_are_clean()


def _running(count: int) -> None:
    eventually(lambda: len(rows("select 1 from job_runs where status = 'running'")) == count, what="the first steps")


def _workers() -> list[dict[str, Any]]:
    with transaction() as conn:
        return processes.workers(conn)


@pytest.mark.parametrize("way", ["stopped", "drained"])
def test_a_worker_that_ends_gives_back_what_it_has_not_begun(system: System, rabbit: Rabbit, way: str) -> None:
    who = account(amount=20, plan="studio")
    model("slow", options=SLOW, timeout_seconds=60)
    system.start("api", "worker", worker={"WORKER_THREADS": "2"})
    eventually(lambda: len(_workers()) == 1, what="the worker's first word")
    with system.client(who) as http:
        ids = [_accepted(http, "slow", f"s{number}") for number in range(6)]
        _running(2)
        if way == "stopped":
            system.processes.stop("worker")
        else:
            [found] = _workers()
            with transaction() as conn:
                fleet_acts.drain_worker(conn, By("tester"), found["id"], "new machine")
            eventually(lambda: not system.processes.alive("worker"), seconds=40, what="the end of the drained worker")
        assert rows("select ended, attempts from jobs where ended is not null") == [("succeeded", 1)] * 2
        assert rabbit.depth() >= 4
        begun = time.monotonic()
        system.start("worker", worker={"WORKER_THREADS": "4"})
        done: list[dict[str, Any]] = [ended(http, job_id, seconds=30) for job_id in ids]  # and no scheduler
    assert time.monotonic() - begun < 20
    assert [(job["status"], job["attempts"]) for job in done] == [("succeeded", 1)] * 6
    system.stop()
    assert_books_are_clean()


def test_a_lone_job_is_picked_up_within_milliseconds(system: System, rabbit: Rabbit) -> None:
    model("quick")
    system.start("api", "worker")
    took = []
    with system.client(account(amount=30, plan="studio")) as http:
        for number in range(20):
            job = ended(http, _accepted(http, "quick", f"k{number}"))
            row = one("select extract(epoch from started_at - created_at)::float from jobs where id = %s", job["id"])
            took.append(row[0])
            time.sleep(0.05)
    assert sorted(took)[10] < 0.05, took
    assert one("select count(*) from jobs where ended = 'succeeded'") == (20,)
