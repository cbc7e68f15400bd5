"""Send by name: all that the API and the scheduler import of the workers.

A message is a hint that holds one job id. It is sent after the commit, costs one round trip for any number of jobs,
and its loss delays a job by the scheduler's next look, nothing more. What carries it is Redis, or RabbitMQ (BROKER_URL).
"""

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from queue import Full, Queue
from typing import Any
from uuid import UUID, uuid4

from dramatiq import Message

from common.settings import settings
from common.telemetry import figures, traces
from models import db
from models.jobs.dispatch import Ring
from models.jobs.ringing import Due
from workers.amqp_carrier import AmqpCarrier
from workers.carrier import REST_SECONDS, Carrier, CarrierAway, Messages, WaitingJobs
from workers.redis_carrier import LIVE, NAMESPACE, WAKE, RedisCarrier

__all__ = [
    "ACTOR", "FOLLOWED", "LIVE", "NAMESPACE", "REST_SECONDS", "TEXT", "WAKE", "Doorbell", "close", "forget_lost", "lost", "publish_live",
    "resting", "ring", "ring_due", "wake_listeners_soon",
]  # fmt: skip

log = logging.getLogger(__name__)

ACTOR = "advance"
# Set while somebody follows a job whose text is being written, and that text so far (`workers.telling`, `api.live.texts`).
FOLLOWED, TEXT = "headrace:followed:{}", "headrace:text:{}"
MAX_LIVE = 200  # per message; and a thousand may wait to be published


class Doorbell:
    """Rings jobs over Redis, or over the RabbitMQ at `broker_url`; news is Redis's. Thread-safe; never raises for a server that
    is away.
    """

    def __init__(self, redis_url: str, broker_url: str | None = None) -> None:
        self._news = RedisCarrier(redis_url)
        self._carrier: Carrier = AmqpCarrier(broker_url, self._news) if broker_url else self._news
        self.lost = 0  # messages not sent: the scheduler will

    def ring(
        self, rings: Iterable[Ring], wake_listeners_of: Iterable[UUID] = (), live: Iterable[tuple[Any, ...]] = ()
    ) -> bool:
        """Tell the workers about these jobs, and listeners that there are events of these accounts, in one round trip.

        False: the server is away; the scheduler will ring, and listeners look for themselves.
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
        try:
            self._carrier.send(by_queue, news)
        except CarrierAway:
            self._lose(by_queue)
            return False
        if traces.is_on():
            traces.note_each("message", rung, begun_ns)
        return True

    def ring_due(self, due: Sequence[Due], jobs: WaitingJobs) -> bool:
        """Ring jobs that nobody has claimed in time. Of those that were rung before, a message is sent only where one is missing
        (`Carrier.missing`), so that few wait, however long no worker runs. `jobs`: asked where the carrier needs it. False:
        nothing was sent.
        """
        first: Messages = {}
        again: Messages = {}
        for each in due:
            message_id = f"{each.job_id}:{each.token}:again" if each.again else str(uuid4())
            message = _message(Ring(each.job_id, each.queue), message_id)
            (again if each.again else first).setdefault(each.queue, {})[message_id] = message
        begun_ns = time.time_ns()
        sent = first
        try:
            missing = self._carrier.missing(again, jobs) if again else {}
            sent = {queue: {**first.get(queue, {}), **missing.get(queue, {})} for queue in {*first, *missing}}
            self._carrier.send(sent, [])
        except CarrierAway:
            self._lose(sent)
            return False
        if traces.is_on():
            traces.note_each("message again", [each.job_id for each in due if each.again], begun_ns)
        return True

    @property
    def resting(self) -> bool:
        """Whether what carries messages was away a moment ago, and is not asked again yet."""
        return self._carrier.resting

    @property
    def unpublished(self) -> int:
        """Times that Redis refused to publish."""
        return self._news.unpublished

    def _lose(self, by_queue: Messages) -> None:
        self.lost += sum(map(len, by_queue.values()))

    def forget_lost(self, queue: str, before: Collection[bytes]) -> set[bytes]:
        """Delete messages that are in no queue any more, though nobody has acknowledged them, at the second look: their
        worker was killed, or Redis refused half of what took them. Their jobs are rung anew. Returns what was found
        first now, for the next look.
        """
        return self._carrier.forget_lost(queue, before)

    def close(self) -> None:
        self._carrier.close()


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
_doorbells: dict[tuple[str, str | None], Doorbell] = {}


def ring(rings: Iterable[Ring], wake_listeners_of: Iterable[UUID] = ()) -> bool:
    """Ring over this process's sender; see `Doorbell.ring`. Called after a commit, so it raises nothing at all."""
    try:
        return _doorbell().ring(rings, wake_listeners_of)
    except Exception:
        log.exception("nobody was rung; the scheduler will")
        return False


def ring_due(due: Sequence[Due], jobs: WaitingJobs) -> bool:
    """See `Doorbell.ring_due`."""
    return _doorbell().ring_due(due, jobs)


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
    urls = settings().redis_url, settings().broker_url
    sender = _doorbells.get(urls)
    if sender is None:
        with _lock:
            sender = _doorbells.setdefault(urls, Doorbell(*urls))
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
