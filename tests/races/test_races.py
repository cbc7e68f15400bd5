"""Real threads and real commits; the armed lock time-out turns a deadlock or a long wait into a failure."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.intake.submits import Intake
from common.errors import Busy, DomainError, Forbidden, NotCancelable
from models import connecting, db
from models.access import api_keys, minting
from models.access.audit_log import By
from models.access.scopes import SCOPES, Caller
from models.accounts import accounts
from models.credits import ledger
from models.db import transaction
from models.jobs import cancel, ending
from models.jobs.admission import Accepted
from models.jobs.ending import AttemptEnd, Ending
from models.jobs.steps import claim
from scheduler.duties.accounts import expire_grants
from scheduler.duties.jobs import rescue
from tests.support import (
    account,
    assert_books_are_clean,
    balance,
    claimed,
    eventually,
    lock_waits,
    model,
    one,
    order,
    place,
    placed,
    rows,
)


@pytest.fixture
def many(database: str) -> None:
    db.size_pool(24)
    db.close()  # a pool is there already: that of the test before
    yield
    db.size_pool(8)


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(0..count-1)` in as many threads, all let go at once."""
    gate = threading.Barrier(count)

    def go(number: int) -> Any:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(go, range(count)))


def submit_all(orders: list[Any]) -> list[Any]:
    """Through the API's own intake, all at once."""

    async def run() -> list[Any]:
        intake = Intake()
        try:
            return await asyncio.gather(*(intake.submit(each) for each in orders), return_exceptions=True)
        finally:
            await asyncio.to_thread(intake.close)

    return asyncio.run(run())


@pytest.mark.usefixtures("many")
def test_64_submits_at_once_on_credits_for_10_give_exactly_10_jobs() -> None:
    who, offer = account(amount=10), model()
    answers = together(16, lambda _: place(*(order(who, offer) for _ in range(4))))
    flat = [answer for batch in answers for answer in batch]
    assert sum(isinstance(answer, Accepted) for answer in flat) == 10
    assert {answer.code for answer in flat if isinstance(answer, DomainError)} == {"not_enough_credits"}
    assert balance(who) == (0, 10)
    assert one("select count(*) from jobs") == (10,)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_64_submits_through_two_intakes_at_once_on_credits_for_10_give_exactly_10_jobs() -> None:
    who, offer = account(amount=10), model()
    answers = together(2, lambda _: submit_all([order(who, offer) for _ in range(32)]))
    assert sum(isinstance(answer, Accepted) for batch in answers for answer in batch) == 10
    assert balance(who) == (0, 10)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_100_submits_with_one_idempotency_key_give_one_job_and_one_answer() -> None:
    who, offer = account(amount=100), model()
    orders = [order(who, offer, idempotency_key="same", body_hash=b"same") for _ in range(100)]
    answers = together(4, lambda part: submit_all(orders[part::4]))
    flat = [answer for batch in answers for answer in batch]
    assert {answer.job_id for answer in flat} == {one("select id from jobs")[0]}
    assert sum(not answer.replayed for answer in flat) == 1
    assert balance(who) == (99, 1)
    assert_books_are_clean()


def key(who: UUID, **fields: Any) -> UUID:
    with transaction() as conn:
        return api_keys.create(conn, who, api_keys.NewKey("test", **fields))[0]


def child(who: UUID, maker: UUID) -> UUID | DomainError:
    """A key that a key makes, as the API has it made."""
    caller = Caller(who, who, maker, frozenset(SCOPES), "user")
    try:
        with transaction() as conn:
            return minting.mint(conn, caller, api_keys.NewKey("child"))[0]
    except DomainError as refused:
        return refused


@pytest.mark.usefixtures("many")
def test_a_parent_and_its_children_that_race_for_the_last_credit_get_it_once() -> None:
    who, offer = account(amount=100), model()
    parent = key(who, monthly_credits=10)
    placed_before = [placed(who, offer, api_key_id=parent, key_budget=10) for _ in range(9)]
    family = [parent, *(made for made in (child(who, parent) for _ in range(7)) if isinstance(made, UUID))]
    with transaction() as conn:
        family.append(api_keys.rotate(conn, who, family[1], 24)[0])
    assert (len(placed_before), len(family)) == (9, 9)
    orders = [order(who, offer, api_key_id=each, key_budget=10) for each in family]
    answers = together(3, lambda part: submit_all(orders[part::3]) if part else place(*orders[part::3]))
    flat = [answer for batch in answers for answer in batch]
    assert sum(isinstance(answer, Accepted) for answer in flat) == 1
    assert {answer.code for answer in flat if isinstance(answer, DomainError)} == {"key_budget_exceeded"}
    assert one("select credits from key_spending where key_id = %s", parent) == (10,)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_no_child_outlives_a_revocation_that_its_making_races_with() -> None:
    who = account()
    for _ in range(10):
        parent = key(who)

        def act(number: int, parent: UUID = parent) -> Any:
            if number == 2:
                with transaction() as conn:
                    api_keys.revoke(conn, parent)
                return None
            return child(who, parent)

        made = [each for each in together(5, act) if isinstance(each, UUID)]
        assert rows("select id from api_keys where revoked_at is null") == []
        assert len(rows("select 1 from api_keys where %s = any(makers)", parent)) == len(made)


