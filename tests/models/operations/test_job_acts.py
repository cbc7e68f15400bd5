"""What operators do to one job is done once, moves credits exactly, and is written down with who and why."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import ActRefused, DomainError, JobNotEnded, NotCancelable, NotEnoughCredits, NotFound, UnknownModel
from models.access.audit_log import By
from models.catalogue import entries
from models.db import transaction
from models.events import endpoints
from models.jobs import facts
from models.jobs.ending import Ending, end
from models.operations import job_acts
from models.operations.job_acts import Acted, JobAct, Why
from tests.models.jobs.standing import ADDRESSES, parked_job
from tests.models.operations.test_finding import failed
from tests.races.test_races import together
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")
BY = By("tester")


def do(act: JobAct, job_id: UUID, *, bulk: UUID | None = None, **fields: Any) -> Acted:
    with transaction() as conn:
        return act(conn, Why(BY, "because", bulk), job_id, **fields)  # type: ignore[call-arg]  # of some acts


def succeeded(who: UUID, credits: int) -> UUID:
    claim = claimed(placed(who, model(price={"credits": credits})))
    with transaction() as conn:
        assert end(conn, who, claim.job_id, Ending("succeeded", cost_credits=credits), token=claim.token)
    return claim.job_id


def acts(job_id: UUID) -> list[tuple[str, str, str]]:
    return rows("select action, actor, details->>'reason' from acts where subject = %s order by id", str(job_id))


def test_a_failed_job_is_ordered_again_for_its_account_with_all_that_was_its_own() -> None:
    who = account(amount=9)
    address = endpoints.for_job(who, "https://example.com/own", ["job.failed"])
    offer = model(price={"credits": 3})
    job = failed(placed(who, offer, {"seed": 7}, queue="batch", labels={"customer": "acme"}, webhook=address))
    done = do(job_acts.retry_job, job)
    assert (done.credits, [ring.job_id for ring in done.rings]) == (3, [done.new_job_id])
    same = "select account_id, model_id, input, queue, labels, webhook from jobs where id = %s"
    assert one(same, done.new_job_id) == one(same, job)
    assert one("select retry_of, api_key_id from jobs where id = %s", done.new_job_id) == (job, None)
    assert (balance(who), acts(job)) == ((6, 3), [("job.retry", "tester", "because")])
    assert_books_are_clean()


def test_what_cannot_be_ordered_again_says_why_and_changes_nothing() -> None:
    who, poor = account(amount=3), account(amount=3)
    lives = placed(who, model())
    with pytest.raises(JobNotEnded):
        do(job_acts.retry_job, lives)
    with pytest.raises(NotFound):
        do(job_acts.retry_job, uuid4())
    dear = failed(placed(poor, model("dear", price={"credits": 3})))
    placed(poor, model())
    with pytest.raises(NotEnoughCredits):
        do(job_acts.retry_job, dear)
    with transaction() as conn:
        entries.apply(conn, [model().entry], retire_missing=True)
    with pytest.raises(UnknownModel):
        do(job_acts.retry_job, dear)
    assert rows("select 1 from acts") == []
    assert_books_are_clean()


def test_a_bulk_run_orders_nothing_again_that_was_ordered_again_by_anybody() -> None:
    who = account(amount=9)
    job = failed(placed(who, model()))
    placed(who, model(), retry_of=job)
    with pytest.raises(ActRefused, match="already"):
        do(job_acts.retry_job, job, bulk=uuid4())
    assert do(job_acts.retry_job, job).new_job_id, "but an operator who asks for this one job knows"


def test_a_parked_job_is_tried_again_or_given_up() -> None:
    who = account(amount=9)
    again, gone = (parked_job(claimed(placed(who, model(price={"credits": 2})))).job_id for _ in range(2))
    assert do(job_acts.retry_job, again).credits == 0
    assert one("select status from job_runs where job_id = %s", again) == ("queued",)
    assert do(job_acts.discard_job, gone).credits == 2
    assert one("select ended from jobs where id = %s", gone) == ("failed",)
    assert (balance(who), acts(again)[0][0], acts(gone)[0][0]) == ((7, 2), "job.retry", "job.discard")
    for job_id in (again, gone):
        with pytest.raises(ActRefused, match="not parked"):
            do(job_acts.discard_job, job_id)
    assert_books_are_clean()


def test_a_job_is_refunded_once_for_what_it_was_charged_or_less() -> None:
    who = account(amount=9)
    whole, part = succeeded(who, 4), succeeded(who, 4)
    assert balance(who) == (1, 0)
    assert do(job_acts.refund_job, whole).credits == 4
    assert do(job_acts.refund_job, part, amount=1).credits == 1
    for job_id in (whole, part):
        with pytest.raises(ActRefused, match="before"):
            do(job_acts.refund_job, job_id)
    assert balance(who) == (6, 0)
    assert rows("select kind, amount, job_id from grants where ref like 'refund:%%' order by amount") == [
        ("goodwill", 1, part), ("goodwill", 4, whole),
    ]  # fmt: skip
    assert acts(whole) == [("job.refund", "tester", "because")]
    assert_books_are_clean()


@pytest.mark.parametrize("amount", [None, 0, 5, -1])
def test_more_than_was_charged_is_not_given_back(amount: int | None) -> None:
    who = account(amount=9)
    job = failed(placed(who, model(price={"credits": 4}))) if amount is None else succeeded(who, 4)
    with pytest.raises(ActRefused) as refused:
        do(job_acts.refund_job, job, amount=amount)
    assert refused.value.param == "amount"
    with pytest.raises(JobNotEnded):
        do(job_acts.refund_job, placed(who, model()))
    assert rows("select 1 from acts") == []


def test_a_job_is_canceled_as_its_account_would() -> None:
    who = account(amount=9)
    waits, runs = placed(who, model(price={"credits": 2})), claimed(placed(who, model(price={"credits": 2}))).job_id
    assert do(job_acts.cancel_job, waits).credits == 2
    assert do(job_acts.cancel_job, runs).credits == 2
    assert one("select ended from jobs where id = %s", waits) == ("canceled",)
    assert one("select cancel_requested_at is not null from job_runs where job_id = %s", runs) == (True,)
    with pytest.raises(NotCancelable):
        do(job_acts.cancel_job, failed(placed(who, model())))
    with pytest.raises(ActRefused, match="canceled by now"), transaction() as conn:
        job_acts.cancel_job(conn, Why(BY, "because", uuid4(), "queued"), waits)
    assert_books_are_clean()


def tried(act: JobAct, job_id: UUID, **fields: Any) -> Acted | DomainError:
    try:
        return do(act, job_id, **fields)
    except DomainError as error:
        return error


@pytest.mark.parametrize("turn", range(5))
def test_a_job_that_is_refunded_by_many_at_once_is_refunded_once(turn: int) -> None:
    who = account(amount=9)
    job = succeeded(who, 4)
    done = together(6, lambda _: tried(job_acts.refund_job, job))
    assert len([each for each in done if isinstance(each, Acted)]) == 1
    assert balance(who) == (9, 0)
    assert_books_are_clean()


@pytest.mark.parametrize("turn", range(5))
def test_bulk_retries_of_one_job_at_once_order_it_once_beside_its_clients_own(turn: int) -> None:
    who, offer = account(amount=50), model()
    job = failed(placed(who, offer))

    def work(number: int) -> Any:
        return placed(who, offer, retry_of=job) if number == 0 else tried(job_acts.retry_job, job, bulk=uuid4())

    done = together(5, work)
    by_bulk = [each for each in done if isinstance(each, Acted)]
    assert len(by_bulk) <= 1
    assert len(rows("select 1 from jobs where retry_of = %s", job)) == 1 + len(by_bulk)
    assert all(each.code == "act_refused" for each in done if isinstance(each, DomainError))
    assert_books_are_clean()


@pytest.mark.parametrize("turn", range(8))
def test_a_discard_beside_a_late_result_ends_the_job_once_and_its_credits_with_it(turn: int) -> None:
    who = account(amount=9)
    claim = parked_job(claimed(placed(who, model(price={"credits": 4}))))

    def result(_: int) -> Any:
        with transaction() as conn:
            return facts.deliver(conn, claim, 1, delivered=ADDRESSES, usage={}, cost_usd_micros=7)

    works: list[Callable[[int], Any]] = [result, lambda _: tried(job_acts.discard_job, claim.job_id)]
    _, discarded = together(2, lambda number: works[(number + turn) % 2](number))[:: 1 if turn % 2 == 0 else -1]
    ended = one("select ended from jobs where id = %s", claim.job_id)[0]
    assert (ended == "failed") == isinstance(discarded, Acted)
    assert balance(who) == ((9, 0) if ended else (5, 4))
    assert_books_are_clean()
