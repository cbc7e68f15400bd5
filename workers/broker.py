"""Dramatiq as a doorbell: the settings that make it one (research/reliability.md section 1.7).

No middleware: retries, time limits, callbacks and results would repeat or lose what only Postgres may decide. The
consumer waits on a wake token instead of polling, so that a lone job starts within milliseconds. An acknowledgement travels
with the next fetch: should it be lost with the process, its message is a late one, which finds nothing to do.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import dramatiq
import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed

from common.redis_client import redis_client
from common.settings import settings
from workers.doorbell import NAMESPACE, WAKE

log = logging.getLogger(__name__)

IDLE_SECONDS = 1  # the longest wait for a token; below the socket's time-out, and short enough to stop by
# A Redis whose host lost its power says nothing, for ever, to whoever waits for a token: it is taken for gone after this. It
# leaves the kernel time to send a lost packet four times.
SOCKET_SECONDS = IDLE_SECONDS + 3.0


class WakeConsumer(_RedisConsumer):
    """Dramatiq's consumer, but it sleeps until a token or a finished message says that there may be work."""

    def __init__(self, broker: "WakeBroker", queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)
        self._room = threading.Event()
        self._delayed = queue_name.endswith(".DQ")  # ours are never delayed: that consumer only has to exist

    def ack(self, message: Any) -> None:
        self.broker.done[self.queue_name].append(message.options["redis_message_id"])
        self.queued_message_ids.discard(message.message_id)
        self._room.set()

    def nack(self, message: Any) -> None:
        try:
            super().nack(message)
        except redis.RedisError as error:  # not only a ConnectionError: Dramatiq would lose it, and the place with it
            raise ConnectionClosed(error) from None
        finally:
            self._room.set()

    def __next__(self) -> Any:
        try:
            if not self.message_cache:
                if self.outstanding_message_count >= self.prefetch:
                    self._room.wait(IDLE_SECONDS)
                    self._room.clear()
                    if self.outstanding_message_count >= self.prefetch:
                        return None
                fetched = self.broker.fetch(self.queue_name, self.prefetch - self.outstanding_message_count)
                if not fetched:
                    self._wait()
                    return None
                self.message_cache = _read(fetched)
                self.broker.hear(job_ids(self.message_cache))
                if not self.message_cache:
                    return None
            message = self.message_cache.pop(0)
            self.queued_message_ids.add(message.message_id)
            return MessageProxy(message)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None

    def close(self) -> None:
        try:
            self.broker.fetch(self.queue_name, 0)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None

    def _wait(self) -> None:
        if self._delayed:
            time.sleep(IDLE_SECONDS)
        else:
            self.broker.client.blpop([WAKE.format(self.queue_name)], timeout=IDLE_SECONDS)


def _read(fetched: Iterable[bytes | None]) -> list[Message[Any]]:
    """Messages as they lie in Redis; what is none harms no other."""
    messages: list[Message[Any]] = []
    for each in fetched:
        try:
            if each is not None:  # it was forgotten meanwhile (`doorbell.forget_lost`)
                messages.append(Message.decode(each))
        except Exception:
            log.warning("a message cannot be read, and is left out", exc_info=True)
    return messages


def job_ids(messages: Iterable[Any]) -> list[UUID]:
    """The jobs that messages, or proxies of them, are about; what is no message of ours is left out."""
    found: list[UUID] = []
    for each in messages:
        with suppress(ValueError, LookupError, TypeError, AttributeError):  # its own thread says what is wrong with it
            found.append(UUID(each.args[0]))
    return found


class WakeBroker(RedisBroker):
    """Dramatiq's Redis broker with our consumer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Messages of each queue that are done with, and not acknowledged yet. They outlive a consumer, which ends with its connection.
        self.done: dict[str, deque[str]] = defaultdict(deque)
        # Told which jobs were fetched together, before any thread has their messages. Must not raise.
        self.hear: Callable[[Sequence[UUID]], None] = lambda _jobs: None

    @property
    def consumer_class(self) -> type[WakeConsumer]:
        return WakeConsumer

    def fetch(self, queue_name: str, number: int) -> list[bytes]:
        """Acknowledge what is done with, and fetch so many messages, in one round trip. Raises redis.RedisError; then what was not
        acknowledged is kept for the next time.
        """
        waiting = self.done[queue_name]
        done = [waiting.popleft() for _ in range(len(waiting))]
        calls = [("ack", each) for each in done] + ([("fetch", number)] if number else [])
        try:
            answers = self._called(queue_name, calls) if calls else []
        except redis.RedisError:
            waiting.extend(done)
            raise
        fetched: list[bytes] = answers[-1] if number else []
        return fetched

    def _called(self, queue_name: str, calls: Sequence[tuple[str, Any]]) -> list[Any]:
        """What Dramatiq's script answers to these commands. Redis may have forgotten it: then none was carried out."""
        script = self.scripts["dispatch"]
        for _ in range(2):
            with self.client.pipeline(transaction=False) as pipe:
                for command, argument in calls:
                    pipe.evalsha(
                        script.sha, 1, self.namespace, command, current_millis(), queue_name, self.broker_id, self.heartbeat_timeout,
                        self.dead_message_ttl, self._should_do_maintenance(command), self._max_unpack_size(), argument,
                    )  # fmt: skip
                try:
                    return pipe.execute()
                except redis.exceptions.NoScriptError:
                    script.sha = self.client.script_load(script.script)
        raise redis.ConnectionError("Redis forgets its scripts at once")


def make_broker() -> WakeBroker:
    """The broker of a worker process, made Dramatiq's own for the actors that are declared after."""
    broker = WakeBroker(
        client=redis_client(settings().redis_url, timeout_seconds=SOCKET_SECONDS),
        middleware=[],
        namespace=NAMESPACE,
        # One in ten commands looks for dead workers' messages; by default one in a thousand, which takes up to an hour.
        maintenance_chance=100_000,
    )
    dramatiq.set_broker(broker)
    return broker
