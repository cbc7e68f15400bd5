"""Leases are kept alive by a thread of their own, so that a step may take longer than its lease without losing it."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from uuid import UUID

from common import uptime
from common.settings import settings
from models.db import transaction
from models.fleet import processes
from models.jobs import polls, steps
from models.jobs.polls import StillPending
from models.jobs.rescues import Slot
from models.jobs.steps import Claim
from workers.doorbell import ring
from workers.persist import persist

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # how often cancel requests are looked for while a job is held
_VERSION = version("headrace")
FRESH_SECONDS = 1.0  # how old the database's word that a job is ours may be in the line before its call


class NotCalled(Exception):
    """The call that was to begin a generation was not made, and is not to be. Its message says why."""


class LeaseLost(NotCalled):
    """Somebody else has the job now: stop before the next side effect."""


class Hold:
    """A claim while a worker thread works under it. `stop` is set when the job is to be canceled."""

    def __init__(self, claim: Claim, stopping: threading.Event | None = None) -> None:
        self.claim = claim
        self.stop = threading.Event()
        self.lost = False
        self.called = False  # the provider may have been called since the claim
        self.alone = False  # nobody but this thread can learn what it is told
        self.handed = False  # whoever writes its end lets go of it, not the step that decided it
        self.waits = False  # no thread has taken it up yet
        self.slot: Slot | None = None  # taken at a provider under this claim
        self.released = False  # the slot, or that of an earlier claim
        # Takes the answer of a claim that was leased together with others, and lets go of it soon, together with others.
        self.let_wait: Callable[[StillPending], None] | None = None
        self._confirmed_at = claim.claimed_at
        self._stopping = stopping or threading.Event()

    def confirm(self) -> None:
        """Make sure, in the last line before a call, that the job is still ours: a process may have been paused since it
        knew. Raises NotCalled, LeaseLost.
        """
        if self._stopping.is_set():
            raise NotCalled("the worker stops")
        while uptime.seconds() - self._confirmed_at > FRESH_SECONDS and not self.lost:
            self._extend()
        if self.lost:
            raise LeaseLost("another worker has the job")
        if self.stop.is_set() and self.claim.begins and not self.called:
            raise NotCalled("the job was canceled before the call")
        self.called = True

    @property
    def stopping(self) -> bool:
        """Whether the process is to end."""
        return self._stopping.is_set()

    def _extend(self) -> None:
        claim, before = self.claim, uptime.seconds()
        held = persist(lambda conn: steps.extend(conn, [(claim.job_id, claim.token, claim.owner)]))
        self.keep(before, held.get((claim.job_id, claim.token)))

    def keep(self, asked_at: float, canceled: bool | None) -> None:
        """The database's word on the lease, as of `asked_at`. `canceled` None: it is not ours any more."""
        if canceled is None:
            self.lost = True
        else:
            self._confirmed_at = max(self._confirmed_at, asked_at)
            if canceled:
                self.stop.set()


