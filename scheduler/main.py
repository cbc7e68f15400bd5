"""A scheduler process: `python -m scheduler`. Any number may run: a duty's turn is taken in the database, and every
duty checks again under its locks.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common import scratch
from common.faultpoints import reached
from common.settings import settings
from common.telemetry import figures
from common.telemetry.health import Dependency, Health
from models import db, starting
from models.db import transaction
from models.fleet import processes, reaching
from models.usage.business import Business
from scheduler.duties import (
    accounts,
    archiving,
    batches,
    books,
    cdn,
    gallery,
    jobs,
    operations,
    payments,
    results,
    retention,
    texts,
    uploads,
    usage,
)
from scheduler.duties.clock import Watch
from scheduler.turns import Did
from scheduler.watching import watch
from storage.s3 import reach
from workers import doorbell

log = logging.getLogger("scheduler")

MAX_BATCHES = 20  # per turn: a duty with a large backlog lets go and goes on at once, so that it can be stopped
NOTE_SECONDS = 10.0  # how often it is noted how duties that are not exclusive go
FAILED_SECONDS = 30.0  # until the next turn after one that failed: what stood in its way is mostly over by then


class Duty(NamedTuple):
    """What is done how often. `exclusive`: at most one scheduler runs it at a time; the others may be run by all at once. `steady`: not while
    the database's clock has just jumped, since it takes something away or ends something when a time has passed.
    """

    name: str
    every_seconds: float
    function: Callable[[int], int]
    batch: int
    exclusive: bool = True
    steady: bool = True


def duties() -> tuple[Duty, ...]:
    """The table of duties."""
    tick = settings().scheduler_tick_seconds
    return (
        Duty("ring_due", tick, jobs.ring_due, 500, exclusive=False, steady=False),
        Duty("retry_due", tick, jobs.retry_due, 200, exclusive=False, steady=False),
        Duty("rescue", 1, jobs.rescue, 200, exclusive=False),
        Duty("fill_slots", 30, jobs.fill_slots, 200, steady=False),
        Duty("let_batches_go", tick, batches.let_batches_go, 200, exclusive=False, steady=False),
        Duty("end_batches", 1, batches.end_batches, 200, steady=False),
        Duty("release_pauses", 1, operations.release_pauses, 200),
        Duty("watch_spending", 10, operations.watch_spending, 1, steady=False),
        Duty("carry_out_bulk", 1, operations.carry_out_bulk, 50, steady=False),
        Duty("mend_wakes", 60, retention.mend_wakes, 500, steady=False),
        Duty("mend_messages", 60, retention.mend_messages, 1, exclusive=False, steady=False),
        Duty("expire_results", 5, results.expire_results, 5000),
        Duty("purge_results", 10, results.purge_results, 1000),
        Duty("tell_cdn", 2, cdn.tell_cdn, 600, steady=False),
        Duty("reap_strays", 60, results.reap_strays, 1000),
        Duty("keep_texts", 10, texts.keep_texts, 100),
        Duty("expire_uploads", 30, uploads.expire_uploads, 5000),
        Duty("purge_uploads", 30, uploads.purge_uploads, 1000),
        Duty("reap_uploads", 300, uploads.reap_uploads, 1000),
        Duty("reap_inputs", 300, uploads.reap_inputs, 1000),
        Duty("abort_uploads", 3600, results.abort_uploads, 1000),
        Duty("expire_holds", 5, accounts.expire_holds, 200),
        Duty("expire_grants", 30, accounts.expire_grants, 200),
        Duty("grant_periods", 30, accounts.grant_periods, 200),
        Duty("expire_subscriptions", 30, accounts.expire_subscriptions, 200),
        Duty("look_at_payments", 1, payments.look_at_payments, 64, exclusive=False, steady=False),
        Duty("order_refills", 5, payments.order_refills, 200),
        Duty("end_renewals", 600, payments.end_renewals, 50),
        Duty("clear_deleted", 10, accounts.clear_deleted, 50),
        Duty("erase_persons", 10, accounts.erase_persons, 20),
        Duty("announce", 2, accounts.announce, 100, steady=False),
        Duty("add_up_usage", 1, usage.add_up_usage, 2000, steady=False),
        Duty("index_results", 1, gallery.index_results, 500, steady=False),
        Duty("forget_items", 30, gallery.forget_items, 2000),
        Duty("mark_shut", 5, gallery.mark_shut, 2000),
        Duty("make_partitions", 3600, retention.make_partitions, 1, steady=False),
        Duty("drop_partitions", 3600, retention.drop_partitions, 100),
        Duty("archive", archiving.EVERY_SECONDS, archiving.archive, 1),
        Duty("forget_inbound", 3600, retention.forget_inbound, 1000),
        Duty("forget_keys", 300, retention.forget_keys, 5000),
        Duty("forget_callbacks", 60, retention.forget_callbacks, 1000),
        Duty("forget_notifications", 3600, retention.forget_notifications, 5000),
        Duty("forget_workers", 60, retention.forget_workers, 1000),
        Duty("forget_delivery_queues", 3600, retention.forget_delivery_queues, 1000),
        Duty("forget_api_keys", 3600, retention.forget_api_keys, 1000),
        Duty("forget_tokens", 300, retention.forget_tokens, 5000),
        Duty("forget_uploads", 3600, retention.forget_uploads, 1000),
        Duty("erase_prompts", 300, retention.erase_prompts, 500),
        Duty("forget_jobs", 300, retention.forget_jobs, 500),
        Duty("forget_acts", 3600, retention.forget_acts, 1000),
        Duty("audit", 3600, books.prove_books, 1, steady=False),
    )


def run_turn(duty: Duty, watch: Watch | None = None) -> Did:
    """Do a duty's turn, if this process has it: batches until one is not full. Returns how much was done, and whether
    there is more to do at once. One batch's failure is noted; the next turn tries again, and comes soon.
    """
    if watch is not None and not watch.settled() and duty.steady:
        return Did(0)
    if duty.exclusive:
        with transaction() as conn:
            if not processes.take_turn(conn, duty.name, duty.every_seconds):
                return Did(0)
    begun = time.perf_counter()
    reached(f"{duty.name}:begun")
    done, errors, more, again_seconds = 0, list[str](), False, None
    try:
        for _ in range(MAX_BATCHES):
            batch = duty.function(duty.batch)
            did = batch if isinstance(batch, Did) else Did(batch, more=batch >= duty.batch)
            done, more = done + did, did.more
            errors += did.errors
            reached(f"{duty.name}:batch")
            if not more:
                break
    except Exception as problem:
        log.exception("duty %s failed; its next turn tries again", duty.name)
        errors.append(f"{type(problem).__name__}: {problem}")
        more, again_seconds = False, FAILED_SECONDS
    if done or errors or duty.exclusive:  # most turns of those that look several times a second find nothing
        figures.TURNS.note(time.perf_counter() - begun, duty.name, "failed" if errors else "ok")
        figures.DONE.add(duty.name, amount=done)
    if duty.exclusive:
        with transaction() as conn:
            processes.end_turn(conn, duty.name, done, error_to_note(errors), again_seconds=0 if more else again_seconds)
    return Did(done, more=more, errors=errors)


def error_to_note(errors: Sequence[str]) -> str | None:
    """What is noted of a turn's errors: how many, and the first."""
    if not errors:
        return None
    return (errors[0] if len(errors) == 1 else f"{len(errors)} errors, the first: {errors[0]}")[:500]


