"""Queues with what is paused in them, worker processes, and the scheduler's duties."""

from datetime import datetime
from typing import Any, NamedTuple

from starlette.responses import Response

from api.console.site import Viewed, console_router
from api.sites.forms import REASON, ActForm, FormField, ask_first, carry_out
from api.sites.routing import Actor, Posted, shaped
from api.sites.wording import counted_as, lasting_seconds
from api.v1.admin_accounts import Because
from api.v1.admin_fleet import NewPause, PauseEnd
from models.access.audit_log import By
from models.db import certain, snapshot, transaction
from models.fleet import processes
from models.jobs import pauses
from models.jobs.pauses import KINDS, MAX_SECONDS
from models.operations import fleet_acts
from models.operations.overview import Overview, QueueView, overview
from models.operations.titles import account_names

router = console_router()

SILENT_SECONDS = 30.0
MAX_WORKER_NAME = 300
LATE_SECONDS = 120.0
QUEUE_WORDS = {"interactive": "somebody is looking", "batch": "nobody minds a minute"}
PAUSE_SPANS = (
    (60, "1 minute"),
    (900, "15 minutes"),
    (3600, "1 hour"),
    (4 * 3600, "4 hours"),
    (24 * 3600, "1 day"),
    (MAX_SECONDS, "7 days"),
)


@router.get("/queues")
def show_queues(page: Viewed) -> Response:
    """How they stand, who waits, what is paused."""
    with snapshot() as conn:
        found, paused, workers = overview(conn), pauses.list_pauses(conn), processes.workers(conn)
        names = account_names(conn, [each.account_id for each in found.waiting_accounts])
    return page.show(
        "queues.html", queues=found.queues, waiting=found.waiting_accounts, names=names, paused=paused, words=QUEUE_WORDS,
        threads={each.queue: _threads(each.queue, workers) for each in found.queues}, summary=queues_summary(found),
    )  # fmt: skip


def queues_summary(found: Overview) -> str:
    """How much there is, and at the present pace, how long the first jobs wait."""
    queued, running = sum(map(queued_in, found.queues)), sum(each.in_flight for each in found.queues)
    return f"{queued:,} queued, {running:,} running. " + " ".join(filter(None, map(_pace, found.queues)))


def queued_in(queue: QueueView) -> int:
    """All that has not begun, or begins again."""
    return queue.depth + queue.waiting + queue.delayed


def ended_in_minute(queue: QueueView) -> int:
    """Ends of the last minute."""
    return queue.succeeded_last_minute + queue.failed_last_minute + queue.canceled_last_minute


def _pace(queue: QueueView) -> str:
    queued, ended = queued_in(queue), ended_in_minute(queue)
    if not queued or not ended:
        return ""
    return f"At the present pace the {queue.queue} line is through in {lasting_seconds(60 * queued / ended)}."


class Threads(NamedTuple):
    """Threads that serve a queue."""

    busy: int
    alive: int
    processes: int


def _threads(queue: str, workers: list[dict[str, Any]]) -> Threads:
    serving = [each for each in workers if queue in each["queues"] and each["silent_seconds"] < SILENT_SECONDS]
    return Threads(sum(each["busy"] for each in serving), sum(each["threads_alive"] for each in serving), len(serving))


@router.get("/pauses/new")
def ask_pause(page: Viewed, what: str = "queue", name: str = "") -> Response:
    """What is to be held back."""
    return ask_first(page, pause_form(what, name), {"what": what, "name": name})


@router.post("/pauses")
def pause_something(page: Viewed, actor: Actor, fields: Posted) -> Response:
    """Hold it back for so long; what is paused already gets this time and reason."""
    form = pause_form(fields.get("what", ""), fields.get("name", ""))
    return carry_out(
        page,
        form,
        fields,
        lambda: _pause(actor, shaped(NewPause, fields, "what", "name", "seconds", "reason")),
        "paused",
    )


def _pause(actor: By, wish: NewPause) -> None:
    with certain() as conn:
        pauses.pause(conn, actor, wish.what, wish.name, wish.reason, seconds=wish.seconds)


def pause_form(what: str, name: str) -> ActForm:
    """The page that asks before something is paused."""
    kinds = tuple((each, each.capitalize()) for each in KINDS)
    return ActForm(
        f"Pause {what} {name}" if name else "Pause something",
        "What runs goes on. What waits keeps its place, new orders are accepted and wait too, and it all goes on by itself in the end.",
        "/pauses", "/queues", "Pause it", active="queues",
        fields=(
            FormField("what", "What", "select", what, options=kinds),
            FormField("name", "Which", value=name, hint="A queue\u2019s, model\u2019s or provider\u2019s name, or an account\u2019s whole id.", most=100, required=True),
            FormField("seconds", "For", "select", "3600", options=tuple((str(value), word) for value, word in PAUSE_SPANS)),
            REASON,
        ),
    )  # fmt: skip


