"""The duty that asks companies: it finishes what was cut off, needs no hook, and leaves a company that is away alone."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from uuid import UUID

import pytest

from companies.registry import company
from models.db import transaction
from models.payments import due, orders, refunds, standings
from models.payments.states import PaymentStatus
from scheduler.duties import payments
from tests.conftest import environment
from tests.far_side.companies import Raw
from tests.far_side.stripe import StripeServer
from tests.far_side.truelayer import TrueLayerServer
from tests.far_side.xendit import XenditServer
from tests.models.payments.shop import BY, D, pack, seen
from tests.support import account, assert_books_are_clean, balance, one, rows

pytestmark = pytest.mark.usefixtures("database")

CURRENCY = {"xendit": "IDR", "stripe": "USD", "truelayer": "GBP"}
PRICES = {"USD": "10.00", "IDR": "150000", "GBP": "8.00"}


class Far:
    """All three companies, and the settings with which they are reached."""

    def __init__(self, stack: ExitStack) -> None:
        self.xendit = stack.enter_context(XenditServer().running())
        self.stripe = stack.enter_context(StripeServer().running())
        self.truelayer = stack.enter_context(TrueLayerServer().running())
        self.of = {"xendit": self.xendit, "stripe": self.stripe, "truelayer": self.truelayer}

    def settings(self) -> dict[str, str]:
        return {
            "XENDIT_KEY": "xnd_development_key", "XENDIT_CALLBACK_TOKEN": self.xendit.token, "XENDIT_URL": self.xendit.url,
            "STRIPE_KEY": "sk_test_key", "STRIPE_WEBHOOK_SECRET": self.stripe.secret, "STRIPE_URL": self.stripe.url,
            "TRUELAYER_CLIENT_ID": "us", "TRUELAYER_CLIENT_SECRET": "the-secret", "TRUELAYER_KEY_ID": "our-key",
            "TRUELAYER_PRIVATE_KEY": self.truelayer.our_private, "TRUELAYER_MERCHANT_ACCOUNT_ID": "m",
            "TRUELAYER_URL": self.truelayer.url, "TRUELAYER_AUTH_URL": self.truelayer.url, "TRUELAYER_JWKS_URL": self.truelayer.jwks_url,
            "MANUAL_PAYMENTS": "true",
        }  # fmt: skip

    def pay(self, name: str, company_id: str) -> None:
        if name == "xendit":
            self.xendit.pay(company_id)
        elif name == "stripe":
            self.stripe.pay(company_id)
        else:
            self.truelayer.become(company_id, "settled")

    def fail_refunds(self, name: str, *, failing: bool) -> None:
        """What becomes of refunds that are ordered from now on, once they were taken."""
        if name == "stripe":
            self.stripe.refunds_end = "failed" if failing else "succeeded"
        elif name == "xendit":
            self.xendit.refunds_end = "FAILED" if failing else "SUCCEEDED"
        else:
            self.truelayer.refunds_end = "failed" if failing else "executed"

    def made(self, name: str) -> int:
        if name == "xendit":
            return len(self.xendit.invoices)
        if name == "stripe":
            return sum(each["object"] == "checkout.session" for each in self.stripe.things.values())
        return len(self.truelayer.payments)


@pytest.fixture
def far(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    monkeypatch.setattr("scheduler.duties.payments._resting", payments.Resting())
    with ExitStack() as stack:
        made = Far(stack)
        stack.enter_context(environment(made.settings()))
        pack(**PRICES)
        yield made


def written(who: UUID, name: str) -> UUID:
    """An order whose process was killed before its company heard of it."""
    with transaction() as conn:
        return orders.create(conn, who, orders.find_pack(conn, "small", CURRENCY[name]), name)


def make_due() -> None:
    with transaction() as conn:
        conn.execute("update payments set check_at = app_now() where check_at is not null")
        conn.execute("update refunds set check_at = app_now() where check_at is not null")


def look() -> None:
    make_due()
    payments.look_at_payments(100)


def customer() -> UUID:
    who = account()
    with transaction() as conn:
        conn.execute(
            "update users set email = 'payer@example.com' where id = (select user_id from accounts where id = %s)",
            [who],
        )
    return who


@pytest.mark.parametrize("name", CURRENCY)
def test_an_order_that_was_cut_off_is_opened_once_and_paid_without_any_hook(far: Far, name: str) -> None:
    who = customer()
    payment = written(who, name)
    payments.look_at_payments(100)
    assert seen(payment).company_id is None, "whoever ordered it has a minute"
    far.of[name].bad += ["whole"] * (name != "stripe") + ["cut"] * (3 if name == "stripe" else 1)
    look()
    far.of[name].bad.clear()
    payments._resting.well(name)
    look()
    company_id = seen(payment).company_id
    assert company_id is not None
    assert far.made(name) == 1
    assert seen(payment).pay_url
    look()
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PENDING, (0, 0))
    far.pay(name, company_id)
    for _ in range(3):
        look()
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PAID, (100, 0))
    assert_books_are_clean()


def test_a_company_that_is_away_is_left_alone_and_nobody_waits_for_it(far: Far) -> None:
    away, well = customer(), customer()
    first, second = written(away, "xendit"), written(well, "stripe")
    far.xendit.away = True
    look()
    asked = len(far.xendit.asked)
    look()
    assert len(far.xendit.asked) == asked
    assert (seen(first).company_id, seen(second).company_id is not None) == (None, True)
    far.xendit.away = False
    payments._resting.well("xendit")
    look()
    assert seen(first).company_id is not None
    assert far.made("xendit") == 1


def test_what_a_company_refuses_is_over_with_its_word(far: Far) -> None:
    who = account()  # without the e-mail address that TrueLayer wants
    payment = written(who, "truelayer")
    look()
    assert (seen(payment).status, seen(payment).reason) == (
        PaymentStatus.FAILED,
        "truelayer wants the payer's e-mail address",
    )
    assert one("select check_at from payments where id = %s", payment) == (None,)


def test_a_payment_that_its_company_does_not_know_is_asked_about_later(far: Far) -> None:
    payment = written(customer(), "xendit")
    look()
    far.xendit.invoices.clear()
    look()
    assert seen(payment).status is PaymentStatus.PENDING
    assert one("select check_at > app_now() + interval '10 min' from payments where id = %s", payment) == (True,)


@pytest.mark.parametrize("name", CURRENCY)
def test_a_refund_is_asked_for_once_and_takes_back_when_it_is_done(far: Far, name: str) -> None:
    who = customer()
    payment = written(who, name)
    look()
    far.pay(name, seen(payment).company_id or "")
    look()
    price = D(PRICES[CURRENCY[name]])
    with transaction() as conn:
        refunds.order_refund(conn, BY, payment, price / 2, "it was dear")
    assert balance(who) == (100, 0)
    far.of[name].bad += ["cut"] * (3 if name == "stripe" else 1)
    look()
    far.of[name].bad.clear()
    payments._resting.well(name)
    look()
    look()
    assert (seen(payment).status, seen(payment).refunded, balance(who)) == (
        PaymentStatus.PARTLY_REFUNDED,
        price / 2,
        (50, 0),
    )
    assert rows("select sent_at is not null, refused from refunds") == [(True, None)]
    assert_books_are_clean()


def test_a_refund_that_is_refused_says_so_and_may_be_ordered_again(far: Far) -> None:
    payment = written(customer(), "xendit")
    look()
    invoice = seen(payment).company_id or ""
    far.pay("xendit", invoice)
    look()
    far.xendit.give_back(invoice, 100_000)
    with transaction() as conn:
        refunds.order_refund(conn, BY, payment, D(150000), "all of it")
    look()
    assert [row[0][:28] for row in rows("select refused from refunds")] == ["MAXIMUM_REFUND_AMOUNT_REACHED"[:28]]
    look()
    with transaction() as conn:
        assert refunds.order_refund(conn, BY, payment, None, "the rest") == D(50000)


def test_two_schedulers_look_at_each_once(far: Far) -> None:
    for _ in range(5):
        written(customer(), "xendit")
    make_due()
    with transaction() as one_, transaction() as two:
        first, second = due.claim(one_, 3), due.claim(two, 10)
    assert len({each.id for each in (*first, *second)}) == 5
    assert (len(first), len(second)) == (3, 2)


def make_unclear(far: Far, name: str, company_id: str, status: str) -> None:
    far.pay(name, company_id)
    if name == "xendit":
        far.xendit.invoices[company_id]["status"] = status
    elif name == "stripe":
        far.stripe.things[far.stripe.things[company_id]["payment_intent"]]["status"] = status
    else:
        far.truelayer.payments[company_id]["status"] = status


@pytest.mark.parametrize("name", CURRENCY)
def test_a_state_that_is_new_is_said_once_per_payment_and_asked_about_ever_later(far: Far, name: str) -> None:
    who = customer()
    payment, other = written(who, name), written(who, name)
    look()
    company_id, others = seen(payment).company_id or "", seen(other).company_id or ""
    make_unclear(far, name, company_id, "a_new_state")
    far.pay(name, others)
    pauses = []
    for _ in range(5):
        make_due()
        assert payments.look_at_payments(100).errors == ()
        pauses.append(
            one("select round(extract(epoch from check_at - app_now())) from payments where id = %s", payment)[0]
        )
    assert (seen(payment).status, seen(other).status) == (PaymentStatus.PENDING, PaymentStatus.PAID)
    assert payments._resting.names() == [], "the company is well"
    assert all(after >= 2 * before - 2 for before, after in pairwise(pauses)), pauses
    told = rows("select details->>'reason' from acts where action = 'payment.unclear' and subject = %s", str(payment))
    assert [("a_new_state" in each[0]) for each in told] == [True]
    make_unclear(far, name, company_id, {"xendit": "PAID", "stripe": "succeeded", "truelayer": "settled"}[name])
    look()
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PAID, (200, 0))
    assert_books_are_clean()


def test_an_order_for_truelayer_that_was_cut_off_for_too_long_ends_and_no_dead_page_is_handed_out(far: Far) -> None:
    who = customer()
    payment = written(who, "truelayer")
    look()
    assert seen(payment).pay_url
    assert one("select expires_at - app_now() < interval '15 min' from payments") == (True,)
    with transaction() as conn:
        conn.execute("update payments set expires_at = app_now()")
    assert seen(payment).pay_url is None
    company_id = seen(payment).company_id or ""
    far.truelayer.become(company_id, "settled")  # late, but real
    look()
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PAID, (100, 0))


def test_bills_that_cannot_be_had_take_nothing_from_what_is_said_of_the_payment(far: Far) -> None:
    who = customer()
    with transaction() as conn:
        payment = orders.create(conn, who, orders.find_plan(conn, "creator", "monthly", "USD"), "stripe")
    look()
    far.pay("stripe", seen(payment).company_id or "")
    gone = {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such subscription"}}
    far.stripe.bad += [
        *["whole"] * 4,
        Raw(404, json.dumps(gone).encode()),
    ]  # session, invoice, refunds, disputes; bills
    look()
    assert len(far.stripe.bad) == 0
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PAID, (250, 0))


@pytest.mark.parametrize("name", CURRENCY)
def test_a_refund_that_fails_at_the_company_later_may_be_ordered_again(far: Far, name: str) -> None:
    who = customer()
    payment = written(who, name)
    look()
    far.pay(name, seen(payment).company_id or "")
    look()
    for _ in range(2):
        far.fail_refunds(name, failing=True)
        with transaction() as conn:
            refunds.order_refund(conn, BY, payment, None, "all of it")
        look()
        look()
        assert (seen(payment).status, balance(who)) == (PaymentStatus.REFUND_FAILED, (100, 0))
    far.fail_refunds(name, failing=False)
    with transaction() as conn:
        half = refunds.order_refund(conn, BY, payment, D(PRICES[CURRENCY[name]]) / 2, "half of it")
    look()
    with transaction() as conn:
        assert refunds.order_refund(conn, BY, payment, None, "the rest") == half
    look()
    assert (seen(payment).status, balance(who)) == (PaymentStatus.REFUNDED, (0, 0))
    assert rows("select sent_at is not null, refused is not null from refunds order by id") == [
        (False, True), (False, True), (True, False), (True, False),
    ]  # fmt: skip
    assert_books_are_clean()


def test_a_look_from_before_a_refund_does_not_put_off_the_one_that_finds_it(far: Far) -> None:
    who = customer()
    payment = written(who, "xendit")
    look()
    far.pay("xendit", seen(payment).company_id or "")
    look()
    with transaction() as conn:
        refunds.order_refund(conn, BY, payment, None, "all of it")
        conn.execute("update payments set check_at = app_now() where id = %s", [payment])
        (early,) = due.claim(conn, 10)  # another scheduler's, which is slow
    before = company("xendit").look(early.company_id or "")
    with transaction() as conn:
        (refund,) = due.claim_refunds(conn, 10)
    assert payments._refund(refund, company("xendit"))
    with transaction() as conn:
        assert not standings.apply(conn, BY, payment, who, payments.word_of(before), token=early.token)
    payments.look_at_payments(10)  # no time passes
    assert (seen(payment).status, balance(who)) == (PaymentStatus.REFUNDED, (0, 0))


def test_an_order_that_a_company_would_take_otherwise_now_is_over_and_troubles_nobody_else(far: Far) -> None:
    """Its answer was lost, and its payer's address is another one: under the same key Stripe takes no other order."""
    who = customer()
    payment, other = written(who, "stripe"), written(customer(), "stripe")
    with transaction() as conn:
        conn.execute("update payments set check_at = null where id = %s", [other])
    far.stripe.bad += ["cut"] * 3
    look()
    payments._resting.well("stripe")
    with transaction() as conn:
        conn.execute(
            "update users set email = 'new@example.com' where id = (select user_id from accounts where id = %s)", [who]
        )
    look()
    assert (seen(payment).status, payments._resting.names()) == (PaymentStatus.FAILED, [])
