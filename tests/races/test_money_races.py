"""Races about money: each with real threads, let go at once, and the books after each round."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from common.errors import DomainError, InvalidInput, InvalidRequest, PromotionRefused
from companies.registry import company
from models import db
from models.access.audit_log import By
from models.accounts import standing
from models.credits import revoking
from models.db import transaction
from models.jobs.admission import Accepted
from models.payments import due, hints, promotions, refills, refunds
from models.payments.states import Dispute, PaymentStatus
from scheduler.duties import payments
from scheduler.turns import Aside
from tests.api.auth.test_acting import as_of, server
from tests.conftest import environment
from tests.models.payments.shop import BY, D, ordered, pack, seen, told
from tests.races.test_races import together
from tests.scheduler.duties.test_payments import PRICES, Far, customer, look, make_due, written
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, order, place, rows

ROUNDS = 8


@pytest.fixture(autouse=True)
def many(database: str) -> Iterator[None]:
    db.size_pool(24)
    db.close()  # a pool is there already: that of the test before
    yield
    db.size_pool(8)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    monkeypatch.setattr(payments, "_resting", payments.Resting())
    with ExitStack() as stack:
        made = Far(stack)
        stack.enter_context(environment({**made.settings(), "REFILL_PAUSE_SECONDS": "0"}))
        pack(**PRICES)
        yield made


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Each in a thread of its own; what one is refused by is its answer."""

    def act(number: int) -> Any:
        try:
            return acts[number]()
        except DomainError as refused:
            return refused

    return together(len(acts), act)


def debt(who: UUID) -> int:
    return int(one("select debt from accounts where id = %s", who)[0])


def there(far: Far, who: UUID) -> UUID:
    """A payment that its company has, and that is paid there."""
    payment = written(who, "xendit")
    look()
    far.pay("xendit", seen(payment).company_id or "")
    return payment


def test_of_two_looks_at_one_payment_the_later_one_counts_and_it_is_credited_once(far: Far) -> None:
    for _ in range(ROUNDS):
        who = customer()
        payment = there(far, who)
        claims = []
        for _ in range(2):
            make_due()
            with transaction() as conn:
                claims += [each for each in due.claim(conn, 100) if each.id == payment]
        asked = company("xendit")
        first, second = at_once(*(lambda one=one, asked=asked: payments.look(one, asked) for one in claims))
        assert (first, second) == (False, True)
        assert balance(who) == (100, 0)
    assert_books_are_clean()


def test_several_schedulers_at_once_credit_each_payment_once(far: Far) -> None:
    buyers = [customer() for _ in range(6)]
    for who in buyers:
        there(far, who)
    make_due()
    at_once(*[lambda: payments.look_at_payments(10)] * 4)
    assert [balance(who) for who in buyers] == [(100, 0)] * 6
    assert_books_are_clean()


def test_a_hook_and_a_look_at_once_lose_nothing(far: Far) -> None:
    for number in range(ROUNDS):
        who = customer()
        payment = written(who, "xendit")
        look()
        name = seen(payment).company_id or ""

        def hook(number: int = number, name: str = name) -> None:
            far.pay("xendit", name)
            with transaction() as conn:
                hints.receive(conn, "xendit", f"event-{number}", "invoice.paid", (name,), {})

        make_due()
        at_once(hook, lambda: payments.look_at_payments(10), lambda: payments.look_at_payments(10))
        payments.look_at_payments(10)  # what the hook has made due; no time passes
        assert balance(who) == (100, 0)
    assert_books_are_clean()


def test_a_refund_and_a_dispute_at_once_take_back_once() -> None:
    pack()
    for _ in range(ROUNDS):
        who = account()
        payment = ordered(who)
        told(payment)
        place(order(who, model(price={"credits": 70})))
        at_once(
            lambda payment=payment: told(payment, refunded=D(10)), lambda payment=payment: told(payment, dispute=Dispute.OPEN),
            lambda payment=payment: told(payment, refunded=D(10), dispute=Dispute.LOST),
        )  # fmt: skip
        assert (balance(who), debt(who), seen(payment).credits_given) == ((0, 70), 70, 0)
        assert rows("select sum(taken_back) from grants where account_id = %s", who) == [(100,)]
    assert_books_are_clean()


