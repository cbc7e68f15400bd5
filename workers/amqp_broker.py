"""Dramatiq as a doorbell over RabbitMQ, where BROKER_URL names one: as `workers.broker` does it over Redis.

Dramatiq's own broker for it is not used: it declares two more queues for each, for messages that are delayed or dead, and
its consumer hands over one message at a time, so that jobs that come together could not be claimed together. RabbitMQ gives a
worker as many messages as it has threads, and takes back by itself what a connection that ends has not acknowledged.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq import Message, MessageProxy
from dramatiq.broker import Broker, Consumer
from dramatiq.errors import ConnectionClosed

from common.amqp_client import amqp_connection, amqp_troubles, close_politely, ending_after, told_of
from workers.amqp_carrier import QUEUE, declare
from workers.broker import job_ids

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 2.0  # for what is asked while a consumer is made, and for acknowledgements before it closes


class AmqpMessage(MessageProxy):
    """A message, which consumer has it, and the number by which that acknowledges it."""

    def __init__(self, message: Message[Any], consumer: "AmqpConsumer", tag: int) -> None:
        super().__init__(message)
        self.consumer, self.tag = consumer, tag


class AmqpConsumer(Consumer):
    """A connection of its own for one queue, of the thread that makes it. Raises ConnectionClosed, as Dramatiq wants it; its
    thread makes another one then.
    """

    def __init__(self, broker: "AmqpBroker", queue_name: str, prefetch: int, timeout: int) -> None:
        self._broker, self.queue_name, self._idle_seconds = broker, queue_name, timeout / 1000
        self._arrived: deque[AmqpMessage] = deque()
        self._is_canceled = False
        self._using = threading.Lock()  # a process that stops closes what its thread may still wait in
        try:
            self._connection = amqp_connection(broker.url, connect_seconds=CONNECT_SECONDS)
        except amqp_troubles() as error:
            raise ConnectionClosed(told_of(error)) from None
        try:
            with ending_after(self._connection, ANSWER_SECONDS):
                self._channel = self._connection.channel()
                declare(self._channel, queue_name)
                self._channel.basic_qos(prefetch_count=prefetch)
                self._channel.add_on_cancel_callback(self._cancel)
                self._channel.basic_consume(QUEUE.format(queue_name), self._take)
        except amqp_troubles() as error:
            close_politely(self._connection)
            raise ConnectionClosed(told_of(error)) from None

    def _cancel(self, _frame: Any) -> None:
        self._is_canceled = True  # somebody has deleted the queue

    def _take(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        try:
            self._arrived.append(AmqpMessage(Message.decode(body), self, method.delivery_tag))
        except Exception:
            log.warning("a message cannot be read, and is left out", exc_info=True)
            channel.basic_ack(method.delivery_tag)

    def __next__(self) -> MessageProxy | None:
        try:
            with self._using:
                if not self._arrived:
                    self._connection.process_data_events(self._idle_seconds)
                    if self._is_canceled:
                        raise ConnectionClosed(f"the queue {QUEUE.format(self.queue_name)} was deleted")
                    if self._arrived:
                        self._broker.hear(job_ids(self._arrived))
                return self._arrived.popleft() if self._arrived else None
        except amqp_troubles() as error:
            raise ConnectionClosed(told_of(error)) from None

    def ack(self, message: MessageProxy) -> None:
        self._settle(message, self._channel.basic_ack)

    def nack(self, message: MessageProxy) -> None:
        self._settle(message, partial(self._channel.basic_nack, requeue=False))

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        for each in messages:
            self._settle(each, partial(self._channel.basic_nack, requeue=True))

    def _settle(self, message: MessageProxy, act: Callable[[int], None]) -> None:
        """In the connection's thread, soon. RabbitMQ has taken back what came over another connection, and what this one cannot
        say any more: such a message comes again, and finds nothing to do.
        """
        if not isinstance(message, AmqpMessage) or message.consumer is not self:
            return
        try:
            self._connection.add_callback_threadsafe(partial(act, message.tag))
        except amqp_troubles():
            log.info("a message is not acknowledged, and comes again: its connection has ended")

    def close(self) -> None:
        """Send the acknowledgements that wait, and give all other messages back. Raises nothing."""
        if not self._using.acquire(timeout=ANSWER_SECONDS):
            return  # its thread hangs in it, in a process that ends
        try:
            self._flush()
        except amqp_troubles() as error:
            log.info("what was not acknowledged comes again: %s", told_of(error))
        finally:
            close_politely(self._connection)
            self._using.release()

    def _flush(self) -> None:
        if not self._connection.is_open:
            return
        done = threading.Event()
        self._connection.add_callback_threadsafe(done.set)
        with ending_after(self._connection, ANSWER_SECONDS):
            while not done.is_set():
                self._connection.process_data_events(0.05)


class AmqpBroker(Broker):
    """Dramatiq's broker over a RabbitMQ. It only consumes: the doorbell sends."""

    def __init__(self, url: str) -> None:
        super().__init__(middleware=[])
        self.url = url
        # Told which jobs came together, before any thread has their messages. Must not raise.
        self.hear: Callable[[Sequence[UUID]], None] = lambda _jobs: None

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> AmqpConsumer:
        """Raises ConnectionClosed. `timeout`: milliseconds to wait for a message."""
        return AmqpConsumer(self, queue_name, prefetch, timeout)


def make_amqp_broker(url: str) -> AmqpBroker:
    """The broker of a worker process, made Dramatiq's own for the actors that are declared after."""
    broker = AmqpBroker(url)
    dramatiq.set_broker(broker)
    return broker
