"""The whole system behind sentinels, whose primary is killed under load."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx

from tests.conftest import environment
from tests.listening import Listening
from tests.sentinels import sentinels
from tests.support import System, account, assert_books_are_clean, balance, ended, eventually, key_of, model, one, rows

JOBS, CLIENTS = 120, 4
PRICE = 2


def test_a_primary_that_is_killed_under_load_loses_no_job_and_no_event(system: System, tmp_path: Path) -> None:
    with sentinels(tmp_path) as group, environment({"REDIS_URL": group.url}):
        who = account(amount=(JOBS + 1) * PRICE, plan="studio")
        model("quick", price={"unit": "job", "credits": PRICE})
        # Again and again a new message: what a fail-over loses of a queue is rung anew.
        model("slow", price={"unit": "job", "credits": PRICE}, options={"pending": True, "ready_seconds": 1})
        given = {name: {"REDIS_URL": group.url} for name in ("api", "worker", "scheduler")}
        system.start("api", "worker", "scheduler", **given)
        headers = {"authorization": f"Bearer {key_of(who)}"}
        with Listening(f"{system.url}/v1/events", headers, after=0) as heard:
            killed_after, slowest = _order_all(system, who, group.kill_primary)
            eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=90, what="the end of all jobs")
            eventually(lambda: heard.kinds().count("job.succeeded") == JOBS, seconds=30, what="all events")
            numbers = heard.numbers()
        assert group.primary_port() == group.ports[1], "the replica is the primary now"
        assert 0 < killed_after < JOBS
        print(f"the slowest order took {slowest:.2f} s")
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "an event was lost, or came twice"
        system.processes.kill(
            "scheduler"
        )  # who would ring what nobody hears: this one is heard of by its message alone
        with system.client(who) as http:
            assert ended(http, _accepted(http, "quick", "last"))["status"] == "succeeded"
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

    def order_one(http: httpx.Client, number: int) -> str:
        begun = time.monotonic()
        job_id = _accepted(http, "slow" if number % 3 == 0 else "quick", f"k{number}")
        seconds.append(time.monotonic() - begun)
        return job_id

    def order_some(client: int) -> None:
        with system.client(who) as http:
            mine = range(client, JOBS, CLIENTS)  # one by one: how many there are is looked at meanwhile
            accepted.extend(order_one(http, number) for number in mine)

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
    """Redis is a hint: while it is away an order is taken all the same, at once."""
    answer = http.post("/v1/jobs", json={"model": name, "input": {}}, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
