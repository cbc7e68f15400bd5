"""A state machine over the ledger and the life of a job: whatever is done in whatever order, the books hold."""

import os
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from cli.embedded.servers import Addresses
from common.errors import InvalidRequest, NotCancelable
from common.settings import settings as our_settings
from models.access import api_keys
from models.accounts import paid_periods
from models.accounts.periods import INTERVALS
from models.credits import ledger, revoking
from models.db import transaction
from models.events import events
from models.jobs import cancel, ending, steps
from models.jobs.admission import Accepted
from models.jobs.dispatch import dispatch
from models.jobs.ending import AttemptEnd, Ending, NewAsset
from scheduler.duties import accounts, results
from scheduler.duties.jobs import rescue, retry_due
from tests.conftest import environment, fresh_database
from tests.depth import examples
from tests.models.books import Books, Paid
from tests.models.credits.hold_rules import HoldRules
from tests.sessions import shift
from tests.support import account, assert_books_are_clean, model, one, order, place, rows

BUDGET = 25
PLANS = ("starter", "starter", "starter", "creator")
MANY = 10_000
AUDIT_EVERY = 4  # steps, and at the end of each run: what the audit looks at stays in the rows
who = st.sampled_from([0, 0, 0, 1])  # one account, mostly: what goes wrong takes several steps on the same


def set_clock(offset: timedelta) -> None:
    """Shift app_now() for what comes now."""
    os.environ["CLOCK_OFFSET_SECONDS"] = seconds = str(round(offset.total_seconds()))
    our_settings.cache_clear()
    shift(f"{seconds}s")
    with transaction() as conn:
        events.make_partitions(conn)


