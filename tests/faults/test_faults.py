"""Kill, flush, cut off; then everything has ended, everything was paid for once, and the books are clean.

Each run prints its seed; HEADRACE_SEED=<number> repeats it.
"""

import os
import random
import threading
import time
from pathlib import Path

import httpx
import pytest
import redis

from common.settings import settings
from models.db import transaction
from scheduler import main
from scheduler.duties import results
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.openai import OpenAIFarSide
from tests.proxies import Mode, proxy
from tests.support import System, account, assert_books_are_clean, balance, eventually, model, one, rows
from workers.steps.advance import FAULT_POINTS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SEED = int(os.environ.get("HEADRACE_SEED", random.randrange(10**6)))


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"\nseed {SEED}", end=" ")
    random.seed(SEED)


KINDS = {
    "at-once": {"cost_usd_micros": 3},
    "slow": {"delay_seconds": 0.3, "cost_usd_micros": 3},
    "polled": {"pending": True, "ready_seconds": 0.6, "poll_after_seconds": 0.2, "cost_usd_micros": 3},
    "wobbly": {"fail": "retryable", "fail_times": 1, "cost_usd_micros": 3},
    "limited": {"fail": "limited", "fail_rate": 0.5, "retry_after_seconds": 0.3},
    "hopeless": {"fail": "permanent"},
}


def make_models() -> list[str]:
    for name, options in KINDS.items():
        model(name, options=options)
    return list(KINDS)


def order_some(system: System, who: object, count: int = 12) -> list[str]:
    """Submit jobs of all kinds; a submit whose answer is lost is repeated with its key, as a client would."""
    accepted = []
    with system.client(who) as http:
        for number in range(count):
            name = list(KINDS)[number % len(KINDS)]
            body = {"model": name, "input": {"seed": number}}
            accepted.append(submit_until_answered(http, body, f"key-{number}"))
    return accepted


def submit_until_answered(http: httpx.Client, body: dict[str, object], key: str) -> str:
    end = time.monotonic() + 60
    while True:
        try:
            answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key}, timeout=10)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 201:
            return str(answer.json()["id"])
        assert time.monotonic() < end, answer and answer.text
        time.sleep(0.2)


def assert_all_is_well(system: System, accepted: list[str], *, seconds: float = 90) -> None:
    """Every accepted job has ended, was resolved once, and was paid for at most once per attempt; no stray is left."""
    eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=seconds, what="the end of all jobs")
    ended = dict(rows("select id::text, ended from jobs"))
    assert set(ended) == set(accepted), "accepted jobs and stored jobs differ"
    assert_books_are_clean()
    starts = system.book.starts_per_key()
    attempts = {f"{job}:{number}" for job, number in rows("select job_id, number from attempts")}
    assert set(starts) <= attempts, "the provider was asked for something that is not on record"
    assert {key: count for key, count in starts.items() if count > 1} == {}, "asked twice for one attempt"
    # A job has at most one generation that succeeded: never a second one beside a first that was known.
    good = [
        generation.idempotency_key.rpartition(":")[0]
        for generation in system.book.generations()
        if generation.state == "running"
    ]
    assert sorted(good) == sorted(set(good)), "a job was generated twice"
    assert sorted(good) == sorted(job for job, status in ended.items() if status == "succeeded")
    reap()


