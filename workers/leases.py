"""Leases are kept alive by a thread of their own, so that a step may take longer than its lease without losing it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from models import fleet, runs
from models.db import transaction
from models.runs import Claim
from models.settings import settings
from workers.enqueue import ring

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # how often cancel requests are looked for while a job is held


class Hold:
    """A claim while a worker thread works under it. `stop` is set when the job is to be canceled or the lease is lost."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.stop = threading.Event()
        self.lost = False


class Keeper:
    """Extends this process's leases, notices cancel requests, and reports the process and its threads."""

    def __init__(self, worker_id: str, queues: str, threads: int) -> None:
        self._worker_id = worker_id
        self._queues = queues
        self._threads = threads
        self._holds: dict[UUID, Hold] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
        self.threads_alive: Callable[[], int] = lambda: threads  # replaced by who runs the threads

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give back what is still held, and say goodbye."""
        self._ending.set()
        self._thread.join(timeout=10)
        for hold in self._current():
            hold.stop.set()
            with transaction() as conn:
                rung = runs.release(conn, hold.claim)
            ring([rung] if rung else [])
        with transaction() as conn:
            fleet.forget_worker(conn, self._worker_id)

    @property
    def alive(self) -> bool:
        """Whether its thread runs: without it every lease lapses."""
        return self._thread.is_alive()

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Hold]:
        """Keep a claim's lease alive inside the block."""
        held = Hold(claim)
        if claim.cancel_requested:
            held.stop.set()
        with self._lock:
            self._holds[claim.job_id] = held
        try:
            yield held
        finally:
            with self._lock:
                if self._holds.get(claim.job_id) is held:
                    del self._holds[claim.job_id]

    def _current(self) -> list[Hold]:
        with self._lock:
            return list(self._holds.values())

    def _run(self) -> None:
        extend_every = settings().lease_seconds / 4
        look_every = min(LOOK_SECONDS, extend_every)
        since_extend = extend_every  # report at once
        while not self._ending.wait(look_every):
            since_extend += look_every
            holds = self._current()
            try:
                if since_extend >= extend_every:
                    since_extend = 0.0
                    self._extend(holds)
                elif holds:
                    self._look(holds)
            except Exception:
                log.warning("could not keep leases alive; trying again", exc_info=True)

    def _extend(self, holds: list[Hold]) -> None:
        with transaction() as conn:
            fleet.report_worker(conn, self._worker_id, self._queues, self._threads, self.threads_alive(), len(holds))
            held = runs.extend(conn, [(h.claim.job_id, h.claim.token, h.claim.owner) for h in holds])
        for hold in holds:
            if hold.claim.job_id not in held:
                hold.lost = True
            if hold.lost or held[hold.claim.job_id]:
                hold.stop.set()

    def _look(self, holds: list[Hold]) -> None:
        with transaction() as conn:
            canceled = runs.cancel_requests(conn, [hold.claim.job_id for hold in holds])
        for hold in holds:
            if hold.claim.job_id in canceled:
                hold.stop.set()
