"""The first page: whether anything needs somebody, whether work flows, whether the books are proven."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from api.console.drawing import Chart, Series, draw, times_of
from api.console.fleet import DutyTurns, duty_turns, ended_in_minute, queued_in, worker_state
from api.console.house import LastProof, last_proof, proven_rules
from api.console.site import Viewed, console_router
from api.services import services
from api.sites.wording import coarsely, counted_as, dollars, number, percent, until
from models.access import audit_log
from models.access.audit_log import AuditRow
from models.fleet import processes
from models.fleet.replicas import caught_up
from models.jobs import pauses
from models.jobs.pauses import PauseRow
from models.operations.overview import Overview, overview
from models.usage import charts
from models.usage.charts import BusyAccount, EndedPiece, ErrorCount, TookPiece

router = console_router()

_Piece = TypeVar("_Piece", EndedPiece, TookPiece)

SHOWN_ACTS = 5
SHOWN_DUTIES = 6


class Period(NamedTuple):
    """What a chart spans, in how many pieces."""

    word: str
    span: timedelta
    step: timedelta


PERIODS = {
    "1h": Period("1 hour", timedelta(hours=1), timedelta(minutes=2)),
    "24h": Period("24 hours", timedelta(hours=24), timedelta(minutes=30)),
    "7d": Period("7 days", timedelta(days=7), timedelta(hours=6)),
}


class Figures(NamedTuple):
    """All that the page is drawn from, of one moment."""

    at: datetime
    overview: Overview
    ended: list[EndedPiece]
    took: list[TookPiece]
    errors: list[ErrorCount]
    busy: list[BusyAccount]
    duties: list[DutyTurns]
    workers: list[str]  # states
    paused: list[PauseRow]
    proof: LastProof
    acts: list[AuditRow]


class Trouble(NamedTuple):
    """Something that needs somebody."""

    look: str
    icon: str
    head: str
    text: str
    path: str


@router.get("")
def show_overview(page: Viewed, request: Request, period: str = "1h") -> Response:
    """Trouble first, then figures, then lists."""
    name = period if period in PERIODS else "1h"
    found = services(request.app).figures.get(name, lambda: read_figures(PERIODS[name], page.now))
    rules = proven_rules(found.proof)
    return page.show(
        "overview.html", found=found, charts=charts_of(found, PERIODS[name]), periods=[(key, each.word, key == name) for key, each in PERIODS.items()],
        troubles=troubles_of(found, page.now), summary=overview_summary(found, page.now), period=PERIODS[name], rules=rules,
        queued=sum(map(queued_in, found.overview.queues)), running=sum(each.in_flight for each in found.overview.queues),
        ended=[sum(getattr(each, how) for each in found.ended) for how in ("succeeded", "failed", "canceled")],
        per_minute=sum(map(ended_in_minute, found.overview.queues)), duties=sorted(found.duties, key=lambda each: each.next_at)[:SHOWN_DUTIES],
    )  # fmt: skip


def read_figures(period: Period, now: datetime) -> Figures:
    """In one snapshot."""
    times = times_of(now, period.span, period.step)
    with caught_up(snapshot=True) as conn:
        ended = charts.ended_in_hour if period.span <= timedelta(hours=1) else charts.ended_in_quarters
        return Figures(
            now, overview(conn), ended(conn, times[0], period.step), charts.took(conn, times, period.step),
            charts.errors_lately(conn, times[0]), charts.busiest(conn, times[0]), [duty_turns(row, now) for row in processes.duty_turns(conn)],
            [worker_state(each) for each in processes.workers(conn)], pauses.list_pauses(conn), last_proof(conn),
            audit_log.list_acts(conn, limit=SHOWN_ACTS),
        )  # fmt: skip


def overview_summary(found: Figures, now: datetime) -> str:
    """Who answers, and what the last proof said."""
    answering = sum(state != "silent" for state in found.workers)
    proof = found.proof
    proven = (
        "The books were never proven."
        if proof.ended_at is None
        else f"Books proven {coarsely((now - proof.ended_at).total_seconds())} ago."
    )
    return f"{counted_as(answering, 'worker process answers', 'worker processes answer')}. {proven}"


def troubles_of(found: Figures, now: datetime) -> list[Trouble]:
    """What needs somebody, the worst first."""
    return [*_of_books(found), *_of_processes(found), *_of_jobs(found), *_of_pauses(found, now)]


def _of_books(found: Figures) -> list[Trouble]:
    broken = [each for each in proven_rules(found.proof) if each.holds is False]
    if broken:
        return [
            Trouble(
                "failed",
                "audit",
                f"{counted_as(len(broken), 'rule does', 'rules do')} not hold.",
                "The last proof of the books found what breaks them.",
                "/audit",
            )
        ]
    return []


def _of_processes(found: Figures) -> list[Trouble]:
    troubles = []
    silent, alive = found.workers.count("silent"), [each for each in found.workers if each != "silent"]
    if not alive:
        troubles.append(
            Trouble("failed", "workers", "No worker answers.", "Nothing is generated until one does.", "/workers")
        )
    elif silent:
        troubles.append(
            Trouble(
                "limit",
                "workers",
                f"{counted_as(silent, 'worker is', 'workers are')} silent.",
                "Killed, or cut off; its jobs are rescued.",
                "/workers",
            )
        )
    wrong = [each for each in found.duties if each.state != "ok"]
    if wrong:
        first = wrong[0]
        text = first.error or "Its turn is overdue: is a scheduler running?"
        troubles.append(
            Trouble(
                "limit",
                "scheduler",
                f"{counted_as(len(wrong), 'duty has', 'duties have')} trouble, {first.name} first.",
                text[:200],
                "/scheduler",
            )
        )
    elif not found.duties:
        troubles.append(
            Trouble(
                "failed",
                "scheduler",
                "No scheduler has ever run.",
                "Nothing expires, is granted or told until one does.",
                "/scheduler",
            )
        )
    return troubles


def _of_jobs(found: Figures) -> list[Trouble]:
    parked = sum(each.reconciling for each in found.overview.queues)
    if not parked:
        return []
    head = f"{counted_as(parked, 'job is', 'jobs are')} reconciling."
    return [
        Trouble(
            "reconciling",
            "reconciling",
            head,
            "An answer was lost; each is looked for until its time is up.",
            "/jobs?status=reconciling",
        )
    ]


def _of_pauses(found: Figures, now: datetime) -> list[Trouble]:
    return [
        Trouble(
            "limit",
            "paused",
            f"{each.what.capitalize()} {each.name[:60]} is paused.",
            f"It goes on {until(each.until, now)}: “{each.reason[:120]}”",
            "/queues",
        )
        for each in found.paused
    ]


# Charts


def charts_of(found: Figures, period: Period) -> list[Chart]:
    """Throughput, time, waiting, failures, credits and margin."""
    times = times_of(found.at, period.span, period.step)
    ended = by_piece(times, period.step, found.ended)
    took = by_piece(times, period.step, found.took)
    days = period.span > timedelta(days=1)

    def of_ended(name: str, by: float = 1.0) -> list[float | None]:
        return [0.0 if each is None else (getattr(each, name) or 0) / by for each in ended]

    def of_took(name: str) -> list[float | None]:
        return [None if each is None else getattr(each, name) for each in took]

    minutes = period.step / timedelta(minutes=1)
    done = sum(each.succeeded + each.failed + each.canceled for each in found.ended)
    failures = [None if each is None or not _over(each) else 100 * each.failed / _over(each) for each in ended]
    settled, value = sum(each.settled for each in found.ended), sum(each.value_usd_micros for each in found.ended)
    cost = sum(each.cost_usd_micros for each in found.ended)
    nothing = f"No job ended in {period.word}."
    credit_lines = [Series("Settled per min", "accent", "", of_ended("settled", minutes))]
    if any(each.refunded is not None for each in found.ended):
        credit_lines.append(Series("Refunded per min", "plain", "line", of_ended("refunded", minutes)))
    oldest = {each.queue: each.oldest_seconds for each in found.overview.queues}
    return [
        draw("throughput", "Throughput", times, [Series("Succeeded", "succeeded", "", of_ended("succeeded", minutes)), Series("Failed", "failed", "", of_ended("failed", minutes))],
             now=f"{done / (period.span / timedelta(minutes=1)):,.1f}", unit="/ min", none=nothing, digits=1, day=days),
        draw("latency", "From order to result", times, [Series("Median", "accent", "line", of_took("median")), Series("95 of 100", "plain", "dash", of_took("slow"))],
             now=_last(of_took("median")), unit="s median", none=nothing, digits=1, suffix=" s", day=days),
        draw("waiting", "Wait", times, [Series("Interactive", "accent", "line", of_took("interactive_wait")), Series("Batch", "plain", "dash", of_took("batch_wait"))],
             now=coarsely(max(oldest.values(), default=0.0)), unit="the oldest now", none="No job was ordered.", digits=1, suffix=" s", day=days),
        draw("failures", "Failures", times, [Series("Of all ended", "failed", "line", failures)],
             now=percent(sum(each.failed for each in found.ended), done).removesuffix(" %"), unit="%" if done else "", none=nothing if not done else "None failed.", digits=1, suffix=" %", day=days),
        draw("credits", "Credits", times, credit_lines, now=number(settled), unit="settled", none="No credits were settled.", digits=1, day=days),
        draw("margin", "Margin", times, [Series("Value per min", "accent", "", of_ended("value_usd_micros", minutes * 1_000_000)), Series("Cost per min", "plain", "dash", of_ended("cost_usd_micros", minutes * 1_000_000))],
             now=percent(value - cost, value) if value else dollars(-cost), unit=f"of {dollars(value)}", none="Nothing was earned and nothing spent.", digits=2, prefix="$", day=days),
    ]  # fmt: skip


def by_piece(times: Sequence[datetime], step: timedelta, pieces: Sequence[_Piece]) -> list[_Piece | None]:
    """The pieces in their places; None where there is nothing."""
    places: list[_Piece | None] = [None] * len(times)
    for each in pieces:
        place = int((each.at - times[0]) / step)
        if 0 <= place < len(places):
            places[place] = each
        elif place == len(places):
            places[-1] = each if places[-1] is None else places[-1]
    return places


def _over(piece: EndedPiece) -> int:
    return piece.succeeded + piece.failed + piece.canceled


def _last(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[-1]:.1f}" if known else "–"
