"""Ends of one process: those that come while another is written are written together, and no thread waits for them.

An end that comes while nobody ends anything is written by its own thread, at once. The others are handed over with their
holds, which the keeper goes on to keep: what is killed between the upload and the end is collected by whoever rescues it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID

from common import logs
from common.errors import Unavailable
from common.telemetry import traces
from models.db import CommitUnknown, single
from models.jobs import ending
from models.jobs.ending import ClaimedEnd, Ended, Ending, Undone
from models.jobs.facts import FactResult
from models.jobs.states import JobStatus
from workers.leases import Hold, Keeper
from workers.persist import is_passing, persist

log = logging.getLogger(__name__)

MAX_GROUP = 32  # ends of one transaction, which holds their accounts meanwhile
MAX_WAITING = 128  # beyond, each thread writes its own

Fact = Callable[[], FactResult]
EndResult = Ended | Undone | None | Exception


class HandedEnd(NamedTuple):
    """A job's end, the hold under which it is decided, and the fact that it rests on."""

    hold: Hold
    ending: Ending
    fact: Fact | None


class Writer(Protocol):
    """Who writes single ends, and does what follows from those that were written together."""

    def end_alone(self, handed: HandedEnd) -> None:
        """End one job, and do what follows."""

    def tell(self, ends: Sequence[tuple[HandedEnd, Ended]]) -> None:
        """Ring what was dispatched by ends that are written, and wake those who listen. Does not raise."""

    def conclude(self, handed: HandedEnd, ended: Ended | None) -> None:
        """Do what else follows from an end that is written, or whose claim was lost."""

    def put_off(self, handed: HandedEnd, error: Exception) -> None:
        """The end could not be written: it is decided again later."""

    def let_go(self, hold: Hold, error: Exception) -> None:
        """Something failed in a way that nobody foresaw."""


class Ender:
    """Ends jobs."""

    def __init__(self, keeper: Keeper, writer: Writer) -> None:
        self._keeper = keeper
        self._writer = writer
        self._waiting: deque[HandedEnd] = deque()
        self._changed = threading.Condition()
        self._under_way = 0  # threads that write ends
        self._thread: threading.Thread | None = None

    def end(self, handed: HandedEnd) -> None:
        """End the job now, or soon, together with others."""
        with self._changed:
            joins = (
                self._under_way > 0 and len(self._waiting) < MAX_WAITING and ending.may_be_grouped(handed.ending.ended)
            )
            if joins:
                handed.hold.handed = True
                self._waiting.append(handed)
                self._start()
                self._changed.notify_all()
            else:
                self._under_way += 1
        if joins:
            return
        try:
            self._writer.end_alone(handed)
        finally:
            self._leave()

    def busy(self) -> bool:
        """Whether an end is not written yet."""
        with self._changed:
            return bool(self._waiting) or self._under_way > 0

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._serve, name="ender", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                group = [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]
                self._under_way += 1
            try:
                self._write_together(group)
            finally:
                self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._under_way -= 1

    def _write_together(self, group: Sequence[HandedEnd]) -> None:
        begun_ns = time.time_ns()
        results = _written(group)
        if traces.is_on():
            traces.note_each("settle", [each.hold.claim.job_id for each in group], begun_ns)
        both = list(zip(group, results, strict=True))
        self._writer.tell([(handed, result) for handed, result in both if isinstance(result, Ended)])
        lanes: dict[UUID | None, list[HandedEnd]] = {}
        for handed, result in both:
            if isinstance(result, Undone):  # seldom; an account that is locked is waited for by its own jobs alone
                lanes.setdefault(handed.hold.claim.account_id if result.why == "locked" else None, []).append(handed)
            elif isinstance(result, Exception):
                self._guarded(handed, partial(self._writer.put_off, handed, result))
            else:
                self._guarded(handed, partial(self._writer.conclude, handed, result))
        for lane in lanes.values():
            with self._changed:
                self._under_way += 1
            threading.Thread(target=self._write_lane, args=(lane,), name="ender-lane", daemon=True).start()

    def _write_lane(self, lane: Sequence[HandedEnd]) -> None:
        try:
            for handed in lane:
                self._guarded(handed, partial(self._writer.end_alone, handed))
        finally:
            self._leave()

    def _guarded(self, handed: HandedEnd, act: Callable[[], None]) -> None:
        """Do what is left to do for a job that was handed over, as its own thread would have, and let go of it."""
        claim = handed.hold.claim
        with logs.bound(job=claim.job_id, account=claim.account_id, attempt=claim.attempts):
            try:
                act()
            except Exception as error:  # noqa: BLE001 - said there
                self._writer.let_go(handed.hold, error)
            finally:
                self._keeper.drop(handed.hold)


def _written(group: Sequence[HandedEnd]) -> Sequence[EndResult]:
    """What became of ends that were written together. Where nobody knows, each job is read again: nothing is repeated, or done in
    want of an end, of one that has ended.
    """
    ends = [
        ClaimedEnd(claim.account_id, claim.job_id, each.ending, claim.token, claim.entry.on_cancel)
        for each in group
        for claim in [each.hold.claim]
    ]
    try:
        with single(wake=False) as conn:
            return ending.end_together(conn, ends)
    except CommitUnknown:
        log.warning("the answer to %d ends was lost; each job is looked at", len(ends))
        ended = persist(lambda conn: ending.read_ended(conn, [each.job_id for each in ends]))
        return [_found(each, ended.get(each.job_id)) for each in ends]
    except Unavailable as error:
        return [error] * len(ends)
    except Exception as error:
        log.warning("%d ends are written one by one: %s", len(ends), error, exc_info=not is_passing(error))
        return [Undone("failed")] * len(ends)


def _found(end: ClaimedEnd, status: JobStatus | None) -> EndResult:
    if status is None:
        return Undone("unknown")
    # As it was to end, so by us; what was dispatched then, the scheduler rings. Else somebody came first.
    return Ended(status, [], 0) if status == JobStatus(end.ending.ended) else None
