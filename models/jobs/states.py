"""The states of a job, of its run and of its attempts, and every arrow between them.

They are stored by value. A result's states stand a floor below, in `models.files.states`. The arrows are data, and a
test holds them against ARCHITECTURE.md and against what the database sees while the verbs are driven
(tests/models/jobs/test_states.py).
"""

from collections.abc import Iterable
from enum import StrEnum
from itertools import product
from typing import NamedTuple


class JobStatus(StrEnum):
    """A job as its client sees it."""

    QUEUED = "queued"  # it waits for a slot, a retry or a worker; the next claim moves it on, or a cancel
    RUNNING = "running"  # a worker or a provider is at it, or its provider's answer is looked for; its end moves it on
    SUCCEEDED = "succeeded"  # over: its results are stored and its cost is settled
    FAILED = "failed"  # over: it is refunded, and says why
    CANCELED = "canceled"  # over: it is refunded, or charged where its model says so


class JobEnd(StrEnum):
    """How a job has ended (`jobs.ended`, which is null while it lives). Nobody moves it on: a trigger refuses that."""

    SUCCEEDED = JobStatus.SUCCEEDED.value  # its results are stored; what they cost is settled
    FAILED = JobStatus.FAILED.value  # no attempt brought a result, or its time was up; refunded
    CANCELED = JobStatus.CANCELED.value  # its client, or its account's deletion, called it off


class RunStatus(StrEnum):
    """Where the living part of a job stands (`job_runs.status`); the row goes with the job's end."""

    QUEUED = "queued"  # no worker has it, and it may have no slot yet; a worker's claim moves it on, or a cancel
    RUNNING = "running"  # it was claimed; whoever holds the claim moves it on, the scheduler if the lease lapses
    RECONCILING = "reconciling"  # an answer was lost; a fact moves it on, a worker at the limit, or an operator


def seen_status(ended: str | None, run_status: str | None) -> JobStatus:
    """A job's status as clients know it, of what the tables have; `reconciling` is running, with the reason."""
    if ended:
        return JobStatus(ended)
    return JobStatus.QUEUED if run_status == RunStatus.QUEUED else JobStatus.RUNNING


class AttemptPhase(StrEnum):
    """What is known of one try at a job (`attempts.phase`)."""

    INTENT = "intent"  # written before the call, which may or may not have been made; the provider's answer moves it on
    UNKNOWN = "unknown"  # the answer was lost and the job is reconciling; a late answer moves it on, or the time limit
    ACCEPTED = "accepted"  # the provider's own id is known; the next poll or call back moves it on
    DELIVERED = (
        "delivered"  # the provider has answered with the result, which is not ours yet; the worker that collects
    )
    DONE = "done"  # over: its result became the job's
    FAILED = "failed"  # over: it brought no result, and that is known
    ABANDONED = "abandoned"  # over: it was given up with its outcome unknown


# An attempt in one of these has no end yet, and a job has at most one such.
LIVE_PHASES = (AttemptPhase.INTENT, AttemptPhase.UNKNOWN, AttemptPhase.ACCEPTED, AttemptPhase.DELIVERED)
OVER_PHASES = tuple(phase for phase in AttemptPhase if phase not in LIVE_PHASES)
# The call was written down, and nothing that its provider has said is known.
UNANSWERED_PHASES = (AttemptPhase.INTENT, AttemptPhase.UNKNOWN)
# The provider may be at it still: it has not answered with the result.
PENDING_PHASES = (*UNANSWERED_PHASES, AttemptPhase.ACCEPTED)

# As clients know them: what lives, and in which states of its run.
RUNS_SEEN_AS = {
    JobStatus.QUEUED: (RunStatus.QUEUED,),
    JobStatus.RUNNING: (RunStatus.RUNNING, RunStatus.RECONCILING),
}

NONE = "none"  # before there is a row, or after it was taken off the record

# A job's state is its run's while that lives, and its end after.
_State = RunStatus | JobEnd | AttemptPhase | str


