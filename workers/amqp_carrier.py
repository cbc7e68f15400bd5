"""Messages over RabbitMQ: one thread of each process has the one connection that sends, and serves its heartbeats.

Whoever sends hands messages over and waits for the answer, `SEND_SECONDS` at most, whatever that thread waits for meanwhile.
What is handed over while it is busy goes together next. Confirms would be a round trip for each message; what asks how many
wait in the queue is answered after all that was sent before on the same channel, so one question is the proof for all of
them, and finds a queue that somebody has deleted.

Queues are durable, so that they outlive a restart and RabbitMQ 4 takes them; messages are not: what a restart loses the
scheduler rings again, and nothing is written to a disk. There is no queue for delayed or dead messages: ours are neither.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from common.amqp_client import amqp_connection, amqp_troubles, close_politely, ending_after, told_of
from models.jobs.tables import QUEUES
from workers.carrier import REST_SECONDS, SEND_SECONDS, CarrierAway, Messages, WaitingJobs
from workers.redis_carrier import RedisCarrier

log = logging.getLogger(__name__)

QUEUE = "headrace.{}"
PROBE = "headrace-probe"  # the name of no queue: what is sent there is dropped
CONNECT_SECONDS = 0.5
LOOK_SECONDS = 2.0  # between looks at an idle connection: heartbeats are due every five
TRANSIENT = 1  # the delivery mode


def declare(channel: Any, queue: str) -> None:
    """Make a queue if it is not there. Without arguments, so that what an operator's policy says of it holds."""
    channel.queue_declare(QUEUE.format(queue), durable=True)


class Handed:
    """What one caller has handed over: messages, and the queues whose depth is asked."""

    def __init__(self, messages: Messages, queues: Collection[str]) -> None:
        self.messages, self.queues = messages, {*queues, *messages}
        self.answer: Future[Mapping[str, int]] = Future()
        self._end = time.monotonic() + SEND_SECONDS

    def depths(self) -> Mapping[str, int]:
        """How many messages wait in each queue, these included. Raises CarrierAway."""
        try:
            return self.answer.result(max(0.0, self._end - time.monotonic()))
        except NotYet:
            self.answer.cancel()  # should it not be begun, it is not sent late as well
            raise CarrierAway("no answer in time") from None


class SendingLine:
    """A connection that has proven to take messages. Of one thread. The constructor raises `amqp_troubles()`."""

    def __init__(self, url: str) -> None:
        self._connection = amqp_connection(url, connect_seconds=CONNECT_SECONDS)
        try:
            with ending_after(self._connection, SEND_SECONDS):
                self._channel = self._connection.channel()
                for queue in QUEUES:
                    declare(self._channel, queue)
                # A server that is short of memory or disk takes connections, and stops reading them at the first message.
                self._channel.basic_publish("", PROBE, b"")
                self._depth(QUEUES[0])
        except BaseException:
            self.close()
            raise

    def send(self, messages: Sequence[Messages], queues: Collection[str], seconds: float) -> dict[str, int]:
        """Send, and say how many wait in each of these queues then. Raises `amqp_troubles()`."""
        from pika import BasicProperties  # noqa: PLC0415 - an extra

        properties = BasicProperties(delivery_mode=TRANSIENT)
        with ending_after(self._connection, seconds):
            for by_queue in messages:
                for queue, bodies in by_queue.items():
                    for body in bodies.values():
                        self._channel.basic_publish("", QUEUE.format(queue), body, properties)
            return {queue: self._depth(queue) for queue in queues}

    def _depth(self, queue: str) -> int:
        return int(self._channel.queue_declare(QUEUE.format(queue), passive=True).method.message_count)

    def serve(self) -> None:
        """Answer heartbeats. Raises `amqp_troubles()`."""
        with ending_after(self._connection, SEND_SECONDS):
            self._connection.process_data_events(0)

    def close(self) -> None:
        close_politely(self._connection)


