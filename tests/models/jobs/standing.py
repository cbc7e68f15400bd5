"""What tests of living jobs share: a job in each state that it can stand in, and its times as seconds from now."""

from typing import Any
from uuid import UUID

from models.db import transaction
from models.jobs import ending, facts, steps
from models.jobs.ending import AttemptEnd
from models.jobs.steps import Claim
from tests.models.hands import change
from tests.support import account, claimed, model, one, placed

ADDRESSES = {"outputs": [{"address": "http://far/1.png", "media_type": None}], "usage": {}, "cost_usd_micros": 7}


def begun(who: UUID | None = None, **fields: Any) -> Claim:
    """A job that was claimed, and whose first attempt is written down."""
    return claimed(placed(who or account(amount=5), model(**fields)))


def accepted(claim: Claim, *, after_seconds: float = 3600, provider_job_id: str = "p") -> Claim:
    """The same once the provider has taken it: it waits for its next poll, and nobody holds it."""
    assert claim.live is not None
    with transaction() as conn:
        told = facts.accept(
            conn, claim, claim.live.number, provider_job_id=provider_job_id, after_seconds=after_seconds, progress=None
        )
    assert told is facts.FactResult.MINE
    return claim


def delivered(claim: Claim) -> Claim:
    """The same once its provider has answered with the result; the claim goes on."""
    assert claim.live is not None
    with transaction() as conn:
        told = facts.deliver(
            conn, claim, claim.live.number, delivered=ADDRESSES, usage={}, cost_usd_micros=7
        )  # fmt: skip
    assert told is facts.FactResult.MINE
    return claim


def parked_job(claim: Claim, *, after_seconds: float = 3600) -> Claim:
    """The same once the provider's answer was lost and it cannot be asked."""
    assert claim.live is not None
    with transaction() as conn:
        assert steps.wait_unknown(
            conn, claim, claim.live.number, after_seconds=after_seconds, reason="the answer was lost"
        )
    return claim


def requeued(claim: Claim, after_seconds: float = 0.0, **fields: Any) -> Claim:
    """The same once its attempt has failed and it is back in its account's queue."""
    assert claim.live is not None
    with transaction() as conn:
        done = ending.put_back(
            conn, claim.account_id, claim.job_id, token=claim.token, after_seconds=after_seconds, reason="once more",
            **{"attempt": AttemptEnd(claim.live.number, "failed", "broken", "it broke"), "spends_attempt": True, **fields},
        )  # fmt: skip
    assert done is not None
    return claim


def lapse(job_id: UUID) -> None:
    """Whatever the job waits for, or whoever holds it, has had its time."""
    change("update job_runs set wake_at = app_now() - interval '10 seconds' where job_id = %s", job_id)


def wakes_in(job_id: UUID) -> float:
    """Seconds until the job is due."""
    return float(
        one("select extract(epoch from wake_at - app_now())::float from job_runs where job_id = %s", job_id)[0]
    )


def run_of(job_id: UUID, *columns: str) -> tuple[Any, ...]:
    """These columns of a living job."""
    return one(f"select {', '.join(columns)} from job_runs where job_id = %s", job_id)
