"""Rings: bounded while nobody listens, not slowed by a Redis that was away, and not lost with what may not be said."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import dramatiq
import psycopg
import pytest
import redis

from cli.doctor.redis_check import check_redis
from common.settings import settings
from models.db import transaction
from models.jobs import facts
from models.jobs.dispatch import Ring
from scheduler.duties import retention
from scheduler.duties.jobs import ring_due
from tests.conftest import environment
from tests.support import account, claimed, eventually, model, one, placed
from workers import doorbell
from workers.broker import make_broker
from workers.doorbell import NAMESPACE, Doorbell

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings().redis_url) as opened:
        yield opened


def waiting(client: redis.Redis) -> int:
    return int(client.llen(f"{NAMESPACE}:interactive"))


def due_now() -> None:
    with transaction() as conn:
        conn.execute(
            "update job_runs set wake_at = app_now() - interval '10 seconds' where dispatched and lease_owner is null"
        )


def poll_of(job_id: UUID, after_seconds: float = 0) -> None:
    claim = claimed(job_id)
    assert claim.live is not None
    with transaction() as conn:
        facts.accept(
            conn, claim, claim.live.number, provider_job_id=str(job_id), after_seconds=after_seconds, progress=0
        )


def test_messages_of_a_job_are_not_heaped_up_while_no_worker_runs(client: redis.Redis) -> None:
    offer, who = model(), account(amount=9, plan="studio")
    jobs = [placed(who, offer) for _ in range(2)]
    doorbell.ring([Ring(job_id, "interactive") for job_id in jobs])  # as the API did
    poll_of(jobs[1])
    for _ in range(40):
        due_now()
        assert ring_due(10) == 2
    assert waiting(client) <= 2 * len(jobs) + 1
    assert client.hlen(f"{NAMESPACE}:interactive.msgs") == waiting(client)


def test_a_job_that_was_claimed_is_rung_at_its_next_poll_though_old_messages_wait(client: redis.Redis) -> None:
    job_id = placed(account(amount=5), model())
    for _ in range(3):
        due_now()
        ring_due(10)
    poll_of(job_id)
    before = waiting(client)
    due_now()
    assert ring_due(10) == 1
    assert waiting(client) == before + 1


def test_messages_lost_on_their_way_are_found_and_their_jobs_rung_anew(client: redis.Redis) -> None:
    placed(account(amount=5), model())
    for _ in range(2):
        due_now()
        ring_due(10)
    client.delete(f"{NAMESPACE}:interactive")  # taken out of the queue, and then nothing
    retention.mend_messages(1)
    due_now()
    ring_due(10)
    assert waiting(client) == 0
    retention.mend_messages(1)
    due_now()
    ring_due(10)
    assert waiting(client) == 1


def test_the_pause_between_rings_does_not_grow_while_redis_is_away(client: redis.Redis) -> None:
    placed(account(amount=5), model())
    with environment({"REDIS_URL": "redis://127.0.0.1:1/0"}):
        for _ in range(6):
            due_now()
            assert ring_due(10) == 0
            assert ring_due(10) == 0  # it rests, and nothing is counted
    rings, seconds = one("select rings, extract(epoch from wake_at - app_now())::float from job_runs")
    assert rings == 0
    assert seconds <= doorbell.REST_SECONDS
    eventually(lambda: ring_due(10) == 1, what="a ring once it is back")
    assert waiting(client) == 1


def test_pauses_between_rings_are_a_minute_at_most() -> None:
    placed(account(amount=5), model())
    for _ in range(8):
        due_now()
        ring_due(10)
    assert one("select wake_at < app_now() + interval '61 seconds' from job_runs") == (True,)


@contextmanager
def user(client: redis.Redis, *rules: str) -> Iterator[str]:
    """Settings of a Redis user with only so many rights."""
    client.acl_setuser("limited", enabled=True, passwords=["+secret"], reset=True, keys=["*"], categories=["+@all"])
    for rule in ("allchannels", *rules):
        client.execute_command("ACL", "SETUSER", "limited", rule)
    url = settings().redis_url.split("@")[-1].removeprefix("redis://")
    try:
        with environment({"REDIS_URL": f"redis://limited:secret@{url}"}):
            yield settings().redis_url
    finally:
        client.acl_deluser("limited")


def test_a_redis_that_lets_nobody_publish_still_rings(client: redis.Redis) -> None:
    with user(client, "-publish"):
        assert doorbell.ring([Ring(account(), "interactive")], wake_listeners_of=[account()])
        assert doorbell.ring((), wake_listeners_of=[account()])
        assert not doorbell.resting()
    assert waiting(client) == 1


def test_a_ring_that_is_refused_in_part_leaves_nothing_behind(client: redis.Redis) -> None:
    with user(client, "-rpush"):
        assert not doorbell.ring([Ring(account(), "interactive")])
    assert client.hlen(f"{NAMESPACE}:interactive.msgs") == 0


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Redis at its memory limit."""
    before = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", before)


def test_doctor_tries_what_is_used_of_redis(client: redis.Redis) -> None:
    assert "noeviction" in check_redis()
    assert client.keys("*doctor*") == []
    with full(client), pytest.raises(RuntimeError, match=r"write.*(?i:memory)"):
        check_redis()
    for rule, name in (("-publish", "publish"), ("-subscribe", "subscribe"), ("-evalsha", "script"),
                       ("-rpush", "write"), ("-blpop", "wait"), ("-hset", "write")):  # fmt: skip
        with user(client, rule), pytest.raises(RuntimeError, match=name):
            check_redis()
    with user(client, "-config"):
        assert "not known" in check_redis()


def test_jobs_run_again_once_redis_has_memory_again(client: redis.Redis) -> None:
    heard: list[str] = []
    broker = make_broker()

    @dramatiq.actor(actor_name=doorbell.ACTOR, queue_name="interactive", broker=broker)
    def advance(job_id: str) -> None:
        heard.append(job_id)

    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    sender = Doorbell(settings().redis_url)
    try:
        assert sender.ring([Ring(account(), "interactive") for _ in range(10)])
        eventually(lambda: len(heard) == 10)
        with full(client):
            assert not sender.ring([Ring(account(), "interactive")])
            time.sleep(1.5)  # what waits is asked for, and refused
        time.sleep(doorbell.REST_SECONDS)
        assert sender.ring([Ring(account(), "interactive") for _ in range(10)])
        eventually(lambda: len(heard) == 20, what="the rest")
    finally:
        worker.stop()
        sender.close()
        broker.client.close()


def test_the_thread_that_says_what_is_live_is_there_again_if_it_has_died() -> None:
    who = account()
    doorbell.wake_listeners_soon(who)
    thread = doorbell._publisher
    assert thread is not None
    doorbell._publisher = threading.Thread(target=lambda: None)  # one that runs no more
    doorbell.wake_listeners_soon(who)
    assert doorbell._publisher.is_alive()


def test_a_job_that_is_locked_is_not_waited_for_by_the_ringing() -> None:
    placed(account(amount=5), model())
    due_now()
    with psycopg.connect(settings().database_url) as conn:
        conn.execute("select 1 from job_runs for update")
        assert ring_due(10) == 0