class Arrow(NamedTuple):
    """One change of state, and the verb that makes it."""

    name: str
    source: _State
    target: _State
    verb: str


def _arrows(name: str, sources: Iterable[_State], targets: Iterable[_State], *verbs: str) -> frozenset[Arrow]:
    """The arrows of this name: each of the verbs leads from each of the sources to each of the targets."""
    return frozenset(
        Arrow(name, *each) for each in product(sources, targets, (f"models.jobs.{verb}" for verb in verbs))
    )


_STARTED = (RunStatus.RUNNING, RunStatus.RECONCILING)

JOB_ARROWS = frozenset[Arrow]().union(
    _arrows("submit", [NONE], [RunStatus.QUEUED], "submit.submit"),
    _arrows("claim", [RunStatus.QUEUED], [RunStatus.RUNNING], "steps.claim"),
    _arrows("lose the answer", [RunStatus.RUNNING], [RunStatus.RECONCILING], "steps.wait_unknown"),
    _arrows(
        "hear", [RunStatus.RECONCILING], [RunStatus.RUNNING],
        "facts.accept", "facts.deliver", "facts.fail", "facts.never_called",
    ),
    _arrows("let go", [RunStatus.RECONCILING], [RunStatus.RUNNING], "steps.wait"),
    _arrows("put back", _STARTED, [RunStatus.QUEUED], "ending.put_back"),
    _arrows("try again", [RunStatus.RECONCILING], [RunStatus.QUEUED], "reconcile.decide"),
    _arrows("settle", _STARTED, [JobEnd.SUCCEEDED], "ending.end"),
    _arrows("fail", _STARTED, [JobEnd.FAILED], "ending.end", "ending.end_blindly"),
    _arrows("give up", _STARTED, [JobEnd.FAILED], "rescues.give_up"),
    _arrows("write off", [RunStatus.RECONCILING], [JobEnd.FAILED], "reconcile.decide"),
    _arrows("cancel", [RunStatus.QUEUED, RunStatus.RUNNING], [JobEnd.CANCELED], "cancel.cancel"),
    _arrows(
        "carry a cancel out", _STARTED, [JobEnd.CANCELED],
        "ending.end", "ending.end_blindly", "ending.put_back", "rescues.give_up",
    ),
    _arrows("carry a cancel out", [RunStatus.RECONCILING], [JobEnd.CANCELED], "reconcile.decide"),
)  # fmt: skip

ATTEMPT_ARROWS = frozenset[Arrow]().union(
    _arrows("begin", [NONE], [AttemptPhase.INTENT], "steps.claim"),
    _arrows("lose the answer", [AttemptPhase.INTENT], [AttemptPhase.UNKNOWN], "steps.wait_unknown"),
    _arrows("accept", UNANSWERED_PHASES, [AttemptPhase.ACCEPTED], "facts.accept"),
    _arrows("deliver", PENDING_PHASES, [AttemptPhase.DELIVERED], "facts.deliver"),
    _arrows("hear of its failure", PENDING_PHASES, [AttemptPhase.FAILED], "facts.fail"),
    _arrows("never call", UNANSWERED_PHASES, [AttemptPhase.FAILED], "facts.never_called"),
    _arrows("take back", [AttemptPhase.INTENT], [NONE], "ending.put_back", "steps.give_back"),
    _arrows("settle", LIVE_PHASES, [AttemptPhase.DONE], "ending.end"),
    _arrows("fail", LIVE_PHASES, [AttemptPhase.FAILED], "ending.end", "ending.put_back"),
    _arrows("give up", PENDING_PHASES, [AttemptPhase.ABANDONED], "ending.end_blindly", "rescues.give_up"),
    _arrows("lose the result", [AttemptPhase.DELIVERED], [AttemptPhase.FAILED], "rescues.give_up"),
    _arrows("write off", [AttemptPhase.UNKNOWN], [AttemptPhase.ABANDONED], "reconcile.decide"),
)  # fmt: skip

ARROWS = {"job": JOB_ARROWS, "attempt": ATTEMPT_ARROWS}
