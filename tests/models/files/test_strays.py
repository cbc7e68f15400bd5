"""Which objects of results are nobody's: those of no result and of no attempt that goes on."""

from uuid import UUID

import pytest

from models.db import transaction
from models.files import results
from models.jobs import ending, steps
from models.jobs.ending import AttemptEnd, Ending
from models.jobs.steps import Claim
from scheduler.duties import jobs
from tests.support import account, claimed, model, placed

pytestmark = pytest.mark.usefixtures("database")


def strays(job_id: UUID) -> list[str]:
    """Of one object of each of a job's first two attempts, called after it."""
    with transaction() as conn:
        return sorted(results.strays(conn, [("first", job_id, 1), ("second", job_id, 2)]))


def begun() -> Claim:
    return claimed(placed(account(amount=5), model()))


def test_what_an_attempt_has_stored_is_spared_whoever_has_the_job() -> None:
    claim = begun()
    assert strays(claim.job_id) == ["second"]
    with transaction() as conn:
        assert steps.wait(conn, claim, after_seconds=60, reason="its result is not here yet")
    assert strays(claim.job_id) == ["second"], "nobody has it just now"


def test_what_an_attempt_has_stored_is_nobodys_once_it_is_over_though_the_job_goes_on() -> None:
    claim = begun()
    with transaction() as conn:
        ending.put_back(
            conn, claim.account_id, claim.job_id, token=claim.token, after_seconds=0, reason="once more",
            attempt=AttemptEnd(1, "failed", "broken"), spends_attempt=True,
        )  # fmt: skip
    assert jobs.retry_due(10)
    second = claimed(claim.job_id)
    assert strays(claim.job_id) == ["first"]
    with transaction() as conn:
        end = Ending("failed", error_code="broken", attempt=AttemptEnd(2, "failed", "broken"))
        assert ending.end(conn, second.account_id, second.job_id, end, token=second.token) is not None
    assert strays(claim.job_id) == ["first", "second"]
