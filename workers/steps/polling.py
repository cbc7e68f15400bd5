"""Polls that are due, taken together: without a message, and without a statement, for each.

One thread leases them, a batch at a time, and lets go of those whose answers tell nothing new; a few others ask the
providers. What an answer changes is written, and what follows from it done, as any step under the same claim. What comes
too slowly is rung by the scheduler (`models.jobs.ringing`), and is a step of the worker's other threads.
"""

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from queue import SimpleQueue

from common import logs
from common.faultpoints import reached
from common.settings import settings
from common.telemetry import traces
from models.db import single
from models.jobs import polls
from models.jobs.polls import StillPending
from models.jobs.steps import Claim
from workers.leases import Hold, Keeper
from workers.steps.advance import Advance
from workers.steps.records import let_wait

log = logging.getLogger(__name__)

AT_ONCE = 16  # polls that are held, for each thread that asks


class Poller:
    """The polls of one worker process. Begins none while the process stops, or is drained."""

    def __init__(self, advance: Advance, keeper: Keeper, queues: Sequence[str], threads: int) -> None:
        self._advance, self._keeper, self._queues = advance, keeper, list(queues)
        self._most = AT_ONCE * threads
        self._asked: SimpleQueue[Hold | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._held: set[Hold] = set()
        self._answers: dict[Hold, StillPending] = {}
        self._idle = threading.Event()  # all that was taken has been asked about
        self._threads = [threading.Thread(target=self._lead, name="poller", daemon=True)] + [
            threading.Thread(target=self._ask, name=f"poller {number}", daemon=True) for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def dead(self) -> list[str]:
        """The threads that run no more, though they are to."""
        return [] if self._ends else [thread.name for thread in self._threads if not thread.is_alive()]

    @property
    def has_ended(self) -> bool:
        """Whether nothing is held any more; after the worker stops, or is drained."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def _ends(self) -> bool:
        return self._keeper.stopping.is_set() or self._keeper.drained.is_set()

    # The thread that leases and lets go

    def _lead(self) -> None:
        while not self._ends or self._held:
            more = False
            try:
                self._let_go()
                more = not self._ends and self._take()
            except Exception:
                log.warning("polls that are due are left to other workers for a moment", exc_info=True)
            if more:
                self._idle.wait(settings().scheduler_tick_seconds)
                self._idle.clear()
            else:
                time.sleep(settings().scheduler_tick_seconds)
        for _ in self._threads[1:]:
            self._asked.put(None)

    def _let_go(self) -> None:
        with self._lock:
            answers, self._answers = self._answers, {}
        try:
            if answers:
                let_wait(list(answers.values()))
        finally:  # a lease that could not be given up lapses
            for hold in answers:
                self._leave(hold)

    def _take(self) -> bool:
        """Lease what is due, if there is room for it. Returns whether there may be more."""
        room = self._most - len(self._held)
        if room < self._most / 2:
            return True
        claims = self._lease(room)
        for claim in claims[:1]:  # all in one answer
            self._advance.hear(claim)
        for claim in claims:
            hold = self._keeper.take(claim)
            hold.let_wait = partial(self._note, hold)
            with self._lock:
                self._held.add(hold)
            self._asked.put(hold)
        return len(claims) == room

    def _lease(self, limit: int) -> list[Claim]:
        owner = self._keeper.owner(together=True)
        try:
            with single() as conn:
                claims = polls.lease(conn, owner, self._queues, limit)
        except Exception:
            self._keeper.doubt(None, owner)
            raise
        if claims:
            reached("leased")
        return claims

    def _note(self, hold: Hold, answer: StillPending) -> None:
        with self._lock:
            self._answers[hold] = answer

    def _leave(self, hold: Hold) -> None:
        if not hold.handed:
            self._keeper.drop(hold)
        with self._lock:
            self._held.discard(hold)

    # The threads that ask

    def _ask(self) -> None:
        while (hold := self._asked.get()) is not None:
            try:
                self._step(hold)
            except Exception:
                log.exception("a poll of job %s failed; its lease lapses", hold.claim.job_id)
            if hold not in self._answers:  # or it was let go of already
                self._leave(hold)
            if self._asked.empty():
                self._idle.set()

    def _step(self, hold: Hold) -> None:
        claim = hold.claim
        if self._ends:  # it was not asked about: another worker's turn
            self._note(hold, StillPending(claim, 0.0))
            return
        with (
            traces.span("step", claim.job_id, kind="consumer") as mark,
            logs.bound(job=claim.job_id, account=claim.account_id, attempt=claim.attempts),
        ):
            mark.note({"headrace.attempt": claim.attempts, "headrace.queue": claim.queue})
            self._advance.work(hold)
