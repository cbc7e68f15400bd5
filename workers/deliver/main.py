"""A sending process: `python -m workers.deliver [--threads N]`. Any number may run.

Each thread holds one delivery queue at a time (models/events/sending.py) and sends what is due on it, one after the other, for
a while; then the next queue has its turn. A receiver that hangs so costs a thread its time-out, and its own queue; queues
whose last attempt failed get at most half of the threads.

What a receiver answered is written down before anything else is tried, as often as it takes and as long as the queue is
held. What remains: a sender that is killed, or cut off from the database until its lease lapses, between an answer and
its writing. Then the delivery is sent again, with the same id: receivers tell repeats by `webhook-id`, people do not.
"""

import argparse
import logging
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from common import process, scratch, uptime
from common.errors import Busy, Unavailable
from common.faultpoints import reached
from common.settings import settings
from common.telemetry import figures
from common.telemetry.health import Health
from models import db, starting
from models.db import CommitUnknown, transaction
from models.events import sending
from models.events.sending import HeldQueue, Parcel, SendResult
from models.fleet import reaching
from workers.deliver import post, wordings

log = logging.getLogger("deliver")

TURN_SECONDS = 5.0  # a queue lets go after this long, so that one with much to send keeps nobody waiting
TURN_DELIVERIES = 50
PROBLEM_PAUSE = 1.0
WRITE_PAUSE = 0.1  # before an answer that could not be written is written again; it grows
STOPPING_TRIES = 5  # a process that is to end does not wait for a database that is away


class Held:
    """A claimed queue in the hands of a thread. `lost` is set when another sender has it."""

    def __init__(self, queue: HeldQueue, claimed_at: float) -> None:
        self.queue = queue
        self.renewed_at = claimed_at  # read before the statement that took or renewed the lease
        self.lost = threading.Event()

    def sure(self) -> bool:
        """Whether the queue is held, looked at just before something is sent: the process may have been stopped since it
        took the delivery.
        """
        if uptime.seconds() - self.renewed_at > sending.lease_seconds() / 2:
            renew([self])
        return not self.lost.is_set()


def renew(held: Sequence[Held]) -> None:
    """Keep these queues' leases alive, and note those that are lost."""
    now = uptime.seconds()
    with transaction() as conn:
        kept = sending.extend(conn, [each.queue for each in held])
    for each in held:
        if each.queue.id in kept:
            each.renewed_at = now
        else:
            each.lost.set()