@pytest.mark.usefixtures("many")
def test_no_child_has_more_than_a_budget_that_is_lowered_while_it_is_made() -> None:
    who, offer = account(amount=100), model()
    for _ in range(10):
        parent = key(who, monthly_credits=50)

        def act(number: int, parent: UUID = parent) -> Any:
            if number == 2:
                with transaction() as conn:
                    conn.execute("update api_keys set monthly_credits = 3 where id = %s", [parent])
                return None
            return child(who, parent)

        made = [each for each in together(5, act) if isinstance(each, UUID)]
        assert len(made) == 4
        orders = [order(who, offer, api_key_id=each, key_budget=50) for each in (*made, parent)]
        accepted = [each for batch in together(5, lambda n, o=orders: place(o[n])) for each in batch]
        assert sum(isinstance(each, Accepted) for each in accepted) == 3
        with transaction() as conn:
            for each in (*made, parent):
                api_keys.revoke(conn, each)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_no_admins_key_is_left_of_a_demotion_that_its_making_races_with() -> None:
    who = account()
    user = one("select user_id from accounts")[0]
    for _ in range(10):
        with transaction() as conn:
            accounts.change_role(conn, By("tester"), user, "admin")

        def act(number: int) -> Any:
            try:
                with transaction() as conn:
                    if number == 2:
                        accounts.change_role(conn, By("tester"), user, "user")
                    else:
                        minting.mint(
                            conn, Caller(who, user, None, frozenset(SCOPES), "admin"), api_keys.NewKey("x", SCOPES)
                        )
            except Forbidden:
                return

        together(5, act)
        assert rows("select id from api_keys where revoked_at is null and 'admin' = any(scopes)") == []


@pytest.mark.usefixtures("many")
def test_20_repeated_messages_give_one_claim() -> None:
    job_id = placed(account(amount=1), model())

    def one_claims(number: int) -> Any:
        with transaction() as conn:
            return claim(conn, job_id, f"worker-{number}")

    assert sum(each is not None for each in together(20, one_claims)) == 1


