"""The arrows between states: the same in `models.jobs.states`, in ARCHITECTURE.md, and in what the database sees."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.errors import DomainError
from models.db import transaction
from models.jobs.ending import AttemptEnd, Ending
from models.jobs.facts import NOWHERE
from models.jobs.states import ARROWS, LIVE_PHASES, OVER_PHASES, Arrow, AttemptPhase, JobEnd, JobStatus, RunStatus
from models.jobs.steps import Claim
from tests.support import account, assert_books_are_clean, model, order, rows

DOCUMENT = Path(__file__).resolve().parents[3] / "ARCHITECTURE.md"

# Every change of state, as the database sees it: of a run and its job's end as one, and of an attempt. The end is read at
# the commit, since the run goes first.
LOG = """
create table changes (thing text, source text, target text);
create function log_change() returns trigger language plpgsql as $$
declare
  v_source text := 'none';
  v_target text := 'none';
begin
  if tg_op <> 'INSERT' then v_source := to_jsonb(old)->>tg_argv[1]; end if;
  if tg_op <> 'DELETE' then v_target := to_jsonb(new)->>tg_argv[1]; end if;
  if tg_op = 'DELETE' and tg_argv[0] = 'job' then
    v_target := coalesce((select j.ended from jobs j where j.id = old.job_id), 'none');
  end if;
  if v_source <> v_target then
    insert into changes (thing, source, target) values (tg_argv[0], v_source, v_target);
  end if;
  return null;
end $$;
create trigger log_run after insert or update on job_runs for each row execute function log_change('job', 'status');
create constraint trigger log_end after delete on job_runs deferrable initially deferred
  for each row execute function log_change('job', 'status');
create trigger log_attempt after insert or update or delete on attempts
  for each row execute function log_change('attempt', 'phase');
