"""Send by name: all that the API and the scheduler import of the workers.

A message is a hint that holds one job id. It is sent after the commit, costs one round trip for any number of jobs,
and its loss delays a job by the scheduler's next look, nothing more.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from queue import Full, Queue
from typing import Any
from uuid import UUID, uuid4

import orjson
import redis
from dramatiq import Message

from common.redis_client import redis_client
from common.rest import Rest
from common.settings import settings
from common.telemetry import figures, traces
from models import db
from models.jobs.dispatch import Ring
from models.jobs.ringing import Due

log = logging.getLogger(__name__)

NAMESPACE = "dramatiq"
ACTOR = "advance"
WAKE = "headrace:wake:{}"  # a list of tokens that idle workers wait on
# What API processes hear, as JSON lists: [account] for "there are events to read", and [account, type, job, data] for
# what is not kept (`models.events.kinds.LIVE`): that a job runs, how far it is, that it waits.
LIVE = "headrace:live"
# Set while somebody follows a job whose text is being written, and that text so far (`workers.telling`, `api.live.texts`).
FOLLOWED, TEXT = "headrace:followed:{}", "headrace:text:{}"
MAX_LIVE = 200  # per message; and a thousand may wait to be published
MAX_WAKE_TOKENS = 128  # more would only wake workers for nothing; a missed wake costs at most one idle wait
SEND_SECONDS = 1.0
REST_SECONDS = 1.0  # after a failure, so that an absent Redis does not cost every request its time-out


Messages = dict[str, dict[Any, Any]]  # by queue and id


class Doorbell:
    """Rings jobs over one Redis client. Thread-safe; never raises for a Redis that is away."""

    def __init__(self, url: str) -> None:
        self._client = redis_client(url, timeout_seconds=SEND_SECONDS, connect_seconds=0.5)
        self._rest = Rest(REST_SECONDS)
        self.lost = 0  # messages not sent: the scheduler will
        self.unpublished = 0  # times that Redis refused to publish

    def ring(
        self, rings: Iterable[Ring], wake_listeners_of: Iterable[UUID] = (), live: Iterable[tuple[Any, ...]] = ()
    ) -> bool:
        """Tell the workers about these jobs, and listeners that there are events of these accounts, in one round trip.

        False: Redis is away; the scheduler will ring, and listeners look for themselves.
        """
        by_queue: Messages = {}
        rung: list[UUID] = []
        begun_ns = time.time_ns()
        for ring in rings:
            message_id = str(uuid4())
            by_queue.setdefault(ring.queue, {})[message_id] = _message(ring, message_id)
            rung.append(ring.job_id)
        news = [*live, *((account_id,) for account_id in wake_listeners_of)]
        if not by_queue and not news:
            return True
        if self.resting:
            self.lost += sum(map(len, by_queue.values()))
            return False
        try:
            self._send(by_queue, news)
        except redis.RedisError as error:
            self._lose(by_queue, error)
            return False
        if traces.is_on():
            traces.note_each("message", rung, begun_ns)
        return True

    def ring_due(self, due: Sequence[Due]) -> bool:
        """Ring jobs that nobody has claimed in time. Of those that were rung before, a message is sent only where none
        waits, so that at most two wait for any job, however long no worker runs. False: nothing was sent.
        """
        by_queue: Messages = {}
        for each in due:
            message_id = f"{each.job_id}:{each.token}:again" if each.again else str(uuid4())
            by_queue.setdefault(each.queue, {})[message_id] = _message(Ring(each.job_id, each.queue), message_id)
        if self.resting:
            return False
        begun_ns = time.time_ns()
        try:
            with self._client.pipeline(transaction=False) as pipe:
                asked = [(queue, each) for queue, messages in by_queue.items() for each in messages]
                for queue, message_id in asked:
                    pipe.hexists(f"{NAMESPACE}:{queue}.msgs", message_id)
                for (queue, message_id), waits in zip(asked, pipe.execute(), strict=True):
                    if waits:
                        del by_queue[queue][message_id]
            self._send({queue: messages for queue, messages in by_queue.items() if messages}, [])
        except redis.RedisError as error:
            self._lose(by_queue, error)
            return False
        if traces.is_on():
            traces.note_each("message again", [each.job_id for each in due if each.again], begun_ns)
        return True

    @property
    def resting(self) -> bool:
        """Whether Redis was away a moment ago, and is not asked again yet."""
        return self._rest.is_on

    def _send(self, by_queue: Messages, news: Sequence[Any]) -> None:
        """All in one round trip. The rings are one transaction, and what is published is none of it: listeners find events by
        themselves, and whoever may not publish must still ring.
        """
        if not by_queue and not news:
            return
        with self._client.pipeline(transaction=False) as pipe:
            if by_queue:
                pipe.execute_command("MULTI")  # type: ignore[no-untyped-call]  # redis-py has no types here
            for queue, messages in by_queue.items():
                # What Dramatiq's own script writes for "enqueue"; a test holds a stock worker to it.
                pipe.hset(f"{NAMESPACE}:{queue}.msgs", mapping=messages)
                pipe.rpush(f"{NAMESPACE}:{queue}", *messages)
                pipe.lpush(WAKE.format(queue), *([b"1"] * min(len(messages), MAX_WAKE_TOKENS)))
                pipe.ltrim(WAKE.format(queue), 0, MAX_WAKE_TOKENS - 1)
            if by_queue:
                pipe.execute_command("EXEC")  # type: ignore[no-untyped-call]  # as above
            if news:
                pipe.publish(LIVE, orjson.dumps(news))
            answers = pipe.execute(raise_on_error=False)
        problem = next((each for each in answers if isinstance(each, Exception)), None)
        if news and isinstance(answers[-1], Exception):
            self.unpublished += 1
            if self.unpublished == 1:
                log.warning("nothing can be published, listeners look for themselves: %s", answers[-1])
            if len(answers) == 1 or problem is answers[-1]:
                return
        if problem is not None:
            raise problem

    def _lose(self, by_queue: Messages, error: redis.RedisError) -> None:
        self._rest.start()
        self.lost += sum(map(len, by_queue.values()))
        log.warning("redis is away, the scheduler will ring: %s: %s", type(error).__name__, error)

    def forget_lost(self, queue: str, before: Collection[bytes]) -> set[bytes]:
        """Delete messages that are in no queue any more, though nobody has acknowledged them, at the second look: their
        worker was killed, or Redis refused half of what took them. Their jobs are rung anew. Returns what was found
        first now, for the next look.
        """
        messages = f"{NAMESPACE}:{queue}.msgs"
        try:
            kept: set[Any] = set(self._client.hkeys(messages))
            found = kept - set(self._client.lrange(f"{NAMESPACE}:{queue}", 0, -1))
            twice = [each for each in found if each in before]
            for start in range(0, len(twice), 1000):
                self._client.hdel(messages, *twice[start : start + 1000])
        except redis.RedisError as error:
            log.warning("redis is away, lost messages are looked for later: %s", type(error).__name__)
            return set()
        return found - set(twice)

    def close(self) -> None:
        self._client.close()


def _message(ring: Ring, message_id: str) -> bytes:
    message: Message[None] = Message(
        queue_name=ring.queue,
        actor_name=ACTOR,
        args=(str(ring.job_id),),
        kwargs={},
        options={"redis_message_id": message_id},
    )
    return message.encode()


_lock = threading.Lock()
_doorbells: dict[str, Doorbell] = {}


def ring(rings: Iterable[Ring], wake_listeners_of: Iterable[UUID] = ()) -> bool:
    """Ring over this process's sender; see `Doorbell.ring`. Called after a commit, so it raises nothing at all."""
    try:
        return _doorbell().ring(rings, wake_listeners_of)
    except Exception:
        log.exception("nobody was rung; the scheduler will")
        return False