@pytest.fixture
def patient(many: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody gives up a lock here, however slow the machine is."""
    usual = connecting.wanted
    endless = {"lock_timeout": "120s", "statement_timeout": "120s"}
    with monkeypatch.context() as patched:
        patched.setattr(connecting, "wanted", lambda **given: usual(**{**given, **endless}))
        db.close()
        yield
    db.close()


@pytest.mark.usefixtures("patient")
def test_an_account_that_is_held_delays_no_other_tenant() -> None:
    held, free, offer = account(amount=50), account(amount=50), model()
    is_held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction() as conn:
            conn.execute("select 1 from accounts where id = %s for no key update", [held])
            is_held.set()
            let_go.wait(100)

    async def run() -> None:
        intake = Intake()
        try:
            blocked = [asyncio.create_task(intake.submit(order(held, offer))) for _ in range(8)]
            await asyncio.to_thread(eventually, lambda: lock_waits() > 0, what="a submit that waits for the account")
            async with asyncio.timeout(60):
                for _ in range(20):
                    await intake.submit(order(free, offer))
            assert not any(task.done() for task in blocked)
            let_go.set()
            await asyncio.gather(*blocked)
        finally:
            let_go.set()
            await asyncio.to_thread(intake.close)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(60)
    asyncio.run(run())
    holder.join()
    assert rows("select count(*) from jobs group by account_id order by 1") == [(8,), (20,)]
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_an_account_held_for_longer_than_the_time_out_is_a_503_and_nothing_is_done() -> None:
    held, offer = account(amount=5), model()
    is_held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction() as conn:
            conn.execute("select 1 from accounts where id = %s for no key update", [held])
            is_held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(60)
    answer = submit_all([order(held, offer)])[0]
    done.set()
    holder.join()
    assert isinstance(answer, Busy)
    assert answer.status == 503
    assert balance(held) == (5, 0)
    assert rows("select 1 from jobs") == []


@pytest.mark.usefixtures("many")
def test_one_bad_submission_in_a_batch_harms_no_other() -> None:
    who, offer = account(amount=50), model()
    bad = order(who, offer, api_key_id=None, retry_of=uuid4())  # names a job that does not exist: a foreign key fails
    good = [order(who, offer) for _ in range(9)]
    answers = submit_all([*good[:4], bad, *good[4:]])
    assert sum(isinstance(answer, Accepted) for answer in answers) == 9
    assert isinstance(answers[4], Exception)
    assert balance(who) == (41, 9)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_ends_against_cancels_and_dispatch_under_load_make_no_deadlock() -> None:
    offer = model()
    owners = [account(amount=200, plan="studio") for _ in range(4)]
    jobs = [placed(owner, offer) for owner in owners for _ in range(40)]
    rng = random.Random(4)
    rng.shuffle(jobs)

    def finish(job_id: Any) -> None:
        with transaction() as conn:
            got = claim(conn, job_id, "worker")
        if got is None or got.live is None:
            return
        with transaction() as conn:
            ending.end(
                conn, got.account_id, job_id,
                Ending("succeeded", cost_credits=1, attempt=AttemptEnd(got.live.number, "done")), token=got.token,
            )  # fmt: skip

    def drop(job_id: Any) -> None:
        try:
            with transaction() as conn:
                cancel.cancel(conn, job_id)
        except NotCancelable:
            return

    def work(part: int) -> None:
        for job_id in jobs[part % 8 :: 8]:
            (finish if part < 8 else drop)(job_id)

    together(16, work)
    while waiting := rows("select job_id from job_runs where dispatched and lease_owner is null"):
        for (job_id,) in waiting:
            finish(job_id)
    assert rows("select 1 from job_runs") == []
    assert sum(balance(owner)[1] for owner in owners) == 0
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_a_stale_worker_can_neither_settle_nor_fail_a_rescued_job() -> None:
    job_id = placed(account(amount=5), model())
    stale = claimed(job_id)
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() - interval '1 second'")
    rescue(10)
    fresh = claimed(job_id, "fresh")

    def finish(number: int) -> Any:
        claim = fresh if number == 7 else stale
        what = Ending("succeeded", cost_credits=1) if number % 2 else Ending("failed", error_code="stale")
        with transaction() as conn:
            return ending.end(conn, claim.account_id, job_id, what, token=claim.token)

    done = together(12, finish)
    assert [each is not None for each in done].index(True) == 7
    assert sum(each is not None for each in done) == 1
    assert one("select ended from jobs") == ("succeeded",)
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_submit_cancel_settle_grant_and_expire_at_once_keep_the_books_clean() -> None:
    offers = [model("one", price={"credits": 1}), model("five", price={"credits": 5})]
    owners = [account(amount=30, plan="studio") for _ in range(3)]
    until = time.monotonic() + 4

    def work(number: int) -> int:
        rng, steps = random.Random(number), 0
        while time.monotonic() < until:
            steps += 1
            owner = rng.choice(owners)
            match rng.randrange(6):
                case 0 | 1:
                    place(order(owner, rng.choice(offers)))
                case 2:
                    _grant(owner, rng)
                case 3:
                    expire_grants(10)
                case 4:
                    _cancel_some(rng)
                case _:
                    _finish_some(rng)
        return steps

    assert sum(together(12, work)) > 100
    assert_books_are_clean()


def _grant(owner: Any, rng: random.Random) -> None:
    with transaction() as conn:
        lifetime = rng.choice([None, 0.2, 60])
        row = conn.execute("select app_now() + make_interval(secs => %s)", [lifetime]).fetchone()
        assert row is not None
        ledger.grant(
            conn,
            owner,
            kind="gift",
            amount=rng.randint(1, 9),
            ref=str(uuid4()),
            expires_at=row[0] if lifetime else None,
        )


def _cancel_some(rng: random.Random) -> None:
    for (job_id,) in rows("select job_id from job_runs order by random() limit 1"):
        try:
            with transaction() as conn:
                cancel.cancel(conn, job_id)
        except NotCancelable:
            return


def _finish_some(rng: random.Random) -> None:
    for (job_id,) in rows("select job_id from job_runs where dispatched order by random() limit 2"):
        with transaction() as conn:
            got = claim(conn, job_id, "worker")
        if got:
            what = rng.choice([Ending("succeeded", cost_credits=rng.randint(0, 6)), Ending("failed", error_code="x")])
            with transaction() as conn:
                ending.end(conn, got.account_id, job_id, what, token=got.token)