"""


class Driver:
    """Drives verbs by their names, and notes which changes each of them made."""

    def __init__(self) -> None:
        self.seen = set[tuple[str, str, str, str]]()
        self.who, self.offer = account(amount=10_000), model()
        with transaction() as conn:
            conn.execute("update plans set slots = 10000, storage_quota_bytes = 1e15")
            conn.execute(LOG)

    def __call__(self, verb: str, *values: Any, **named: Any) -> Any:
        """What the verb returns; None where it refuses."""
        name = f"models.jobs.{verb}"
        try:
            with transaction() as conn:
                done = _function(name)(conn, *values, **named)
        except DomainError:
            done = None
        for change in rows("delete from changes returning thing, source, target"):
            self.seen.add((*change, name))
        return done


def _function(name: str) -> Callable[..., Any]:
    module, _, verb = name.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(module), verb)
    return found


@dataclass
class Living:
    """A job in some state, and the claim that was had of it last."""

    account_id: UUID
    job_id: UUID
    claim: Claim | None = None


# States, each reached by verbs. The last claim holds in all but the first two.


def submitted(do: Driver) -> Living:
    wanted = order(do.who, do.offer)
    do("submit.submit", [wanted], wait=True)
    return Living(do.who, wanted.job_id)


def again(do: Driver, job: Living) -> Living:
    claim = do("steps.claim", job.job_id, "tester")
    assert claim is not None
    return replace(job, claim=claim)


def begun(do: Driver) -> Living:
    return again(do, submitted(do))


def put_back(do: Driver) -> Living:
    job = begun(do)
    do("ending.put_back", *_names(job), **_back(AttemptEnd(1, AttemptPhase.FAILED)))
    return job


def reconciling(do: Driver) -> Living:
    job = begun(do)
    do("steps.wait_unknown", job.claim, 1, after_seconds=0, reason="lost")
    return again(do, job)


def running_unknown(do: Driver) -> Living:
    job = reconciling(do)
    do("steps.wait", job.claim, after_seconds=0, reason=None)
    return again(do, job)


def accepted(do: Driver) -> Living:
    job = begun(do)
    do("facts.accept", job.claim, 1, provider_job_id=str(job.job_id), after_seconds=0, progress=None)
    return again(do, job)


def delivered(do: Driver) -> Living:
    job = begun(do)
    do("facts.deliver", job.claim, 1, delivered={"outputs": []}, usage={}, cost_usd_micros=None)
    return job


def without_attempt(do: Driver) -> Living:
    job = begun(do)
    end = AttemptEnd(1, AttemptPhase.FAILED, "broken", "it broke")
    do("facts.fail", job.claim, end, next_route=NOWHERE, spends_attempt=True)
    return again(do, job)


STATES = (
    submitted, put_back, begun, reconciling, running_unknown, accepted, delivered, without_attempt,
)  # fmt: skip


# Moves: all that moves a job on, as callers use it. Each is tried in every state.


def _names(job: Living) -> tuple[UUID, UUID]:
    return job.account_id, job.job_id


def _back(attempt: AttemptEnd | None) -> dict[str, Any]:
    return {"token": 1, "after_seconds": 0, "reason": "because", "attempt": attempt, "spends_attempt": True}


def _set(job: Living, what: str) -> None:
    """Something that changes no state: a lease that is let go, or has lapsed."""
    with transaction() as conn:
        conn.execute(f"update job_runs set {what} where job_id = %s", [job.job_id])


def claims(do: Driver, job: Living) -> None:
    _set(job, "lease_owner = null, wake_at = app_now()")
    do("steps.claim", job.job_id, "another")


def gives_up(do: Driver, job: Living) -> None:
    _set(job, "wake_at = app_now()")
    token = rows("select token from job_runs where job_id = %s", job.job_id)
    do("rescues.give_up", *_names(job), token[0][0] if token else 0)


def decides(do: Driver, job: Living, *, again: bool) -> None:
    _set(job, "lease_owner = null")
    do("reconcile.decide", job.job_id, again=again)


def cancels(do: Driver, job: Living) -> None:
    do("cancel.cancel", job.job_id)


def is_rescued(do: Driver, job: Living) -> None:
    _set(job, "wake_at = app_now()")
    do("steps.rescue", job.job_id, job.claim.token if job.claim else 0)


def waits(do: Driver, job: Living) -> None:
    do("steps.wait", job.claim, after_seconds=0, reason=None)


def loses_the_answer(do: Driver, job: Living) -> None:
    do("steps.wait_unknown", job.claim, 1, after_seconds=0, reason="lost")


def is_given_back(do: Driver, job: Living) -> None:
    do("steps.give_back", job.job_id, "tester")


def is_released(do: Driver, job: Living) -> None:
    do("steps.release", job.claim)


def is_accepted(do: Driver, job: Living) -> None:
    do("facts.accept", job.claim, 1, provider_job_id=str(job.job_id), after_seconds=0, progress=None)


def is_delivered(do: Driver, job: Living) -> None:
    do("facts.deliver", job.claim, 1, delivered={"outputs": []}, usage={}, cost_usd_micros=None)


def fails_late(do: Driver, job: Living, *, refused: bool) -> None:
    end = AttemptEnd(1, AttemptPhase.FAILED, "broken", "it broke", refused=refused)
    do("facts.fail", job.claim, end, next_route=0, spends_attempt=True)


def was_never_called(do: Driver, job: Living) -> None:
    do("facts.never_called", job.claim, 1, 0)


def is_put_back(do: Driver, job: Living) -> None:
    assert job.claim is not None
    end = AttemptEnd(1, AttemptPhase.FAILED, "broken", "it broke")
    do("ending.put_back", *_names(job), **{**_back(end), "token": job.claim.token})


def is_put_back_uncalled(do: Driver, job: Living) -> None:
    assert job.claim is not None
    if job.claim.begins and rows("select 1 from attempts where job_id = %s and phase = 'intent'", job.job_id):
        do("ending.put_back", *_names(job), **{**_back(None), "token": job.claim.token})


def ends(do: Driver, job: Living, verb: str, ended: JobEnd, phase: AttemptPhase) -> None:
    assert job.claim is not None
    live = rows("select number from attempts where job_id = %s and ended_at is null", job.job_id)
    attempt = AttemptEnd(live[0][0], phase) if live else None
    ending = Ending(ended, error_code="broken" if ended == JobEnd.FAILED else None, attempt=attempt)
    do(f"ending.{verb}", *_names(job), ending, token=job.claim.token)


Move = Callable[[Driver, Living], None]
MOVES: tuple[Move, ...] = (
    claims, gives_up, partial(decides, again=True), partial(decides, again=False), cancels, is_rescued,
)  # fmt: skip
UNDER_A_CLAIM: tuple[Move, ...] = (
    waits, loses_the_answer, is_given_back, is_released, is_accepted, is_delivered, partial(fails_late, refused=False),
    partial(fails_late, refused=True), was_never_called, is_put_back, is_put_back_uncalled,
    partial(ends, verb="end", ended=JobEnd.SUCCEEDED, phase=AttemptPhase.DONE),
    partial(ends, verb="end", ended=JobEnd.FAILED, phase=AttemptPhase.FAILED),
    partial(ends, verb="end", ended=JobEnd.CANCELED, phase=AttemptPhase.DONE),
    partial(ends, verb="end_blindly", ended=JobEnd.FAILED, phase=AttemptPhase.ABANDONED),
    partial(ends, verb="end_blindly", ended=JobEnd.CANCELED, phase=AttemptPhase.ABANDONED),
)  # fmt: skip


@pytest.mark.usefixtures("database")
def test_the_database_sees_every_arrow_and_no_other_change_of_state() -> None:
    do = Driver()
    for state, move, canceled in product(STATES, (*MOVES, *UNDER_A_CLAIM), (False, True)):
        job = state(do)
        if job.claim is None and move in UNDER_A_CLAIM:
            continue
        if canceled:
            cancels(do, job)
        move(do, job)
    arrows = {(thing, each.source, each.target, each.verb) for thing, all_ in ARROWS.items() for each in all_}
    assert do.seen - arrows == set(), "changes that no arrow names"
    assert arrows - do.seen == set(), "arrows that nobody does"
    assert_books_are_clean()


def test_every_arrow_names_a_verb_that_exists_and_states_that_exist() -> None:
    states = {"job": {"none", *RunStatus, *JobEnd}, "attempt": {"none", *AttemptPhase}}
    for thing, arrows in ARROWS.items():
        for each in arrows:
            assert callable(_function(each.verb)), each
            assert {each.source, each.target} <= states[thing], each
        assert {state for each in arrows for state in each[1:3]} == states[thing], "a state that no arrow touches"


def _tables(text: str) -> Iterator[frozenset[Arrow]]:
    """The tables of a document that have the columns arrow, from, to and verb."""
    for table in re.findall(r"^\| arrow \| from \| to \| verb \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE):
        found = set()
        for line in table.splitlines():
            name, sources, targets, verbs = (cell.strip() for cell in line.split("|")[1:5])
            for source, target, verb in product(
                sources.split(", "), targets.split(", "), re.findall(r"`(.+?)`", verbs)
            ):
                found.add(Arrow(name, source, target, f"models.jobs.{verb}"))
        yield frozenset(found)


def test_the_arrows_of_the_document_are_those_of_the_code() -> None:
    documented = list(_tables(DOCUMENT.read_text()))
    assert len(documented) == len(ARROWS)
    for (thing, arrows), table in zip(ARROWS.items(), documented, strict=True):
        assert table - arrows == set(), f"only the document has these of the {thing}"
        assert arrows - table == set(), f"the document lacks these of the {thing}"


def test_an_attempt_lives_or_is_over_and_a_job_ends_as_its_client_sees_it() -> None:
    assert sorted((*LIVE_PHASES, *OVER_PHASES)) == sorted(AttemptPhase)
    assert set(JobEnd) < set(JobStatus)