class Keeper:
    """Extends this process's leases, notices cancel requests, and reports the process and its threads."""

    def __init__(self, worker_id: str, queues: str, threads: int) -> None:
        self._worker_id = worker_id
        self._queues = queues
        self._threads = threads
        self._holds: set[Hold] = set()  # one job's may be two: its lease was lost, and it was claimed here again
        # Claims whose answer was lost, and since when; without a job those of many together.
        self._doubtful: dict[tuple[UUID | None, str], float] = {}
        self._claims = itertools.count(1)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self.stopping = threading.Event()  # no call is begun any more
        self.drained = threading.Event()  # an operator wants no more jobs to be taken here
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
        self.threads_alive: Callable[[], int] = lambda: threads  # replaced by who runs the threads

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give back what is still held, and say goodbye."""
        self._ending.set()
        self._thread.join(timeout=10)
        try:
            for hold in self._current():
                claim = hold.claim
                with transaction() as conn:
                    # No call is begun any more: an attempt that was not called leaves nothing to be asked about.
                    uncalled = claim.begins and not hold.called
                    rung = steps.give_back(conn, claim.job_id, claim.owner) if uncalled else steps.release(conn, claim)
                ring([rung] if rung else [])
            with transaction() as conn:
                processes.forget_worker(conn, self._worker_id)
        except Exception:
            log.warning("what is held is not given back; it is rescued when its lease has lapsed", exc_info=True)

    def busy(self) -> int:
        """How many claims threads work on, besides polls."""
        return sum(hold.let_wait is None for hold in self._current())

    def waits_alone(self) -> bool:
        """Whether a thread holds, or waits for, an answer that nobody could ask for again."""
        return any(hold.alone for hold in self._current())

    def owner(self, *, together: bool = False) -> str:
        """In whose name a claim is made: another for each, so that one whose answer was lost is told from all others. Those
        that are made `together` have one.
        """
        return f"{self._worker_id}#{next(self._claims)}{steps.TOGETHER if together else ''}"

    def doubt(self, job_id: UUID | None, owner: str) -> None:
        """The answer to a claim was lost: if it was made, it is given back, since no thread works under it. None: to many
        that were made together.
        """
        with self._lock:
            self._doubtful[job_id, owner] = uptime.seconds()

    @property
    def alive(self) -> bool:
        """Whether its thread runs: without it every lease lapses."""
        return self._thread.is_alive()

    def take(self, claim: Claim, *, waits: bool = False) -> Hold:
        """Keep a claim's lease alive until it is dropped; or, where it `waits` for a thread, for no longer than one lease."""
        held = Hold(claim, self.stopping)
        held.waits = waits
        if claim.cancel_requested:
            held.stop.set()
        with self._lock:
            self._holds.add(held)
        return held

    def take_up(self, hold: Hold) -> bool:
        """A thread works under it now. False: it came too late."""
        with self._lock:
            hold.waits = False
            return hold in self._holds

    def free(self) -> int:
        """How many threads have nothing to do, as far as is known."""
        return self._threads - sum(not hold.handed and hold.let_wait is None for hold in self._current())

    @contextmanager
    def held(self, hold: Hold) -> Iterator[Hold]:
        """Drop a hold at the end of the block, unless it was handed on."""
        try:
            yield hold
        finally:
            if not hold.handed:
                self.drop(hold)

    def drop(self, hold: Hold) -> None:
        """Keep a lease alive no more."""
        with self._lock:
            self._holds.discard(hold)

    def _current(self) -> list[Hold]:
        with self._lock:
            return list(self._holds)

    def _run(self) -> None:
        extend_every = settings().lease_seconds / 4
        look_every = min(LOOK_SECONDS, extend_every)
        since_extend = extend_every  # report at once
        while not self._ending.wait(look_every):
            since_extend += look_every
            self._drop_waiting()
            holds = self._current()
            try:
                if since_extend >= extend_every:
                    since_extend = 0.0
                    self._extend(holds)
                    self._give_back()
                elif holds:
                    self._look(holds)
            except Exception:
                log.warning("could not keep leases alive; trying again", exc_info=True)
                since_extend = extend_every  # at the next look, not a quarter of a lease later

    def _drop_waiting(self) -> None:
        """A claim that no thread takes up lapses: its message may be lost, and the job is to be rescued."""
        longest = settings().lease_seconds
        with self._lock:
            self._holds -= {
                each for each in self._holds if each.waits and uptime.seconds() - each.claim.claimed_at > longest
            }

    def _extend(self, holds: list[Hold]) -> None:
        before = uptime.seconds()
        worked = [hold.claim.job_id for hold in holds if hold.let_wait is None]
        with transaction() as conn:
            drained = processes.report_worker(
                conn, self._worker_id, self._queues, self._threads, self.threads_alive(), len(worked),
                jobs=worked, version=_VERSION,
            )  # fmt: skip
            held = steps.extend(conn, [(h.claim.job_id, h.claim.token, h.claim.owner) for h in holds])
        if drained:
            self.drained.set()
        for hold in holds:
            hold.keep(before, held.get((hold.claim.job_id, hold.claim.token)))

    def _look(self, holds: list[Hold]) -> None:
        with transaction() as conn:
            canceled = steps.cancel_requests(conn, [hold.claim.job_id for hold in holds])
        for hold in holds:
            if hold.claim.job_id in canceled:
                hold.stop.set()

    def _give_back(self) -> None:
        """Give back doubtful claims. Each is looked for as long as a lease lasts: a commit may arrive late."""
        with self._lock:
            doubtful = dict(self._doubtful)
        for (job_id, owner), since in doubtful.items():
            rung = None
            with transaction() as conn:
                if job_id is None:
                    found = polls.give_back_lease(conn, owner) > 0
                else:
                    rung = steps.give_back(conn, job_id, owner)
                    found = rung is not None
            ring([rung] if rung else [])
            if found or uptime.seconds() - since > settings().lease_seconds:
                with self._lock:
                    del self._doubtful[job_id, owner]