def ring_due(due: Sequence[Due]) -> bool:
    """See `Doorbell.ring_due`."""
    return _doorbell().ring_due(due)


def resting() -> bool:
    """See `Doorbell.resting`."""
    return _doorbell().resting


def lost() -> int:
    """Messages that this process could not send: the scheduler did."""
    return sum(each.lost for each in list(_doorbells.values()))


def forget_lost(queue: str, before: Collection[bytes]) -> set[bytes]:
    """See `Doorbell.forget_lost`."""
    return _doorbell().forget_lost(queue, before)


def _doorbell() -> Doorbell:
    url = settings().redis_url
    sender = _doorbells.get(url)
    if sender is None:
        with _lock:
            sender = _doorbells.setdefault(url, Doorbell(url))
        figures.UNRUNG.read_by(lambda: [((), float(lost()))])
    return sender


db.after_commit(lambda accounts: ring((), wake_listeners_of=accounts))


_unpublished: Queue[tuple[Any, ...]] = Queue(1000)
_publisher: threading.Thread | None = None


def publish_live(account_id: UUID, kind: str, job_id: UUID, data: Mapping[str, Any]) -> None:
    """Tell listeners something that is not kept. It is published soon, by a thread of its own: no step of a job waits for
    it. Under load many go in one message; when too many wait, it is not published at all.
    """
    _publish_soon((account_id, kind, job_id, data))


def wake_listeners_soon(account_id: UUID) -> None:
    """Tell listeners that there are events of this account, where there is nothing to ring besides: a worker's thread
    goes on with its next job meanwhile. Not for processes that are about to end.
    """
    _publish_soon((account_id,))


def _publish_soon(news: tuple[Any, ...]) -> None:
    global _publisher  # noqa: PLW0603 - one per process
    if _publisher is None or not _publisher.is_alive():
        with _lock:
            if _publisher is None or not _publisher.is_alive():
                _publisher = threading.Thread(target=_publish_all, name="publisher", daemon=True)
                _publisher.start()
    try:
        _unpublished.put_nowait(news)
    except Full:
        log.info("something is not published: too much is waiting to be")


def _publish_all() -> None:
    while True:
        news = [_unpublished.get()]
        while len(news) < MAX_LIVE and not _unpublished.empty():
            news.append(_unpublished.get())
        try:
            _doorbell().ring((), live=news)
        except Exception:
            log.exception("what is live could not be published; it is lost")


def close() -> None:
    """Close this process's senders (end of a process, or of a test)."""
    with _lock:
        for sender in _doorbells.values():
            sender.close()
        _doorbells.clear()