@router.get("/pauses/resume")
def ask_resume(page: Viewed, what: str, name: str) -> Response:
    """Before it goes on."""
    return ask_first(page, resume_form(what, name), {"what": what, "name": name})


@router.post("/pauses/resume")
def resume_something(page: Viewed, actor: Actor, fields: Posted) -> Response:
    """End a pause now; what waited is dispatched soon."""
    form = resume_form(fields.get("what", ""), fields.get("name", ""))
    return carry_out(
        page, form, fields, lambda: _resume(actor, shaped(PauseEnd, fields, "what", "name", "reason")), "resumed"
    )


def _resume(actor: By, wish: PauseEnd) -> None:
    with certain() as conn:
        pauses.resume(conn, actor, wish.what, wish.name, wish.reason)


def resume_form(what: str, name: str) -> ActForm:
    """The page that asks before something goes on."""
    hidden = (FormField("what", "", "hidden", what), FormField("name", "", "hidden", name))
    return ActForm(
        f"Resume {what} {name}", "What waited is dispatched within seconds, account by account.", "/pauses/resume", "/queues",
        "Resume it", fields=(*hidden, REASON), active="queues",
    )  # fmt: skip


@router.get("/workers")
def show_workers(page: Viewed) -> Response:
    """The processes, by their own word, and what each is at."""
    with transaction() as conn:
        found = processes.workers(conn)
    return page.show(
        "workers.html", workers=found, states=[worker_state(each) for each in found], summary=_summary(found)
    )


@router.get("/workers/drain")
def ask_drain(page: Viewed, worker: str) -> Response:
    """Before a process takes no more jobs."""
    return ask_first(page, drain_form(worker), {"worker": worker})


@router.post("/workers/drain")
def drain_worker(page: Viewed, actor: Actor, fields: Posted) -> Response:
    """Have it take no more jobs, and end."""
    worker = fields.get("worker", "")[:MAX_WORKER_NAME]

    def work() -> None:
        reason = shaped(Because, fields, "reason").reason
        with certain() as conn:
            fleet_acts.drain_worker(conn, actor, worker, reason)

    return carry_out(page, drain_form(worker), fields, work, "drained")


def drain_form(worker: str) -> ActForm:
    """The page that asks before a worker is drained."""
    return ActForm(
        f"Drain {worker[:80]}", "It takes no more jobs, and ends once those that it is at have come to their end. Whoever supervises it may start another.",
        "/workers/drain", "/workers", "Drain it", fields=(FormField("worker", "", "hidden", worker), REASON), active="workers",
    )  # fmt: skip


def worker_state(worker: dict[str, Any]) -> str:
    """How a process stands."""
    if worker["silent_seconds"] >= SILENT_SECONDS:
        return "silent"
    if worker["drained_at"] is not None:
        return "draining"
    return "failed" if worker["threads_alive"] < worker["threads"] else "running" if worker["busy"] else "ok"


def _summary(workers: list[dict[str, Any]]) -> str:
    heard = [each for each in workers if each["silent_seconds"] < SILENT_SECONDS]
    busy, alive = sum(each["busy"] for each in heard), sum(each["threads_alive"] for each in heard)
    return f"{counted_as(len(heard), 'process', 'processes')} answer, {busy:,} of {alive:,} threads are busy."


class DutyTurns(NamedTuple):
    """A duty, how its last turn went and when the next one is."""

    name: str
    state: str
    started_at: datetime | None
    took_seconds: float | None
    done: int
    error: str | None
    next_at: datetime


@router.get("/scheduler")
def show_scheduler(page: Viewed) -> Response:
    """All duties with their last and next turn; what is wrong comes first."""
    with transaction() as conn:
        rows = processes.duty_turns(conn)
    now = page.now
    found = sorted((duty_turns(row, now) for row in rows), key=lambda each: (each.state == "ok", each.name))
    return page.show("scheduler.html", duties=found, wrong=[each for each in found if each.state != "ok"])


def duty_turns(row: dict[str, Any], now: datetime) -> DutyTurns:
    """As it is shown."""
    late = (now - row["next_at"]).total_seconds() > LATE_SECONDS
    began, over = row["started_at"], row["finished_at"]
    took = (over - began).total_seconds() if began is not None and over is not None and over >= began else None
    state = "failed" if row["error"] else "late" if late else "ok"
    return DutyTurns(row["name"], state, began, took, row["done"], row["error"], row["next_at"])
