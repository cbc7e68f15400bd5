"""Workers over RabbitMQ: woken at once, given as much as they have threads, and what they have not done comes back."""

import threading
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import dramatiq
import pytest
from dramatiq.errors import ConnectionClosed
from uuid_utils.compat import uuid7

from models.jobs.dispatch import Ring
from tests.rabbits import Rabbit, needs_rabbitmq
from tests.support import eventually
from workers import doorbell
from workers.amqp_broker import AmqpBroker, AmqpConsumer, make_amqp_broker

pytestmark = [pytest.mark.usefixtures("database"), needs_rabbitmq]


def rings(count: int) -> list[Ring]:
    return [Ring(uuid7(), "interactive") for _ in range(count)]


@pytest.fixture
def broker(rabbit: Rabbit) -> AmqpBroker:
    return make_amqp_broker(rabbit.url)


def listen(broker: AmqpBroker, heard: list[str], threads: int = 2) -> dramatiq.Worker:
    @dramatiq.actor(actor_name=doorbell.ACTOR, queue_name="interactive", broker=broker)
    def advance(job_id: str) -> None:
        heard.append(job_id)

    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.queue_prefetch = threads
    worker.start()
    return worker


@pytest.fixture
def consumer(broker: AmqpBroker) -> Iterator[AmqpConsumer]:
    made = broker.consume("interactive", prefetch=4, timeout=200)
    try:
        yield made
    finally:
        made.close()


def taken(consumer: AmqpConsumer, count: int) -> list[dramatiq.MessageProxy]:
    """So many messages."""
    found: list[dramatiq.MessageProxy] = []
    end = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} messages came"
        message = next(consumer)
        if message is not None:
            found.append(message)
    return found


def test_a_lone_message_wakes_an_idle_worker(broker: AmqpBroker) -> None:
    heard: list[str] = []
    worker = listen(broker, heard)
    try:
        doorbell.ring(rings(1))
        eventually(lambda: len(heard) == 1)
        time.sleep(0.5)
        took = []
        for count in range(2, 12):
            begun = time.monotonic()
            doorbell.ring(rings(1))
            while len(heard) < count and time.monotonic() < begun + 5:
                time.sleep(0.0005)
            took.append(time.monotonic() - begun)
        assert sorted(took)[5] < 0.05
    finally:
        worker.stop()


def test_more_messages_than_threads_are_all_heard_and_acknowledged(broker: AmqpBroker, rabbit: Rabbit) -> None:
    heard: list[str] = []
    worker = listen(broker, heard, threads=3)
    sent = rings(1000)
    try:
        for start in range(0, 1000, 200):
            assert doorbell.ring(sent[start : start + 200])
        eventually(lambda: len(heard) >= 1000, what="1,000 messages")
    finally:
        worker.stop()
    assert sorted(heard) == sorted(str(each.job_id) for each in sent)
    assert rabbit.depth() == 0


def test_jobs_that_come_together_are_told_together(broker: AmqpBroker, consumer: AmqpConsumer) -> None:
    told: list[Sequence[UUID]] = []
    broker.hear = told.append
    sent = rings(4)
    doorbell.ring(sent)
    time.sleep(0.2)
    assert [UUID(each.args[0]) for each in taken(consumer, 4)] == [each.job_id for each in sent]
    assert [job_id for each in told for job_id in each] == [each.job_id for each in sent]
    assert max(map(len, told)) > 1


def test_no_more_is_given_than_there_are_threads_until_something_is_done(
    consumer: AmqpConsumer, rabbit: Rabbit
) -> None:
    doorbell.ring(rings(6))
    messages = taken(consumer, 4)
    assert next(consumer) is None
    assert rabbit.depth() == 2
    consumer.ack(messages[0])
    assert len(taken(consumer, 1)) == 1
    assert rabbit.depth() == 1


def test_what_is_done_is_acknowledged_at_the_close_and_the_rest_comes_back(
    broker: AmqpBroker, consumer: AmqpConsumer, rabbit: Rabbit
) -> None:
    doorbell.ring(rings(5))
    for message in taken(consumer, 4)[:3]:
        consumer.ack(message)
    consumer.close()
    eventually(lambda: rabbit.depth() == 2, what="what was not done")


def test_what_is_given_back_is_another_s_at_once(broker: AmqpBroker, consumer: AmqpConsumer) -> None:
    sent = rings(4)
    doorbell.ring(sent)
    messages = taken(consumer, 4)
    other = broker.consume("interactive", prefetch=4, timeout=200)
    try:
        doorbell.ring(rings(4))
        for message in taken(other, 4):
            other.ack(message)
        consumer.requeue(messages)
        consumer.close()
        assert {each.args[0] for each in taken(other, 4)} == {str(each.job_id) for each in sent}
    finally:
        other.close()


def test_a_late_acknowledgement_takes_nothing_from_another(
    broker: AmqpBroker, consumer: AmqpConsumer, rabbit: Rabbit
) -> None:
    doorbell.ring(rings(2))
    messages = taken(consumer, 2)
    rabbit.cut()
    with pytest.raises(ConnectionClosed):
        while True:
            next(consumer)
    later = broker.consume("interactive", prefetch=4, timeout=200)
    try:
        again = taken(later, 2)
        for message in messages:
            later.ack(message)  # whose numbers are another connection's
            consumer.ack(message)
        next(later)
        later.ack(again[0])
    finally:
        later.close()
    eventually(lambda: rabbit.depth() == 1, what="the message that nobody has done")


def test_a_message_that_cannot_be_read_harms_no_other(consumer: AmqpConsumer, rabbit: Rabbit) -> None:
    with rabbit.channel() as channel:
        channel.basic_publish("", "headrace.interactive", b"\x80 is no message")
    doorbell.ring(rings(1))
    assert len(taken(consumer, 1)) == 1
    consumer.close()
    eventually(lambda: rabbit.depth() == 1, what="the one that can be read")


def test_a_worker_listens_again_after_its_queue_was_deleted(broker: AmqpBroker, rabbit: Rabbit) -> None:
    heard: list[str] = []
    worker = listen(broker, heard)
    try:
        doorbell.ring(rings(1))
        eventually(lambda: len(heard) == 1)
        rabbit.forget()
        doorbell.ring(rings(1))
        # And Dramatiq's own pause of three seconds before it listens again.
        eventually(lambda: len(heard) == 2, what="the message after it")
    finally:
        worker.stop()


def test_a_worker_stops_in_time_while_rabbitmq_hangs(broker: AmqpBroker, rabbit: Rabbit) -> None:
    before = threading.active_count()
    heard: list[str] = []
    worker = listen(broker, heard)
    doorbell.ring(rings(1))
    eventually(lambda: len(heard) == 1)
    with rabbit.hung():
        begun = time.monotonic()
        worker.stop(timeout=2000)
        assert time.monotonic() - begun < 6
    assert threading.active_count() <= before + 1