def test_of_two_admins_who_give_all_back_one_is_refused(far: Far) -> None:
    for _ in range(ROUNDS):
        who = customer()
        payment = there(far, who)
        look()

        def give_back(payment: UUID = payment) -> Any:
            with transaction() as conn:
                return refunds.order_refund(conn, BY, payment, None, "all of it")

        answers = at_once(give_back, give_back)
        assert sum(isinstance(each, InvalidInput) for each in answers) == 1, answers
        at_once(lambda: payments.look_at_payments(10), lambda: payments.look_at_payments(10))
        look()
        assert (seen(payment).status, balance(who)) == (PaymentStatus.REFUNDED, (0, 0))
    assert len(far.xendit.refunds) == ROUNDS
    assert_books_are_clean()


def test_two_admins_who_say_that_money_is_there_credit_it_once() -> None:
    pack()
    for _ in range(ROUNDS):
        who = account()
        payment = ordered(who, company="manual")

        def paid(payment: UUID = payment) -> None:
            with transaction() as conn:
                refunds.mark_paid(conn, BY, payment, None, "by bank")

        at_once(*[paid] * 4)
        assert balance(who) == (100, 0)
        assert rows("select count(*) from acts where action = 'payment.mark_paid' and subject = %s", str(payment)) == [
            (1,)
        ]
    assert_books_are_clean()


def test_of_two_who_use_a_code_with_one_use_left_one_gets_it() -> None:
    for number in range(ROUNDS):
        several, code = [account(), account()], f"LAST-{number}"
        with transaction() as conn:
            promotions.create(conn, BY, code, credits=10, max_uses=1)

        def redeem(who: UUID, code: str = code) -> Any:
            with transaction() as conn:
                return promotions.redeem(conn, who, code, by=BY)

        acts = [lambda who=who: redeem(who) for who in several * 3]
        answers = at_once(*acts)
        assert sum(not isinstance(each, PromotionRefused) for each in answers) == 1
        assert sorted(balance(who) for who in several) == [(0, 0), (10, 0)]
        assert rows("select uses from promotions where code = %s", code) == [(1,)]
    assert_books_are_clean()


def test_one_who_uses_a_code_twice_at_once_gets_it_once() -> None:
    with transaction() as conn:
        promotions.create(conn, BY, "OFTEN", credits=10)
    for _ in range(ROUNDS):
        who = account()

        def redeem(who: UUID = who) -> Any:
            with transaction() as conn:
                return promotions.redeem(conn, who, "OFTEN", by=BY)

        answers = at_once(*[redeem] * 4)
        assert sum(isinstance(each, PromotionRefused) for each in answers) == 3
        assert balance(who) == (10, 0)
    assert_books_are_clean()


