"""Send by name: all that the API and the scheduler import of the workers.

A message is a hint that holds one job id. It is sent after the commit, costs one round trip for any number of jobs,
and its loss delays a job by the scheduler's next look, nothing more.
"""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import redis
from dramatiq import Message

from common.redis_client import redis_client
from models.dispatch import Ring
from models.settings import settings

log = logging.getLogger(__name__)

NAMESPACE = "dramatiq"
ACTOR = "advance"
WAKE = "headrace:wake:{}"  # a list of tokens that idle workers wait on
MAX_WAKE_TOKENS = 128  # more would only wake workers for nothing; a missed wake costs at most one idle wait
SEND_SECONDS = 1.0
REST_SECONDS = 1.0  # after a failure, so that an absent Redis does not cost every request its time-out


class Sender:
    """Rings jobs over one Redis client. Thread-safe; never raises for a Redis that is away."""

    def __init__(self, url: str) -> None:
        self._client = redis_client(url, timeout_seconds=SEND_SECONDS, connect_seconds=0.5)
        self._rest_until = 0.0
        self.lost = 0  # messages not sent: the scheduler will

    def ring(self, rings: Iterable[Ring]) -> bool:
        """Tell the workers about these jobs. False: Redis is away, and the scheduler will ring."""
        by_queue: dict[str, dict[Any, Any]] = {}
        for ring in rings:
            message_id, message = _message(ring)
            by_queue.setdefault(ring.queue, {})[message_id] = message
        if not by_queue:
            return True
        if time.monotonic() < self._rest_until:
            self.lost += sum(map(len, by_queue.values()))
            return False
        try:
            with self._client.pipeline(transaction=True) as pipe:
                for queue, messages in by_queue.items():
                    # What Dramatiq's own script writes for "enqueue"; a test holds a stock worker to it.
                    pipe.hset(f"{NAMESPACE}:{queue}.msgs", mapping=messages)
                    pipe.rpush(f"{NAMESPACE}:{queue}", *messages)
                    pipe.lpush(WAKE.format(queue), *([b"1"] * min(len(messages), MAX_WAKE_TOKENS)))
                    pipe.ltrim(WAKE.format(queue), 0, MAX_WAKE_TOKENS - 1)
                pipe.execute()
        except redis.RedisError as error:
            self._rest_until = time.monotonic() + REST_SECONDS
            self.lost += sum(map(len, by_queue.values()))
            log.warning("redis is away, the scheduler will ring: %s", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        self._client.close()


def _message(ring: Ring) -> tuple[str, bytes]:
    message_id = str(uuid4())
    message: Message[None] = Message(
        queue_name=ring.queue,
        actor_name=ACTOR,
        args=(str(ring.job_id),),
        kwargs={},
        options={"redis_message_id": message_id},
    )
    return message_id, message.encode()


_lock = threading.Lock()
_senders: dict[str, Sender] = {}


def ring(rings: Iterable[Ring]) -> bool:
    """Ring over this process's sender; see `Sender.ring`."""
    url = settings().redis_url
    sender = _senders.get(url)
    if sender is None:
        with _lock:
            sender = _senders.setdefault(url, Sender(url))
    return sender.ring(rings)


def close() -> None:
    """Close this process's senders (end of a process, or of a test)."""
    with _lock:
        for sender in _senders.values():
            sender.close()
        _senders.clear()