class AmqpCarrier:
    """A `Carrier` over RabbitMQ. After a failure it rests until its thread has sent something for the try, so that nobody who
    has a message to send waits for a server that hangs.
    """

    def __init__(self, url: str, news: RedisCarrier) -> None:
        self._url, self._news = url, news
        self._handed: SimpleQueue[Handed | None] = SimpleQueue()
        self._line: SendingLine | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._is_away = False

    @property
    def resting(self) -> bool:
        return self._is_away

    def send(self, messages: Messages, news: Sequence[Any]) -> None:
        handed = self._hand(Handed(messages, ())) if messages and not self._is_away else None
        untold: CarrierAway | None = None
        if news:
            try:
                self._news.send({}, news)
            except CarrierAway as error:
                untold = error
        if handed is not None:
            self._wait(handed)
        elif messages:
            raise CarrierAway("rabbitmq rests")
        elif untold is not None:
            raise untold

    def missing(self, messages: Messages, jobs: WaitingJobs) -> Messages:
        """All of a queue that holds fewer messages than there are jobs that may have one there, and none of the others: what one
        message of which job is cannot be asked.
        """
        if self._is_away:
            raise CarrierAway("rabbitmq rests")
        depths = self._wait(self._hand(Handed({}, messages)))
        if not any(depths.values()):
            return messages
        counts = jobs()
        return {queue: named for queue, named in messages.items() if depths[queue] < counts.get(queue, 0)}

    def forget_lost(self, queue: str, before: Collection[bytes]) -> set[bytes]:  # noqa: ARG002 - Redis's needs them
        """None: RabbitMQ takes back by itself what a worker has not acknowledged."""
        return set()

    def close(self) -> None:
        self._handed.put(None)
        if self._thread is not None:
            self._thread.join(SEND_SECONDS + CONNECT_SECONDS)
        self._news.close()

    def _hand(self, handed: Handed) -> Handed:
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._serve, name="rabbitmq", daemon=True)
                    self._thread.start()
        self._handed.put(handed)
        return handed

    def _wait(self, handed: Handed) -> Mapping[str, int]:
        try:
            return handed.depths()
        except CarrierAway:
            self._is_away = True  # the thread hangs, in a name that is not resolved perhaps
            raise

    def _serve(self) -> None:
        try:
            while True:
                try:
                    first = self._handed.get(timeout=REST_SECONDS if self._is_away else LOOK_SECONDS)
                except Empty:
                    self._look()
                    continue
                together = [first]
                with suppress(Empty):
                    while True:
                        together.append(self._handed.get_nowait())
                self._do([each for each in together if each is not None and each.answer.set_running_or_notify_cancel()])
                if None in together:
                    return
        finally:
            self._drop()

    def _look(self) -> None:
        """Serve the connection; where it is away, or went away unseen, try to have one that takes messages."""
        try:
            if self._line is not None:
                self._line.serve()
            elif self._is_away:
                self._line = SendingLine(self._url)
                log.info("rabbitmq takes messages again")
        except amqp_troubles():
            self._drop()  # an idle one that ended: the next message makes a new one
            return
        if self._line is not None:
            self._is_away = False

    def _do(self, together: Sequence[Handed]) -> None:
        """Send what was handed over. A connection that has ended while it was idle is made anew, once."""
        if not together:
            return
        messages = [each.messages for each in together if each.messages]
        queues = set[str]().union(*(each.queues for each in together))
        end = time.monotonic() + SEND_SECONDS
        while True:
            was_idle = self._line is not None
            try:
                if self._line is None:
                    self._line = SendingLine(self._url)
                depths = self._line.send(messages, queues, max(0.1, end - time.monotonic()))
            except amqp_troubles() as error:
                self._drop()
                if was_idle and time.monotonic() < end - CONNECT_SECONDS and not self._is_away:
                    continue
                self._fail(together, error)
                return
            self._is_away = False
            for each in together:
                each.answer.set_result(depths)
            return

    def _fail(self, together: Sequence[Handed], error: Exception) -> None:
        if not self._is_away:
            log.warning("rabbitmq is away, the scheduler will ring: %s", told_of(error))
        self._is_away = True
        for each in together:
            each.answer.set_exception(CarrierAway("rabbitmq is away"))

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