class Life(HoldRules):
    """Keeps the books a second time (`tests.models.books`); the database must agree after every step.

    Each run has a database of its own: a run that broke the books is repeated on sound ones.
    """

    stack: Addresses
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.database = ExitStack()
        self.database.enter_context(fresh_database(self.stack))
        self.offset = timedelta()
        set_clock(self.offset)
        self.offers = [model("one"), model("four", price={"credits": 4}, on_cancel="charge")]
        self.owners = [account(plan="free") for _ in range(2)]
        self.books = {owner: Books() for owner in self.owners}
        self.ended: dict[UUID, str] = {}
        self.steps = 0
        self.orders: dict[tuple[UUID, str], tuple[int, UUID, datetime]] = {}  # by idempotency key
        with transaction() as conn:
            self.keys = [
                api_keys.create(conn, each, api_keys.NewKey("k", monthly_credits=BUDGET))[0] for each in self.owners
            ]
        for each in range(2):  # so that hardly a run begins without something to order
            self.grant(each, 12, 30, None)

    def teardown(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database:
            if hasattr(self, "keys"):
                assert_books_are_clean()

    # Time

    @rule(hours=st.sampled_from([1, 11, 25, 25, 24 * 32, 24 * 32, -2]))
    def the_clock_steps(self, hours: int) -> None:
        self.offset = max(timedelta(), self.offset + timedelta(hours=hours))
        set_clock(self.offset)

    def now(self) -> datetime:
        found: datetime = one("select app_now()")[0]
        return found

    # Credits come and go

    @rule(
        who=who, amount=st.integers(1, 12), hours=st.sampled_from([None, 1, 12, 30]), goodwill=st.none() | jobs,
        priority=st.sampled_from([0, 0, 1]),
    )  # fmt: skip
    def grant(self, who: int, amount: int, hours: int | None, goodwill: Any, priority: int = 0) -> None:
        owner = self.owners[who]
        expires = self.now() + timedelta(hours=hours) if hours else None
        with transaction() as conn:
            given = ledger.grant(
                conn, owner, kind="goodwill" if goodwill else "gift", amount=amount, ref=str(uuid4()),
                expires_at=expires, job_id=goodwill, terms=ledger.GrantTerms(priority),
            )  # fmt: skip
        assert given is not None
        self.books[owner].give(given, amount, expires, priority)

    @rule(who=who, which=st.sampled_from([0, 0, 0, 1, 2, 3, 4]))
    def revoke(self, who: int, which: int) -> None:
        books = self.books[self.owners[who]]
        newest = sorted(books.lots, reverse=True)
        with transaction() as conn:
            assert revoking.revoke(conn, newest[which % len(newest)]) == books.revoke(newest[which % len(newest)])

    @rule(who=who, which=st.sampled_from([0, 0, 1, 2]), part=st.integers(1, 12))
    def take_back(self, who: int, which: int, part: int) -> None:
        books = self.books[self.owners[who]]
        newest = sorted(books.lots, reverse=True)
        lot = books.lots[newest[which % len(newest)]]
        amount = min(part, lot.amount - lot.taken)
        if not amount:
            with transaction() as conn, pytest.raises(InvalidRequest):
                revoking.take_back(conn, lot.id, part)
            return
        with transaction() as conn:
            assert revoking.take_back(conn, lot.id, amount) == books.take_back(lot.id, amount)

    @rule(who=who, plan=st.sampled_from(PLANS), interval=st.sampled_from(["monthly", "monthly", "yearly"]))
    def subscribe(self, who: int, plan: str, interval: str) -> None:
        owner, months = self.owners[who], INTERVALS[interval]
        books, now = self.books[owner], self.now()
        with transaction() as conn:
            paid_periods.subscribe(conn, owner, plan, interval)
            dispatch(conn, owner)
        books.sweep_subscription(now, "free")
        if books.paid and books.paid.plan == plan:
            books.paid.months += months
            self._grant_period(owner, now)  # the one that was not paid for until now
        else:
            started, amount = one(
                """select s.started_at, p.credits from subscriptions s join plans p on p.id = s.plan_id
                    where s.account_id = %s and s.status = 'active'""",
                owner,
            )
            assert started - now < timedelta(seconds=10)
            books.plan, books.paid = plan, Paid(plan, amount, started, months)
            self._grant_period(owner, now)
        assert one("select ends_at from subscriptions where account_id = %s and status = 'active'", owner) == (
            books.paid.after(books.paid.months),
        )

    def _grant_period(self, owner: UUID, now: datetime) -> None:
        books = self.books[owner]
        paid = books.paid
        if paid is None or paid.after(paid.months) <= now or paid.granted >= paid.months:
            return
        if (
            paid.after(paid.granted) > now and paid.granted
        ):  # a month that is begun is granted at once, though the clock went back
            return
        end = paid.after(paid.granted + 1)
        if end > now:
            ref = f"plan:%:{paid.granted}"
            found = rows(
                """select id from grants where account_id = %s and kind = 'plan' and ref like %s and expires_at = %s
                    order by id desc limit 1""",
                owner, ref, end,
            )  # fmt: skip
            assert found, f"the credits of month {paid.granted} were not granted"
            books.give(found[0][0], paid.credits, end)
        paid.granted += 1

    # Jobs

    @rule(
        target=jobs, who=who, what=st.integers(0, 1), key=st.sampled_from([None, None, "a", "b"]), by_key=st.booleans()
    )
    def submit(self, who: int, what: int, key: str | None, by_key: bool) -> Any:
        owner, offer, books, now = self.owners[who], self.offers[what], self.books[self.owners[who]], self.now()
        price = offer.entry.price.credits or 0
        budget = BUDGET if by_key else None
        answer = place(
            order(
                owner, offer, idempotency_key=key, body_hash=str(what).encode(),
                api_key_id=self.keys[who] if by_key else None, key_budget=budget,
            )
        )[0]  # fmt: skip
        known = self.orders.get((owner, key)) if key else None
        if known and known[2] > now - timedelta(hours=24):
            books.expire(now)
            expected = known[1] if known[0] == what else "idempotency_mismatch"
            assert (answer.job_id if isinstance(answer, Accepted) else answer.code) == expected
            return answer.job_id if isinstance(answer, Accepted) else None
        refusal = books.refusal(price, now, budget)
        assert getattr(answer, "code", None) == refusal
        if not isinstance(answer, Accepted):
            return None
        assert not answer.replayed
        books.order(answer.job_id, price, now, by_key=by_key)
        if key:
            self.orders[owner, key] = (what, answer.job_id, now)
        return answer.job_id

    @rule(target=claims, job=jobs)
    def claim(self, job: Any) -> Any:
        if job is None:
            return None
        with transaction() as conn:
            claim = steps.claim(conn, job, "worker")
        return (claim, claim.live.number if claim.live else None) if claim else None

    @rule(who=who, what=st.integers(0, 1), by_key=st.booleans(), cost=st.integers(1, 5))
    def order_and_pay(self, who: int, what: int, by_key: bool, cost: int) -> None:
        """What happens most."""
        job = self.submit(who, what, None, by_key)
        self.finish(self.claim(job), good=True, cost=cost)

    @rule(who=who, which=st.integers(0, 2), good=st.booleans(), cost=st.integers(0, 5))
    def end_a_living_job(self, who: int, which: int, good: bool, cost: int) -> None:
        living = sorted(self.books[self.owners[who]].held)
        if living:
            self.finish(self.claim(living[which % len(living)]), good=good, cost=cost)

    @rule(claim=consumes(claims), good=st.booleans(), cost=st.integers(0, 5))
    def finish(self, claim: Any, good: bool, cost: int) -> None:
        if claim is None:
            return
        held, number = claim
        assets = [NewAsset(uuid7(), 0, "k", "image/png", 1000 + cost, b"x" * 32)] if good else []
        what = Ending(
            "succeeded" if good else "failed", cost_credits=cost if good else 0, error_code=None if good else "x",
            assets=assets, attempt=AttemptEnd(number, "done" if good else "failed") if number else None,
        )  # fmt: skip
        now = self.now()
        with transaction() as conn:
            done = ending.end(
                conn, held.account_id, held.job_id, what, token=held.token, on_cancel=held.entry.on_cancel
            )
        if done is None:
            return
        taken = good and (done.ended != "canceled" or held.entry.on_cancel == "charge")
        self._over(held.account_id, held.job_id, done.ended, cost if taken else 0, now)

    def _over(self, owner: UUID, job_id: UUID, ended: str, cost: int, now: datetime) -> None:
        assert job_id not in self.ended
        self.ended[job_id] = ended
        self.books[owner].end(job_id, cost, now)

    @rule(claim=consumes(claims), spends=st.booleans())
    def put_back(self, claim: Any, spends: bool) -> None:
        if claim is None or claim[1] is None:
            return
        (held, number), now = claim, self.now()
        with transaction() as conn:
            done = ending.put_back(
                conn, held.account_id, held.job_id, token=held.token, after_seconds=0, reason="again",
                attempt=AttemptEnd(number, "failed"), spends_attempt=spends,
            )  # fmt: skip
        if done is not None and done.ended == "canceled":
            self._over(held.account_id, held.job_id, "canceled", 0, now)

    @rule(job=jobs)
    def cancel(self, job: Any) -> None:
        if job is None:
            return
        now = self.now()
        try:
            with transaction() as conn:
                done = cancel.cancel(conn, job)
        except NotCancelable:
            assert self.ended[job] in {"succeeded", "failed"}
            return
        if done.ended and job not in self.ended:
            owner = next(each for each, books in self.books.items() if job in books.held)
            self._over(owner, job, "canceled", 0, now)

    # Duties

    @rule(duty=st.sampled_from(["grants", "holds", "periods", "subscriptions", "rescue", "rescue", "retry", "results"]))
    def run_a_duty(self, duty: str) -> None:
        now = self.now()
        if duty == "grants":
            accounts.expire_grants(MANY)
            for books in self.books.values():
                books.expire(now)
        elif duty == "holds":
            self.expire_holds(now)
        elif duty == "periods":
            accounts.grant_periods(MANY)
            for owner in self.owners:
                self._grant_period(owner, now)
        elif duty == "subscriptions":
            accounts.expire_subscriptions(MANY)
            for books in self.books.values():
                books.sweep_subscription(now, "free")
        elif duty == "rescue":
            self._lose_the_workers(now)
        elif duty == "retry":
            retry_due(MANY)
        else:
            results.expire_results(MANY)

    def _lose_the_workers(self, now: datetime) -> None:
        with transaction() as conn:
            conn.execute("update job_runs set wake_at = app_now() - interval '1 s' where lease_owner is not null")
        rescue(MANY)
        for owner, job_id in rows(
            """select j.account_id, j.id from jobs j join events e on e.job_id = j.id and e.type = 'job.failed'
                where j.error_code = 'worker_lost' and j.account_id = any(%s) order by e.number""",
            self.owners,
        ):
            if job_id not in self.ended:
                self._over(owner, job_id, "failed", 0, now)

    @invariant()
    def the_books_hold(self) -> None:
        if not getattr(self, "books", None):
            return
        with transaction() as conn, conn.pipeline():
            sums, lots, jobs, spent = (
                conn.execute(statement, [ids])
                for statement, ids in (
                    ("select id, available, reserved, debt, plan_id from accounts where id = any(%s)", self.owners),
                    (
                        """select account_id, id, remaining, expires_at, revoked_at is not null from grants
                            where account_id = any(%s)""",
                        self.owners,
                    ),
                    (
                        """select account_id, id, ended, charged_credits from jobs
                            where ended is not null and account_id = any(%s)""",
                        self.owners,
                    ),
                    ("select key_id, month::text, credits from key_spending where key_id = any(%s)", self.keys),
                )
            )
        books = self.books.items()
        assert set(sums) == {(who, b.available, b.reserved, b.debt, b.plan) for who, b in books}
        assert set(lots) == {
            (who, lot.id, lot.remaining, lot.expires_at, lot.revoked) for who, b in books for lot in b.lots.values()
        }
        assert set(jobs) == {
            (who, job_id, self.ended[job_id], charged) for who, b in books for job_id, charged in b.charged.items()
        }
        assert set(spent) == {
            (key, month, amount) for key, b in zip(self.keys, self.books.values(), strict=True)
            for month, amount in b.spent_by_key.items()
        }  # fmt: skip
        self.steps += 1
        if self.steps % AUDIT_EVERY == 0:
            assert_books_are_clean()


@pytest.mark.timeout(600)
def test_the_books_hold_whatever_happens_in_whatever_order(stack: Addresses) -> None:
    Life.stack = stack
    with environment({"CLOCK_OFFSET_SECONDS": "0"}):
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=examples(30), stateful_step_count=50, deadline=None, print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