def reap() -> None:
    """Reap strays now, page by page, then compare: objects and results are the same set."""
    with environment({"STRAY_SECONDS": "0"}):
        for _ in range(10 + len(result_keys()) // 1000):
            results.reap_strays(1000)
        jobs = {row[0] for row in rows("select id from jobs")}
        stored = {key for key in result_keys() if (parts := keys.parse(key)) and parts.job_id in jobs}
        known = {
            key for row in rows("select key, thumbnail_key from assets where purged_at is null") for key in row if key
        }
        assert stored == known


def result_keys() -> list[str]:
    """Of all objects that are results, whoever's."""
    found: list[str] = []
    while page := storage().list_page(keys.RESULTS, found[-1] if found else None, 1000):
        found += [item.key for item in page]
    return found


def marker(tmp_path: Path, point: str) -> dict[str, str]:
    return {"HEADRACE_FAULT_POINT": point, "HEADRACE_FAULT_MARKER": str(tmp_path / f"killed-{point.replace(':', '-')}")}


def revive(system: System, killed: list[str]) -> None:
    """Start again what has died."""
    for label, _code in system.processes.dead():
        killed.append(label)
        system.processes.forget(label)
        system.processes.start_one(label.partition(".")[0])


def until_all_ended(system: System, killed: list[str], seconds: float = 90) -> None:
    def look() -> bool:
        revive(system, killed)
        return one("select count(*) from job_runs") == (0,)

    eventually(look, seconds=seconds, what="the end of all jobs")


# A result is written down before it is stored only where it lies at an address: see the test after this one.
WORKER_POINTS = (*(point for point in FAULT_POINTS if point != "delivered"), "provider:begun", "provider:generated")


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_a_worker_killed_between_any_two_steps_loses_nothing(system: System, tmp_path: Path, point: str) -> None:
    make_models()
    who, killed = account(amount=100, plan="studio"), []
    fault = marker(tmp_path, point)
    system.start("api", "scheduler")
    system.start("worker", worker=fault)
    accepted = order_some(system, who)
    until_all_ended(system, killed)
    assert killed == ["worker"], f"the worker was never at {point}"
    assert_all_is_well(system, accepted)
    print(f"{point}: {dict(rows('select ended, count(*) from jobs group by 1'))}", end=" ")


def test_a_worker_killed_when_a_result_was_just_written_down_leaves_it_to_be_collected(
    system: System, tmp_path: Path
) -> None:
    who, killed = account(amount=100), []
    with (
        environment({deployment.KEY_VARIABLE: deployment.KEY}),
        OpenAIFarSide(Book(tmp_path / "far.db")).running() as far,
    ):
        far.script["*"] = {"answer": "url"}
        deployment.provider("painter", "openai", far.url)
        deployment.routed("picture", {"provider": "painter", "model": "dall-e-3"})
        system.start("api", "scheduler")
        # One thread: what another had in its hand when all were killed, nobody could ask for again.
        system.start("worker", worker={**marker(tmp_path, "delivered"), "WORKER_THREADS": "1"})
        with system.client(who) as http:
            bodies = [{"model": "picture", "input": {"prompt": f"lake {number}"}} for number in range(6)]
            accepted = [submit_until_answered(http, body, f"key-{body['input']}") for body in bodies]
        until_all_ended(system, killed)
        assert killed == ["worker"]
        assert rows("select id::text, ended from jobs order by id") == [
            (each, "succeeded") for each in sorted(accepted)
        ]
        assert rows("select distinct number, phase from attempts") == [(1, "done")]
        assert len(far.book.generations()) == len(accepted), "bought twice"
        assert_books_are_clean()
        reap()


def test_an_api_killed_between_commit_and_enqueue_loses_no_job(system: System, tmp_path: Path) -> None:
    make_models()
    who = account(amount=100, plan="studio")
    system.start("worker", "scheduler")
    system.start("api", api=marker(tmp_path, "api:committed"))
    body = {"model": "at-once", "input": {}}
    with system.client(who) as http:
        with pytest.raises(httpx.TransportError):
            http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
        system.processes.forget("api")
        system.start("api")
        job_id = submit_until_answered(http, body, "k")
    assert_all_is_well(system, [job_id])
    assert balance(who)[0] == 99


@pytest.mark.parametrize("duty", [duty.name for duty in main.duties()])
def test_a_scheduler_killed_in_any_duty_leaves_nothing_half_done(system: System, tmp_path: Path, duty: str) -> None:
    make_models()
    who, killed = account(amount=100, plan="studio"), []
    system.start("api", "worker")
    system.start("scheduler", scheduler=marker(tmp_path, f"{duty}:batch"))
    accepted = order_some(system, who, 6)

    def died() -> bool:
        revive(system, killed)
        return killed == ["scheduler"]

    eventually(died, seconds=30, what=f"the kill in {duty}")
    until_all_ended(system, killed)
    assert_all_is_well(system, accepted)
    system.stop()  # a scheduler that is alive takes turns of its own: one that is at its work now is not done yet
    for each in main.duties():
        if each.name not in {"ring_due", "retry_due", "rescue", "audit"}:
            with transaction() as conn:
                conn.execute("update duties set next_at = app_now() where name = %s", [each.name])
            main.run_turn(each)
            assert each.function(each.batch) == 0, f"{each.name} found something to do the second time"


@pytest.mark.parametrize("point", ["purge_results:deleted", "reap_strays:deleted"])
def test_a_scheduler_killed_between_object_and_row_ends_with_both_gone(
    system: System, tmp_path: Path, point: str
) -> None:
    model("at-once", options={})
    who, killed = account(amount=9, plan="studio"), []
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        job_id = submit_until_answered(http, {"model": "at-once", "input": {}}, "k")
        until_all_ended(system, killed)
        system.processes.stop("scheduler")
        stray = keys.result_key(who, one("select id from jobs")[0], 999, 0, b"0" * 32, "png")
        storage().put_bytes(stray, b"stray", "image/png")
        late = {"CLOCK_OFFSET_SECONDS": str(25 * 3600), "STRAY_SECONDS": "0", **marker(tmp_path, point)}
        system.start("scheduler", scheduler=late)

        def died() -> bool:
            return system.processes.dead() != []

        eventually(died, seconds=30, what=f"the kill at {point}")
        system.processes.forget("scheduler")
        with transaction() as conn:
            conn.execute("update duties set next_at = app_now()")
        again = {name: value for name, value in late.items() if not name.startswith("HEADRACE_")}
        system.start("scheduler", scheduler=again)
        eventually(lambda: one("select purged_at is not null from assets") == (True,), seconds=40, what="the purge")
        eventually(lambda: not _objects_of(job_id), seconds=40, what="the end of the stray")
    assert_books_are_clean()


def _objects_of(job_id: str) -> list[str]:
    return [item.key for item in storage().list_page(keys.RESULTS, None, 1000) if job_id in item.key]


def test_a_flushed_redis_with_jobs_in_flight_loses_nothing(system: System) -> None:
    make_models()
    who = account(amount=100, plan="studio")
    system.start("api", "worker", "scheduler")
    flushing = threading.Event()

    def flush() -> None:
        with redis.Redis.from_url(settings().redis_url) as client:
            while not flushing.wait(0.3):
                client.flushall()

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        accepted = order_some(system, who, 30)
        time.sleep(3)
    finally:
        flushing.set()
        thread.join()
    assert_all_is_well(system, accepted)


def test_redis_away_for_a_minute_while_jobs_are_submitted(system: System) -> None:
    make_models()
    who = account(amount=200, plan="studio")
    accepted, slowest = [], 0.0
    with proxy(settings().redis_url) as wire:
        through = {"REDIS_URL": wire.place(settings().redis_url)}
        system.start("api", "worker", "scheduler", api=through, worker=through, scheduler=through)
        with system.client(who) as http:
            begin = time.monotonic()
            number = 0
            while (passed := time.monotonic() - begin) < 75:
                wire.set(Mode.CUT if 5 < passed < 65 else Mode.PASS)
                at = time.monotonic()
                body = {"model": list(KINDS)[number % len(KINDS)], "input": {}}
                answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"k{number}"})
                assert answer.status_code == 201, answer.text
                slowest = max(slowest, time.monotonic() - at)
                accepted.append(answer.json()["id"])
                number += 1
                time.sleep(0.5)
        assert_all_is_well(system, accepted)
    print(f"{len(accepted)} accepted, slowest answer {slowest * 1000:.0f} ms", end=" ")
    assert slowest < 5


