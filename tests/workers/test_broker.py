"""Dramatiq as a doorbell: what we write is what a stock worker reads, and a lost or bad message harms nobody."""

import contextlib
import socket
import threading
import time
from unittest.mock import patch

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from uuid_utils.compat import uuid7

from common.settings import settings
from models.jobs.dispatch import Ring
from tests.conftest import environment
from tests.proxies import proxy
from tests.support import eventually
from workers.broker import WakeBroker, WakeConsumer, make_broker
from workers.doorbell import ACTOR, NAMESPACE, WAKE, Doorbell

pytestmark = pytest.mark.usefixtures("database")


def listen(broker: RedisBroker, heard: list[str], threads: int = 2) -> dramatiq.Worker:
    @dramatiq.actor(actor_name=ACTOR, queue_name="interactive", broker=broker)
    def advance(job_id: str) -> None:
        heard.append(job_id)

    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    return worker


def rings(count: int) -> list[Ring]:
    return [Ring(uuid7(), "interactive") for _ in range(count)]


def test_a_stock_worker_reads_our_messages_and_leaves_nothing_behind() -> None:
    stock = RedisBroker(url=settings().redis_url, middleware=[], namespace=NAMESPACE)
    heard: list[str] = []
    worker, sender, sent = listen(stock, heard), Doorbell(settings().redis_url), rings(200)
    try:
        assert sender.ring(sent)
        eventually(lambda: len(heard) == 200, what="200 messages")
        eventually(lambda: stock.client.hlen(f"{NAMESPACE}:interactive.msgs") == 0, what="the acks")
        assert sorted(heard) == sorted(str(ring.job_id) for ring in sent)
        assert stock.client.zcard(f"{NAMESPACE}:interactive.XQ") == 0
    finally:
        worker.stop()
        sender.close()
        stock.client.close()


def test_a_lone_message_wakes_an_idle_worker() -> None:
    broker, heard = make_broker(), []
    worker, sender = listen(broker, heard), Doorbell(settings().redis_url)
    try:
        time.sleep(0.5)
        begin = time.monotonic()
        sender.ring(rings(1))
        eventually(lambda: len(heard) == 1)
        assert time.monotonic() - begin < 1
    finally:
        worker.stop()
        sender.close()
        broker.client.close()


def test_more_messages_than_threads_and_tokens_are_all_heard() -> None:
    broker, heard = make_broker(), []
    worker, sender = listen(broker, heard, threads=3), Doorbell(settings().redis_url)
    try:
        for _ in range(5):
            sender.ring(rings(200))
        eventually(lambda: len(heard) == 1000, what="1,000 messages")
        assert broker.client.llen(WAKE.format("interactive")) <= 128
    finally:
        worker.stop()
        sender.close()
        broker.client.close()


def test_an_absent_redis_is_said_and_not_raised_and_rested_from() -> None:
    sender = Doorbell("redis://127.0.0.1:1/0")
    begin = time.monotonic()
    assert not sender.ring(rings(3))
    for _ in range(100):
        assert not sender.ring(rings(1))
    assert time.monotonic() - begin < 1.0
    assert sender.lost == 103
    sender.close()


def test_a_worker_goes_on_after_redis_was_flushed() -> None:
    before = threading.active_count()
    broker, heard = make_broker(), []
    worker, sender = listen(broker, heard), Doorbell(settings().redis_url)
    try:
        with redis.Redis.from_url(settings().redis_url) as client:
            client.flushall()
        sender.ring(rings(5))
        eventually(lambda: len(heard) == 5)
    finally:
        worker.stop()
        sender.close()
        broker.client.close()
    assert threading.active_count() < before + 10


def test_a_redis_that_lost_its_power_without_a_word_is_asked_anew_soon() -> None:
    """Who waits for a token hears nothing, for ever; the token is at the Redis that came up in its place."""
    with proxy(settings().redis_url) as wire:
        sender = Doorbell(settings().redis_url)
        with environment({"REDIS_URL": wire.place(settings().redis_url)}):
            broker, heard = make_broker(), []
        worker = listen(broker, heard)
        try:
            sender.ring(rings(1))
            eventually(lambda: len(heard) == 1, what="the first message")
            wire.lose_power()
            sender.ring(rings(1))
            # And Dramatiq's own pause of three seconds before it listens again.
            eventually(lambda: len(heard) == 2, seconds=12, what="the message after the power cut")
        finally:
            worker.stop()
            sender.close()
            broker.client.close()


def test_an_absent_redis_is_rested_from_and_not_asked_each_time() -> None:
    """One that takes connections and never answers costs a time-out; the next messages must not cost one each."""
    asked: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    asked.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        sender = Doorbell(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        assert not sender.ring(rings(1))
        for _ in range(5):
            assert not sender.ring(rings(1))
        sender.close()
        listener.shutdown(socket.SHUT_RDWR)
    assert len(asked) == 1
    for each in asked:
        each.close()


def consumed(broker: WakeBroker, count: int) -> tuple[WakeConsumer, list[dramatiq.MessageProxy]]:
    """A consumer, and so many messages that it has fetched."""
    consumer = broker.consume("interactive", prefetch=10)
    sender = Doorbell(settings().redis_url)
    assert sender.ring(rings(count))
    sender.close()
    return consumer, [message for message in (next(consumer) for _ in range(count)) if message is not None]


def kept(broker: WakeBroker) -> int:
    return int(broker.client.hlen(f"{NAMESPACE}:interactive.msgs"))


def test_an_acknowledgement_travels_with_the_next_fetch() -> None:
    broker = make_broker()
    consumer, messages = consumed(broker, 3)
    for message in messages:
        consumer.ack(message)
    assert kept(broker) == 3
    assert consumer.outstanding_message_count == 0  # the places are free at once
    assert broker.fetch("interactive", 10) == []
    assert kept(broker) == 0
    broker.client.close()


def test_a_consumer_that_closes_acknowledges_what_is_done_with() -> None:
    broker = make_broker()
    consumer, messages = consumed(broker, 2)
    for message in messages:
        consumer.ack(message)
    consumer.close()
    assert kept(broker) == 0
    broker.client.close()


def test_a_message_that_was_given_to_another_is_not_taken_from_it() -> None:
    broker, other = make_broker(), make_broker()
    consumer, (message,) = consumed(broker, 1)
    consumer.requeue([message])
    assert len(other.fetch("interactive", 10)) == 1
    consumer.ack(message)
    consumer.close()
    assert kept(other) == 1
    broker.client.close()
    other.client.close()


def test_what_could_not_be_acknowledged_is_kept_for_the_next_time() -> None:
    broker = make_broker()
    consumer, messages = consumed(broker, 3)
    for message in messages:
        consumer.ack(message)
    with patch.object(broker, "_called", side_effect=redis.ConnectionError("cut")), pytest.raises(ConnectionClosed):
        next(consumer)
    assert broker.fetch("interactive", 0) == []
    assert kept(broker) == 0
    broker.client.close()


def test_a_redis_that_has_forgotten_its_scripts_is_told_them_anew() -> None:
    broker = make_broker()
    consumer, messages = consumed(broker, 2)
    broker.client.script_flush()
    for message in messages:
        consumer.ack(message)
    assert broker.fetch("interactive", 10) == []
    assert kept(broker) == 0
    broker.client.close()
