"""Bulk runs: one act on all jobs of a filter, carried out by a duty in small transactions.

A run walks the jobs that were there when it was ordered, from the newest to the oldest. For each, what is done to it and the
run's new place are one transaction, so that a kill at any point leaves no job undone behind the place, and none done twice.
Stopping it leaves what was done; it can go on from there.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import ActRefused, DomainError, InvalidInput, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.catalogue.entries import Offer
from models.operations import finding, job_acts
from models.operations.finding import FoundStatus, JobFilter
from models.operations.job_acts import Acted, Why

BulkAct = Literal["retry", "refund", "discard", "cancel"]
MAX_JOBS = 100_000  # that a filter leads to, so that they can be counted in a moment, and a run ends in hours
MAX_RUNNING = 20

# What an act is for, where its filter does not say; and what else it may be asked for.
FITTING: Mapping[str, tuple[FoundStatus, ...]] = {
    "retry": ("failed", "canceled"),
    "refund": ("succeeded", "canceled"),
    "discard": ("reconciling",),
    "cancel": ("queued", "running", "reconciling"),
}
# What it moves of each job, as it is expected to.
_CREDITS = {"refund": "coalesce(j.charged_credits, 0)"}


class BulkCount(NamedTuple):
    """What a run would find: jobs, and credits that a retry would reserve at the old prices, or that would go back."""

    jobs: int
    credits: int


class BulkRow(NamedTuple):
    """A bulk run and how far it has come. `left`: the jobs that it counted on and has not come to."""

    id: UUID
    act: str
    filter: dict[str, Any]
    reason: str
    actor: str
    status: str
    jobs: int
    credits: int
    done: int
    skipped: int
    credits_done: int
    reasons: dict[str, int]
    created_at: datetime
    finished_at: datetime | None

    @property
    def left(self) -> int:
        return max(0, self.jobs - self.done - self.skipped) if self.status != "done" else 0


_SHOWN = ", ".join(BulkRow._fields)


def fitted(act: BulkAct, wanted: JobFilter) -> JobFilter:
    """The filter with the state that the act is for. Raises InvalidInput where it names one that the act is not for."""
    fitting = FITTING[act]
    if wanted.status is None:
        return wanted.model_copy(update={"status": fitting[0]})
    if wanted.status not in fitting:
        raise InvalidInput(
            f"{act} is for jobs that are {' or '.join(fitting)}, not {wanted.status}", param="filter.status"
        )
    return wanted


def count(conn: Connection[Any], act: BulkAct, wanted: JobFilter, *, newest: UUID | None = None) -> BulkCount:
    """The dry run. Raises InvalidInput where the filter leads to more jobs than can be looked at."""
    chosen = fitted(act, wanted)
    look, (fits, values) = finding.window(chosen, newest), finding.conditions(chosen)
    credits = _CREDITS.get(act, "j.price_credits")
    row = conn.execute(
        f"""with w as materialized ({look.sql} limit {MAX_JOBS + 1})
           select (select count(*) from w), count(*), coalesce(sum({credits}), 0)::bigint
             from w join jobs j on j.id = w.id left join job_runs r on r.job_id = j.id where {fits}""",
        [*look.values, *values],
    ).fetchone()
    assert row is not None  # noqa: S101 - sums always have a row
    if row[0] > MAX_JOBS:
        raise InvalidInput(
            f"more than {MAX_JOBS} jobs would have to be looked at; name an account, a shorter time (since, until), or a status "
            "that few are in",
            param="filter",
        )  # fmt: skip
    return BulkCount(*row[1:])


def start(conn: Connection[Any], by: By, act: BulkAct, wanted: JobFilter, reason: str) -> BulkRow:
    """Order a run over the jobs that there are now. Raises InvalidInput."""
    newest = uuid7()  # younger than all: what the run itself orders is none of it
    counted = count(conn, act, wanted, newest=newest)
    if len(running(conn)) >= MAX_RUNNING:
        raise InvalidInput(f"{MAX_RUNNING} bulk runs are under way; wait for one, or stop it", param="act")
    chosen = fitted(act, wanted).model_dump(mode="json", exclude_none=True)
    row = conn.execute(
        f"""insert into bulk_runs (id, act, filter, reason, actor, key_id, address, place, jobs, credits)
            values (%s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s) returning {_SHOWN}""",
        [uuid7(), act, orjson.dumps(chosen).decode(), reason, *by, newest, *counted],
    ).fetchone()
    assert row is not None  # noqa: S101 - it was written
    made = BulkRow(*row)
    audit_log.record(conn, by, "bulk.start", str(made.id), reason=reason, act=act, filter=chosen, **counted._asdict())
    return made


def stop(conn: Connection[Any], by: By, run_id: UUID, reason: str) -> BulkRow:
    """Stop a run where it is. What was done stays done; it can go on. Raises NotFound, ActRefused."""
    return _move(conn, by, run_id, "running", "stopped", "bulk.stop", reason)


def go_on(conn: Connection[Any], by: By, run_id: UUID, reason: str) -> BulkRow:
    """Let a stopped run go on from where it was stopped. Raises NotFound, ActRefused."""
    return _move(conn, by, run_id, "stopped", "running", "bulk.resume", reason)


def _move(conn: Connection[Any], by: By, run_id: UUID, source: str, target: str, action: str, reason: str) -> BulkRow:
    row = conn.execute(
        f"update bulk_runs set status = %s where id = %s and status = %s returning {_SHOWN}", [target, run_id, source]
    ).fetchone()
    if row is None:
        raise ActRefused(f"the run is {run(conn, run_id).status}, not {source}", param="id", why="not_" + source)
    moved = BulkRow(*row)
    audit_log.record(conn, by, action, str(run_id), reason=reason, done=moved.done, left=moved.left)
    return moved


def run(conn: Connection[Any], run_id: UUID) -> BulkRow:
    """One run. Raises NotFound."""
    row = conn.execute(f"select {_SHOWN} from bulk_runs where id = %s", [run_id]).fetchone()
    if row is None:
        raise NotFound(f"no bulk run {run_id}", param="id")
    return BulkRow(*row)


def list_runs(conn: Connection[Any], *, before: UUID | None = None, limit: int = 20) -> list[BulkRow]:
    """Runs, newest first, from the one before `before`."""
    rows = conn.execute(
        f"""select {_SHOWN} from bulk_runs where %(before)s::uuid is null or id < %(before)s order by id desc limit %(limit)s""",
        {"before": before, "limit": limit},
    ).fetchall()
    return [BulkRow(*row) for row in rows]


# Carrying a run out


class Slice(NamedTuple):
    """The next jobs of a run. `until`: all that fits up to there is among them; None: up to the end."""

    id: UUID
    act: str
    why: Why
    place: UUID
    jobs: list[UUID]
    until: UUID | None


def running(conn: Connection[Any]) -> list[UUID]:
    """The runs that are under way, the oldest first; at most MAX_RUNNING, but for those that were stopped and went on."""
    rows = conn.execute("select id from bulk_runs where status = 'running' order by id").fetchall()
    return [row[0] for row in rows]


def next_slice(conn: Connection[Any], run_id: UUID, limit: int) -> Slice | None:
    """What a run is to do next, at most `limit` jobs. None: it is not under way any more."""
    row = conn.execute(
        "select act, filter, reason, actor, key_id, address, place from bulk_runs where id = %s and status = 'running'",
        [run_id],
    ).fetchone()
    if row is None:
        return None
    act, stored, reason, actor, key_id, address, place = row
    wanted = JobFilter.model_validate(stored)
    found, following = finding.find_jobs(conn, wanted, before=place, limit=limit)
    why = Why(By(actor, key_id, address), reason, run_id, wanted.status)
    return Slice(run_id, act, why, place, [job.id for job in found], following)


class Overtaken(Exception):
    """Another has moved the run on, or it was stopped: what was being done is undone."""


def act_on(conn: Connection[Any], part: Slice, place: UUID, job_id: UUID, known: Mapping[str, Offer]) -> Acted:
    """Do a run's act to its next job, and move its place there, in one transaction. Raises Overtaken, and what refuses the act:
    then the caller rolls back, and skips the job.
    """
    acts: dict[str, Callable[[], Acted]] = {
        "retry": lambda: job_acts.retry_job(conn, part.why, job_id, known),
        "refund": lambda: job_acts.refund_job(conn, part.why, job_id),
        "discard": lambda: job_acts.discard_job(conn, part.why, job_id),
        "cancel": lambda: job_acts.cancel_job(conn, part.why, job_id),
    }
    done = acts[part.act]()
    _advance(
        conn, part.id, place, job_id, "done = done + 1, credits_done = credits_done + %(credits)s", credits=done.credits
    )
    return done


def skip(conn: Connection[Any], run_id: UUID, place: UUID, job_id: UUID, why: str) -> None:
    """Pass a job over that the act was refused for, and count why. Raises Overtaken."""
    _advance(
        conn, run_id, place, job_id,
        """skipped = skipped + 1,
           reasons = reasons || jsonb_build_object(%(why)s::text, coalesce((reasons->>%(why)s::text)::int, 0) + 1)""",
        why=why,
    )  # fmt: skip


def finish_slice(conn: Connection[Any], part: Slice, place: UUID) -> None:
    """All of a slice was done, up to `place`: go on behind what was looked at, or end the run. Raises Overtaken."""
    if part.until is not None:
        if part.until != place:
            _advance(conn, part.id, place, part.until, "place = %(place)s")
        return
    _advance(conn, part.id, place, place, "status = 'done', finished_at = app_now()")


def _advance(conn: Connection[Any], run_id: UUID, before: UUID, place: UUID, change: str, **values: Any) -> None:
    sets = change if change.startswith("place") else f"{change}, place = %(place)s"
    moved = conn.execute(
        f"update bulk_runs set {sets} where id = %(id)s and status = 'running' and place = %(before)s",
        {"id": run_id, "before": before, "place": place, **values},
    ).rowcount
    if not moved:
        raise Overtaken


def why_of(error: Exception) -> str:
    """The word by which a refusal is counted."""
    return str(error.extra.get("why", error.code)) if isinstance(error, DomainError) else "failed"