class Sender:
    """Claims queues and gives them to threads."""

    def __init__(self, threads: int) -> None:
        self.name = process.new_name()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="deliver")
        self._busy: dict[Future[None], tuple[Held, bool]] = {}  # and whether its queue is a suspect
        self._free = threading.Event()

    def run(self, stopping: threading.Event) -> None:
        """Send until `stopping` is set; then what is under way is finished. Raises RuntimeError where it cannot go on."""
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(over,), name="lease-keeper", daemon=True)
        keeper.start()
        try:
            while not stopping.is_set():
                pause = settings().deliver_poll_seconds
                if not keeper.is_alive():
                    raise RuntimeError("the thread that keeps leases has died")
                try:
                    if self._claim(stopping):
                        continue
                except Exception:
                    log.exception("queues could not be claimed; trying again")
                    pause = PROBLEM_PAUSE
                # With all threads busy a claim is of no use before one is free; otherwise look again soon.
                if self._free.wait(pause):
                    self._free.clear()
                    stopping.wait(0.01)  # several that end together are one look
        finally:
            self._pool.shutdown(wait=True)
            over.set()
            keeper.join()

    def _claim(self, stopping: threading.Event) -> bool:
        self._busy = {future: each for future, each in self._busy.items() if not future.done()}
        free = self._threads - len(self._busy)
        if free <= 0:
            return False
        suspects = max(1, self._threads // 2) - sum(suspect for _, suspect in self._busy.values())
        now = uptime.seconds()
        with transaction() as conn:
            claimed = sending.claim(conn, self.name, free, suspects=min(free, max(0, suspects)))
        for queue, suspect in claimed:
            held = Held(queue, now)
            future = self._pool.submit(serve, held, stopping)
            self._busy[future] = held, suspect
            future.add_done_callback(lambda _: self._free.set())
        return len(claimed) == free

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(sending.lease_seconds() / 4):
            try:
                busy = [held for future, (held, _) in list(self._busy.items()) if not future.done()]
                if busy:
                    renew([held for held in busy if not held.lost.is_set()])
            except Exception:
                log.warning("could not keep leases alive; trying again", exc_info=True)


def serve(held: Held, stopping: threading.Event) -> None:
    """Send what is due on a claimed queue, for a turn. Whatever goes wrong here, the lease lapses and it is sent again."""
    try:
        _turn(held, stopping)
    except Exception:
        log.exception("queue %s broke off; it goes on when its lease has lapsed", held.queue.id)


def _turn(held: Held, stopping: threading.Event) -> None:
    began, parcel, failures = time.monotonic(), *_first(held)
    for count in range(1, TURN_DELIVERIES + 1):
        outcome = send(held, parcel, failures) if parcel is not None else None
        if parcel is None or outcome is None:
            return
        failures = 0 if outcome.delivered else failures + 1
        over = count == TURN_DELIVERIES or time.monotonic() - began > TURN_SECONDS or stopping.is_set()
        parcel = _recorded(held, parcel, outcome, stopping, over=over)


def send(held: Held, parcel: Parcel, failures: int) -> SendResult | None:
    """Send one delivery, if the queue is held. None: it is not, and nothing was sent."""
    if not held.sure():
        return None
    reached("deliver:before")
    begun = time.perf_counter()
    outcome = post.deliver(parcel, failures, wordings.writer_of(parcel))
    figures.DELIVERIES.note(time.perf_counter() - begun, parcel.channel, outcome_of(outcome))
    if not parcel.attempts:
        figures.DELIVERY_LAG.note(max(0.0, time.time() - parcel.created_at.timestamp()), parcel.channel)
    reached("deliver:sent")
    return outcome


def outcome_of(result: SendResult) -> str:
    """What an attempt is called among figures: `arrived`, `again` (another follows), `given_up` or `gone`."""
    if result.delivered:
        return "arrived"
    return "gone" if result.gone else "given_up" if result.again_after is None else "again"


def _first(held: Held) -> tuple[Parcel | None, int]:
    held.renewed_at, queue = uptime.seconds(), held.queue
    with transaction() as conn:
        return sending.take(conn, queue), sending.failures(conn, queue)


def _recorded(
    held: Held, parcel: Parcel, outcome: SendResult, stopping: threading.Event, *, over: bool
) -> Parcel | None:
    """Write down what became of one and take the next, in one transaction; as often as it takes, while the queue is held.
    What was written by a commit whose own answer was lost is not written again.
    """
    failed = 0
    while True:
        now = uptime.seconds()
        try:
            parcel_after = _record(held.queue, parcel, outcome, over=over)
        except (Busy, Unavailable, CommitUnknown) as error:
            failed += 1
            if held.lost.is_set() or (stopping.is_set() and failed > STOPPING_TRIES):
                raise
            log.warning("delivery %s: the answer is not written yet: %s", parcel.id, error)
            time.sleep(min(WRITE_PAUSE * failed, PROBLEM_PAUSE))
        else:
            held.renewed_at = now
            return parcel_after


def _record(queue: HeldQueue, parcel: Parcel, outcome: SendResult, *, over: bool) -> Parcel | None:
    with transaction() as conn:
        if not sending.record(conn, queue, parcel, outcome):
            return None
        if over:
            sending.release(conn, queue)
            return None
        return sending.take(conn, queue)


def main(argv: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    starting.run("the sender", lambda: _serve(argv), part="deliver", health=health)


def health() -> Health:
    """What a sender needs."""
    return Health(reaching.database(reaching.DatabaseLook()))


def _serve(argv: list[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.deliver", description=__doc__)
    parser.add_argument("--threads", type=int, default=settings().deliver_threads)
    options = parser.parse_args(argv)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    scratch.tidy()
    db.size_pool(max(settings().database_pool_size, options.threads // 2))
    sender = Sender(options.threads)
    log.info("sender %s has %d threads", sender.name, options.threads)
    sender.run(stopping)
    db.close()
