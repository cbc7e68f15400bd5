"""Send by name: all that the API and the scheduler import of the workers.

A message is a hint that holds one job id. It is sent after the commit, costs one round trip for any number of jobs,
and its loss delays a job by the scheduler's next look, nothing more.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from queue import Full, Queue
from typing import Any
from uuid import UUID, uuid4

import orjson
import redis
from dramatiq import Message

from common.redis_client import redis_client
from models import db
from models.dispatch import Ring
from models.settings import settings

log = logging.getLogger(__name__)

NAMESPACE = "dramatiq"
ACTOR = "advance"
WAKE = "headrace:wake:{}"  # a list of tokens that idle workers wait on
# What API processes hear, as JSON lists: [account] for "there are events to read", and [account, type, job, data] for
# what is not kept: that a job runs, and how far it is.
LIVE = "headrace:live"
MAX_LIVE = 200  # per message; and a thousand may wait to be said
MAX_WAKE_TOKENS = 128  # more would only wake workers for nothing; a missed wake costs at most one idle wait
SEND_SECONDS = 1.0
REST_SECONDS = 1.0  # after a failure, so that an absent Redis does not cost every request its time-out


class Sender:
    """Rings jobs over one Redis client. Thread-safe; never raises for a Redis that is away."""

    def __init__(self, url: str) -> None:
        self._client = redis_client(url, timeout_seconds=SEND_SECONDS, connect_seconds=0.5)
        self._rest_until = 0.0
        self.lost = 0  # messages not sent: the scheduler will

    def ring(self, rings: Iterable[Ring], told: Iterable[UUID] = (), live: Iterable[tuple[Any, ...]] = ()) -> bool:
        """Tell the workers about these jobs, and listeners that there are events of these accounts, in one round trip.

        False: Redis is away; the scheduler will ring, and listeners look for themselves.
        """
        by_queue: dict[str, dict[Any, Any]] = {}
        for ring in rings:
            message_id, message = _message(ring)
            by_queue.setdefault(ring.queue, {})[message_id] = message
        said = [*live, *((account_id,) for account_id in told)]
        if not by_queue and not said:
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
                if said:
                    pipe.publish(LIVE, orjson.dumps(said))
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


def ring(rings: Iterable[Ring], told: Iterable[UUID] = ()) -> bool:
    """Ring over this process's sender; see `Sender.ring`. Called after a commit, so it raises nothing at all."""
    try:
        return _sender().ring(rings, told)
    except Exception:
        log.exception("nobody was rung; the scheduler will")
        return False


def _sender() -> Sender:
    url = settings().redis_url
    sender = _senders.get(url)
    if sender is None:
        with _lock:
            sender = _senders.setdefault(url, Sender(url))
    return sender


db.after_commit(lambda accounts: ring((), told=accounts))


_sayings: Queue[tuple[Any, ...]] = Queue(1000)
_sayer: threading.Thread | None = None


def say(account_id: UUID, kind: str, job_id: UUID, data: Mapping[str, Any]) -> None:
    """Tell listeners something that is not kept. It is said soon, by a thread of its own: no step of a job waits for
    it. Under load many go in one message; when too many wait, it is not said at all.
    """
    _say((account_id, kind, job_id, data))


def tell_soon(account_id: UUID) -> None:
    """Tell listeners that there are events of this account, where there is nothing to ring besides: a worker's thread
    goes on with its next job meanwhile. Not for processes that are about to end.
    """
    _say((account_id,))


def _say(said: tuple[Any, ...]) -> None:
    global _sayer  # noqa: PLW0603 - one per process
    if _sayer is None:
        with _lock:
            if _sayer is None:
                _sayer = threading.Thread(target=_say_all, name="sayer", daemon=True)
                _sayer.start()
    try:
        _sayings.put_nowait(said)
    except Full:
        log.info("something is not said: too much is waiting to be")


def _say_all() -> None:
    while True:
        said = [_sayings.get()]
        while len(said) < MAX_LIVE and not _sayings.empty():
            said.append(_sayings.get())
        try:
            _sender().ring((), live=said)
        except Exception:
            log.exception("could not say what is live; it is lost")


def close() -> None:
    """Close this process's senders (end of a process, or of a test)."""
    with _lock:
        for sender in _senders.values():
            sender.close()
        _senders.clear()
