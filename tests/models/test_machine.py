"""A state machine over the ledger and the life of a job: whatever is done in whatever order, the books hold."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from models import cancel, credits, ending, runs
from models.db import transaction
from models.ending import AttemptEnd, Ending
from models.errors import NotCancelable
from models.submit import Accepted
from scheduler import jobs as duties
from tests.support import account, assert_books_are_clean, balance, model, one, order, place, rows


class Life(RuleBasedStateMachine):
    """Keeps its own idea of what each account has; the database must agree after every step."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.offers = [model("one"), model("four", price={"credits": 4}, on_cancel="charge")]
        self.owners = [account(plan="free") for _ in range(2)]
        self.worth = dict.fromkeys(self.owners, 0)  # available + reserved
        self.ended: dict[UUID, str] = {}

    @rule(who=st.integers(0, 1), amount=st.integers(1, 12))
    def grant(self, who: int, amount: int) -> None:
        with transaction() as conn:
            credits.grant(conn, self.owners[who], kind="gift", amount=amount, ref=str(uuid4()))
        self.worth[self.owners[who]] += amount

    @rule(target=jobs, who=st.integers(0, 1), what=st.integers(0, 1), key=st.sampled_from([None, "a", "b"]))
    def submit(self, who: int, what: int, key: str | None) -> Any:
        owner, offer = self.owners[who], self.offers[what]
        available = balance(owner)[0]
        price = offer.entry.price.credits or 0
        known = rows("select job_id from idempotency_keys where account_id = %s and key = %s", owner, key)
        answer = place(order(owner, offer, idempotency_key=key, body_hash=str(what).encode()))[0]
        if known:
            assert not isinstance(answer, Accepted) or answer.job_id == known[0][0]
        elif price > available:
            assert getattr(answer, "code", None) == "not_enough_credits"
        else:
            assert isinstance(answer, Accepted)
        return answer.job_id if isinstance(answer, Accepted) else None

    @rule(target=claims, job=jobs)
    def claim(self, job: Any) -> Any:
        if job is None:
            return None
        with transaction() as conn:
            claim = runs.claim(conn, job, "worker")
        return (claim, claim.live.number if claim.live else None) if claim else None

    @rule(claim=consumes(claims), good=st.booleans(), cost=st.integers(0, 5))
    def finish(self, claim: Any, good: bool, cost: int) -> None:
        if claim is None:
            return
        held, number = claim
        price = one("select price_credits from jobs where id = %s", held.job_id)[0]
        what = Ending(
            "succeeded" if good else "failed", cost_credits=cost if good else 0, error_code=None if good else "x",
            attempt=AttemptEnd(number, "done" if good else "failed") if number else None,
        )  # fmt: skip
        with transaction() as conn:
            done = ending.end(
                conn, held.account_id, held.job_id, what, token=held.token, on_cancel=held.entry.on_cancel
            )
        if done is None:
            return
        assert held.job_id not in self.ended
        self.ended[held.job_id] = done.ended
        charged = one("select charged_credits from jobs where id = %s", held.job_id)[0]
        assert charged == (
            min(cost, price) if good and (done.ended != "canceled" or held.entry.on_cancel == "charge") else 0
        )
        self.worth[held.account_id] -= charged

    @rule(claim=consumes(claims), spends=st.booleans())
    def put_back(self, claim: Any, spends: bool) -> None:
        if claim is None or claim[1] is None:
            return
        held, number = claim
        with transaction() as conn:
            done = ending.put_back(
                conn, held.account_id, held.job_id, token=held.token, after_seconds=0, reason="again",
                attempt=AttemptEnd(number, "failed"), spends_attempt=spends,
            )  # fmt: skip
        if done is not None and done.ended == "canceled":
            self.ended[held.job_id] = "canceled"

    @rule(job=jobs)
    def cancel(self, job: Any) -> None:
        if job is None:
            return
        try:
            with transaction() as conn:
                done = cancel.cancel(conn, job)
        except NotCancelable:
            assert self.ended[job] in {"succeeded", "failed"}
            return
        if done.ended:
            self.ended[job] = "canceled"

    @rule()
    def lose_the_workers(self) -> None:
        with transaction() as conn:
            conn.execute("update job_runs set wake_at = app_now() - interval '1 s' where lease_owner is not null")
        duties.rescue(100)
        for job_id, ended in rows(
            "select id, ended from jobs where error_code = 'worker_lost' and account_id = any(%s)", self.owners
        ):
            self.ended.setdefault(job_id, ended)

    @rule()
    def retry(self) -> None:
        duties.retry_due(100)

    @invariant()
    def the_books_hold(self) -> None:
        for owner, worth in getattr(self, "worth", {}).items():
            assert sum(balance(owner)) == worth
        for job_id, ended in rows(
            "select id, ended from jobs where ended is not null and account_id = any(%s)", getattr(self, "owners", [])
        ):
            assert self.ended[job_id] == ended
        assert_books_are_clean()


@pytest.mark.usefixtures("database")
def test_the_books_hold_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
