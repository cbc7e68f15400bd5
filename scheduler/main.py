"""A scheduler process: `python -m scheduler`. Any number may run: a duty's turn is taken in the database, and every
duty checks again under its locks.
"""

import logging
import signal
import threading
from collections.abc import Callable
from typing import NamedTuple

from common import scratch
from common.faultpoints import reached
from models import db, fleet
from models.db import transaction
from models.settings import settings
from scheduler import accounts, jobs, results, upkeep, uploads
from workers import enqueue

log = logging.getLogger("scheduler")

MAX_BATCHES = 20  # per turn: a duty with a large backlog lets go and goes on at once, so that it can be stopped


class Duty(NamedTuple):
    """What is done how often. `turns`: only one process at a time; the others are as good at once."""

    name: str
    every_seconds: float
    function: Callable[[int], int]
    batch: int
    turns: bool = True


def duties() -> tuple[Duty, ...]:
    """The table of duties."""
    tick = settings().scheduler_tick_seconds
    return (
        Duty("ring_due", tick, jobs.ring_due, 500, turns=False),
        Duty("retry_due", tick, jobs.retry_due, 200, turns=False),
        Duty("rescue", 1, jobs.rescue, 200, turns=False),
        Duty("fill_slots", 30, jobs.fill_slots, 200),
        Duty("expire_results", 5, results.expire_results, 5000),
        Duty("purge_results", 10, results.purge_results, 1000),
        Duty("reap_strays", 60, results.reap_strays, 1000),
        Duty("expire_uploads", 30, uploads.expire_uploads, 5000),
        Duty("purge_uploads", 30, uploads.purge_uploads, 1000),
        Duty("reap_uploads", 300, uploads.reap_uploads, 1000),
        Duty("reap_inputs", 300, uploads.reap_inputs, 1000),
        Duty("abort_uploads", 3600, results.abort_uploads, 1000),
        Duty("expire_grants", 30, accounts.expire_grants, 200),
        Duty("grant_periods", 30, accounts.grant_periods, 200),
        Duty("expire_subscriptions", 30, accounts.expire_subscriptions, 200),
        Duty("clear_deleted", 10, accounts.clear_deleted, 50),
        Duty("announce", 2, accounts.announce, 100),
        Duty("make_partitions", 3600, upkeep.make_partitions, 1),
        Duty("drop_partitions", 3600, upkeep.drop_partitions, 100),
        Duty("forget_inbound", 3600, upkeep.forget_inbound, 1000),
        Duty("forget_keys", 300, upkeep.forget_keys, 5000),
        Duty("forget_callbacks", 60, upkeep.forget_callbacks, 1000),
        Duty("forget_notifications", 3600, upkeep.forget_notifications, 5000),
        Duty("forget_workers", 60, upkeep.forget_workers, 1000),
        Duty("audit", 3600, upkeep.audit, 1),
    )


def run_turn(duty: Duty) -> int:
    """Do a duty's turn, if this process has it: batches until one is not full. Returns how much was done."""
    if duty.turns:
        with transaction() as conn:
            if not fleet.take_turn(conn, duty.name, duty.every_seconds):
                return 0
    reached(f"{duty.name}:begun")
    done, error = 0, None
    try:
        for _ in range(MAX_BATCHES):
            batch = duty.function(duty.batch)
            done += batch
            reached(f"{duty.name}:batch")
            if batch < duty.batch:
                break
    except Exception as problem:
        log.exception("duty %s failed; its next turn tries again", duty.name)
        error = f"{type(problem).__name__}: {problem}"[:500]
    if duty.turns:
        with transaction() as conn:
            fleet.end_turn(conn, duty.name, done, error)
    return done


def _serve(duty: Duty, stopping: threading.Event) -> None:
    # A thread per duty: a long audit must not hold up the ringing of jobs.
    while not stopping.is_set():
        done = 0
        try:
            done = run_turn(duty)
        except Exception:
            log.exception("duty %s could not be begun; trying again", duty.name)
        full = done >= duty.batch * MAX_BATCHES
        stopping.wait(0 if full else min(duty.every_seconds, 5.0))


def run(stopping: threading.Event) -> None:
    """Do all duties until `stopping` is set."""
    scratch.tidy()
    threads = [threading.Thread(target=_serve, args=(duty, stopping), name=duty.name, daemon=True) for duty in duties()]
    for thread in threads:
        thread.start()
    log.info("scheduler has %d duties", len(threads))
    stopping.wait()
    for thread in threads:
        thread.join(timeout=10)
    enqueue.close()
    db.close()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    run(stopping)