def test_random_kills_of_everything_for_half_a_minute(system: System) -> None:
    make_models()
    rng = random.Random(SEED)
    owners = [account(amount=300, plan="studio") for _ in range(3)]
    system.start("api", "worker", "scheduler")
    system.processes.start_one("worker", number=2)
    accepted: list[str] = []
    killed: list[str] = []
    until = time.monotonic() + 30
    number = 0
    clients = [system.client(owner) for owner in owners]
    try:
        while time.monotonic() < until:
            victim = rng.choice(["worker", "worker", "worker.2", "scheduler", "api", None, None, None])
            for _ in range(rng.randint(1, 6)):
                body = {"model": rng.choice(list(KINDS)), "input": {}}
                revive_all(system, killed)
                accepted.append(submit_until_answered(rng.choice(clients), body, f"k{number}"))
                number += 1
            if victim and system.processes.alive(victim):
                system.processes.kill(victim)
                killed.append(victim)
            revive_all(system, killed)
            time.sleep(rng.random() * 0.5)
    finally:
        for client in clients:
            client.close()
    revive_all(system, killed)
    assert_all_is_well(system, accepted, seconds=120)
    print(f"{len(accepted)} jobs, {len(killed)} kills", end=" ")


def revive_all(system: System, killed: list[str]) -> None:
    for label, _ in system.processes.dead():
        system.processes.forget(label)
    for name, number in (("api", 1), ("worker", 1), ("worker", 2), ("scheduler", 1)):
        label = name if number == 1 else f"{name}.{number}"
        if not system.processes.alive(label):
            system.processes.start_one(name, number=number)