def test_several_schedulers_order_one_refill(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(ROUNDS):
        who = customer()
        with transaction() as conn:
            conn.execute(
                """insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
                   values (%s, 'small', 'USD', 50, 1000, 'stripe', 'cus_1', 'pm_1')""",
                [who],
            )
        monkeypatch.setattr(payments, "_refills", Aside())
        at_once(*[lambda: payments.order_refills(10)] * 4)
        assert rows("select price from payments where account_id = %s", who) == [(10,)]
        at_once(*[lambda: payments.look_at_payments(10)] * 3, lambda: payments.order_refills(10))
        assert balance(who) == (100, 0)
        assert rows("select count(*) from payments where account_id = %s", who) == [(1,)]
    assert sum(each["object"] == "payment_intent" for each in far.stripe.things.values()) == ROUNDS
    assert_books_are_clean()


def test_a_refill_that_is_switched_off_while_it_is_ordered_is_ordered_once_or_never(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    del far
    for _ in range(ROUNDS):
        who = customer()
        with transaction() as conn:
            conn.execute(
                """insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
                   values (%s, 'small', 'USD', 50, 1000, 'stripe', 'cus_1', 'pm_1')""",
                [who],
            )

        def off(who: UUID = who) -> None:
            with transaction() as conn:
                refills.switch_off(conn, who)

        monkeypatch.setattr(payments, "_refills", Aside())
        at_once(off, lambda: payments.order_refills(10), lambda: payments.order_refills(10))
        assert len(rows("select 1 from payments where account_id = %s", who)) <= 1
        payments.order_refills(10)
        assert len(rows("select 1 from payments where account_id = %s", who)) <= 1


@pytest.mark.parametrize("acting", [False, True])
def test_nobody_orders_after_they_were_suspended(acting: bool) -> None:
    """What came before goes on, and is paid for; what begins once the operator was answered is refused."""
    who, name = account(amount=1000), model().entry.id
    user = one("select user_id from accounts where id = %s", who)[0]
    done, late, made = threading.Event(), list[int](), list[int]()
    with environment({"KEY_CACHE_SECONDS": "0"}), TestClient(make_app()) as http:
        headers = as_of(server(), who) if acting else {"authorization": f"Bearer {key_of(who)}"}

        def submit() -> None:
            for _ in range(200):
                began_late = done.is_set()
                status = http.post("/v1/jobs", json={"model": name, "input": {}}, headers=headers).status_code
                made.extend([status] * (status == 201))
                late.extend([status] * began_late)
                if len(late) >= 5:
                    return

        def suspend() -> None:
            while len(made) < 6:
                done.wait(0.01)
            with transaction() as conn:
                standing.suspend(conn, By("test"), user, "it was seen to cheat")
            done.set()

        together(4, lambda number: submit() if number else suspend())
    assert set(late) == {403}
    assert rows("select count(*) from jobs where account_id = %s", who) == [(len(made),)]
    assert sum(balance(who)) == 1000
    assert_books_are_clean()


def test_the_last_credit_is_spent_or_taken_by_hand_and_never_both() -> None:
    offer = model(price={"credits": 10})
    for _ in range(ROUNDS):
        who = account(amount=10)

        def take(who: UUID = who) -> None:
            with transaction() as conn:
                standing.take_credits(conn, BY, who, 10, "by mistake")

        placed, taken = at_once(lambda who=who: place(order(who, offer))[0], take)
        accepted = isinstance(placed, Accepted)
        assert accepted == isinstance(taken, InvalidInput)
        assert (balance(who), debt(who)) == (((0, 10) if accepted else (0, 0)), 0)
    assert_books_are_clean()


def test_the_last_credit_is_owed_where_it_was_spent_as_its_payment_went_back() -> None:
    pack()
    offer = model(price={"credits": 100})
    for _ in range(ROUNDS):
        who = account()
        payment = ordered(who)
        told(payment)
        placed, _ = at_once(
            lambda who=who: place(order(who, offer))[0], lambda payment=payment: told(payment, refunded=D(10))
        )
        accepted = isinstance(placed, Accepted)
        assert (balance(who), debt(who)) == (((0, 100), 100) if accepted else ((0, 0), 0))
    assert_books_are_clean()


def test_two_who_take_the_same_credits_back_take_them_once() -> None:
    for _ in range(ROUNDS):
        who = account(amount=10)
        grant = one("select id from grants where account_id = %s", who)[0]

        def take(grant: UUID = grant) -> int:
            with transaction() as conn:
                return revoking.take_back(conn, grant, 10)

        answers = at_once(take, take, take)
        assert sum(isinstance(each, InvalidRequest) for each in answers) == 2
        assert (balance(who), debt(who)) == ((0, 0), 0)
    assert_books_are_clean()