def _serve(duty: Duty, stopping: threading.Event, watch: Watch) -> None:
    # A thread per duty: a long audit must not hold up the ringing of jobs.
    noted_at = float("-inf")
    while not stopping.is_set():
        did = Did(0)
        try:
            did = run_turn(duty, watch)
            if not duty.exclusive and (did.errors or time.monotonic() - noted_at > NOTE_SECONDS):
                noted_at = time.monotonic()
                with transaction() as conn:
                    processes.note_turn(
                        conn, duty.name, NOTE_SECONDS + duty.every_seconds, did, error_to_note(did.errors)
                    )
        except Exception:
            log.exception("duty %s could not be begun; trying again", duty.name)
        if not did.more:
            stopping.wait(min(duty.every_seconds, 5.0) if duty.exclusive else duty.every_seconds)


def run(stopping: threading.Event) -> None:
    """Do all duties until `stopping` is set. Raises RuntimeError where a duty's thread has died: the process is to end
    then, and whoever supervises it starts it again.
    """
    scratch.tidy()
    watch(Business())
    clock = Watch()
    threads = [
        threading.Thread(target=_serve, args=(duty, stopping, clock), name=duty.name, daemon=True) for duty in duties()
    ]
    for thread in threads:
        thread.start()
    log.info("scheduler has %d duties", len(threads))
    dead: list[str] = []
    while not stopping.wait(1) and not dead:
        dead = [thread.name for thread in threads if not thread.is_alive()]
    stopping.set()
    for thread in threads:
        thread.join(timeout=10)
    doorbell.close()
    db.close()
    if dead:
        raise RuntimeError(f"the thread of duty {dead[0]} has died; the process ends, to be started again")


def health() -> Health:
    """What a scheduler needs and uses."""
    return Health(
        reaching.database(reaching.DatabaseLook()),
        reaching.redis(needed=False),
        *reaching.broker(needed=False),
        Dependency("storage", reach, needed=False),
    )


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    starting.run("the scheduler", lambda: run(stopping), part="scheduler", health=health)
