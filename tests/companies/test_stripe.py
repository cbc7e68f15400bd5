"""Stripe, by its own package, against a server in its format: each thing asked for once, each event a hint."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companies.base import Away, Hint, Malformed, NotSigned, Refused, Unknown
from companies.stripe import Stripe
from tests.companies.orders import order
from tests.far_side.companies import Posted
from tests.far_side.stripe import StripeServer

D = Decimal


@pytest.fixture
def far() -> Iterator[StripeServer]:
    with StripeServer().running() as server:
        yield server


@pytest.fixture
def company(far: StripeServer) -> Stripe:
    return Stripe("sk_test_key", [far.secret, "whsec_" + "n" * 32], far.url)


def hint_of(company: Stripe, posted: Posted) -> Hint:
    return company.read_hook(posted.headers, posted.body, path=posted.path, now=time.time())


def test_a_page_is_made_once_with_the_smallest_units(company: Stripe, far: StripeServer) -> None:
    wanted = order("50000", "IDR", keep_card=True)
    far.bad += ["cut"]  # its package asks again, with our key
    opened = company.open(wanted)
    assert company.open(wanted) == opened
    session = far.things[opened.company_id]
    assert len(far.things) == 1
    assert (session["amount_total"], session["client_reference_id"], session["keeps"]) == (
        5_000_000,
        str(wanted.id),
        "off_session",
    )
    assert {each.headers["stripe-version"] for each in far.asked} == {"2026-10-28.endive"}
    assert {each.headers["idempotency-key"] for each in far.asked} == {f"open:{wanted.id}"}


def test_a_pack_is_paid_by_one_intent(company: Stripe, far: StripeServer) -> None:
    wanted = order("29.00", keep_card=True)
    session = company.open(wanted).company_id
    assert company.look(session).state == "pending"
    events = far.pay(session)
    intent = far.things[session]["payment_intent"]
    found = company.look(session)
    assert (found.state, found.payment_ref, found.amount, found.currency) == ("paid", intent, D("29.00"), "USD")
    assert (found.our_id, found.card_id) == (str(wanted.id), "pm_1")
    assert found.customer_id
    assert [hint_of(company, each).company_ids for each in events] == [(intent,), (session, intent)]
    assert company.look(intent).payment_ref == intent


def test_completed_may_be_unpaid(company: Stripe, far: StripeServer) -> None:
    good, bad = (company.open(order()).company_id for _ in range(2))
    for session in (good, bad):
        far.pay(session, unpaid=True)
        assert company.look(session).state == "processing"
    far.settle(good)
    far.settle(bad, good=False)
    assert company.look(good).state == "paid"
    assert (company.look(bad).state, company.look(bad).reason) == ("failed", "payment_failed")


def test_a_page_expires(company: Stripe, far: StripeServer) -> None:
    session = company.open(order()).company_id
    far.expire(session)
    assert company.look(session).state == "expired"


def test_refunds_are_cumulative_and_may_fail_and_a_dispute_has_its_newest_word(
    company: Stripe, far: StripeServer
) -> None:
    session = company.open(order("10.00")).company_id
    far.pay(session)
    intent = far.things[session]["payment_intent"]
    for _ in range(2):
        company.refund(session, D("4.00"), "USD", key="a", reason="r")
    far.give_back(intent, 100)
    far.give_back(intent, 200, "pending")
    assert company.look(session).refunded == D("5.00")
    far.give_back(intent, 200, "failed")
    assert company.look(session).refund_failed
    with pytest.raises(Refused):
        company.refund(session, D("9.00"), "USD", key="b", reason="r")
    for status, word in (
        ("warning_needs_response", "inquiry"), ("needs_response", "open"), ("under_review", "open"), ("won", "won"), ("lost", "lost"),
    ):  # fmt: skip
        events = far.dispute(intent, status)
        assert company.look(session).dispute == word
        assert intent in hint_of(company, events[0]).company_ids


def test_a_subscription_is_paid_by_its_invoices(company: Stripe, far: StripeServer) -> None:
    wanted = order("29.00", interval="monthly")
    session = company.open(wanted).company_id
    events = far.pay(session)
    first = company.look(session)
    subscription = far.things[session]["subscription"]
    assert (first.state, first.subscription_id, first.billing_reason) == ("paid", subscription, "subscription_create")
    assert first.period_end is not None
    assert (first.payment_ref or "").startswith("pi_")
    assert [hint_of(company, each).subscription_id for each in events] == [None, None, None]
    (renewed,) = far.renew(subscription)
    hint = hint_of(company, renewed)
    assert hint.subscription_id == subscription
    again = company.look(hint.company_ids[0])
    assert (again.state, again.billing_reason, again.amount) == ("paid", "subscription_cycle", D("29.00"))
    assert again.payment_ref != first.payment_ref
    unpaid = hint_of(company, far.renew(subscription, paid=False)[0])
    assert company.look(unpaid.company_ids[0]).state == "pending"
    for reason in ("subscription_update", "manual"):
        prorated = far.bill(subscription, reason, amount=700)
        assert hint_of(company, far.event("invoice.paid", prorated)).subscription_id is None
        assert company.look(prorated["id"]).billing_reason == reason
    free = far.bill(subscription, "subscription_cycle", amount=0)
    assert (company.look(free["id"]).state, company.look(free["id"]).amount) == ("paid", D(0))
    company.end_subscription(subscription)
    assert far.things[subscription]["cancel_at_period_end"]
    company.resume_subscription(subscription)
    assert not far.things[subscription]["cancel_at_period_end"]


def test_a_kept_card_is_charged_once_and_may_want_its_owner(company: Stripe, far: StripeServer) -> None:
    wanted = order("10.00")
    far.bad += ["cut"]
    charged = company.charge(wanted, customer_id="cus_1", card_id="pm_good")
    assert (charged.standing.state, charged.standing.amount, charged.needs_payer) == ("paid", D("10.00"), False)
    assert company.charge(wanted, customer_id="cus_1", card_id="pm_good") == charged
    assert len(far.things) == 1
    far.cards = {"pm_shy": "authentication_required", "pm_empty": "insufficient_funds"}
    shy = company.charge(order("10.00"), customer_id="cus_1", card_id="pm_shy")
    assert (shy.standing.state, shy.needs_payer) == ("failed", True)
    empty = company.charge(order("10.00"), customer_id="cus_1", card_id="pm_empty")
    assert (empty.standing.state, empty.standing.reason, empty.needs_payer) == ("failed", "insufficient_funds", False)


@pytest.mark.parametrize("bad", [500, 429, "cut", "noise", 401])
def test_a_bad_day_is_away_and_no_refusal(company: Stripe, far: StripeServer, bad: int | str) -> None:
    far.bad += [bad] * 4
    with pytest.raises(Away) as caught:
        company.look("cs_test_x")
    assert "sk_test_key" not in str(caught.value)


def test_what_is_not_there_is_unknown(company: Stripe) -> None:
    for name in ("cs_test_x", "pi_x", "in_x"):
        with pytest.raises(Unknown):
            company.look(name)


def test_only_events_of_now_and_of_this_mode_are_believed(company: Stripe, far: StripeServer) -> None:
    thing: dict[str, Any] = {"id": "pi_1", "object": "payment_intent"}
    assert hint_of(company, far.event("payment_intent.succeeded", thing)).company_ids == ("pi_1",)
    body = far.event("x", thing).body.decode()
    assert hint_of(company, far.signed(body, secret="whsec_" + "n" * 32)).company_ids == ("pi_1",)
    now = time.time()
    for posted in (
        far.event("x", thing, at=now - 301), far.event("x", thing, at=now + 400), far.event("x", thing, livemode=True),
        far.signed(body, secret="whsec_other"), Posted("/", {}, body.encode()), Posted("/", {"stripe-signature": "t=é,v1=é"}, body.encode()),
    ):  # fmt: skip
        with pytest.raises(NotSigned):
            hint_of(company, posted)


@given(st.one_of(
    st.text(), st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.sampled_from(["id", "type", "data", "object", "livemode", "parent", "subscription_details"]), c), max_leaves=15).map(json.dumps),
    st.just("[" * 100_000), st.just('{"object": "v2.core.event", "livemode": false}'), st.just("[]"),
))  # fmt: skip
def test_whatever_is_signed_is_read_or_refused(text: str) -> None:
    company, far = Stripe("sk_test_key", [StripeServer.secret]), StripeServer()
    try:
        posted = far.signed(text)
    except UnicodeEncodeError:
        return
    try:
        hint = hint_of(company, posted)
    except (Malformed, NotSigned):
        return
    assert isinstance(hint.event_id, str)


@given(st.binary(max_size=300), st.text(max_size=100))
def test_whatever_is_not_signed_is_refused(body: bytes, header: str) -> None:
    company = Stripe("sk_test_key", [StripeServer.secret])
    with pytest.raises(NotSigned):
        company.read_hook({"stripe-signature": header}, body, path="/", now=time.time())


def test_of_refunds_of_one_second_the_newest_says_whether_it_failed() -> None:
    with StripeServer(now=lambda: 1_800_000_000.5).running() as far:
        company = Stripe("sk_test_key", [far.secret], far.url)
        session = company.open(order("10.00")).company_id
        far.pay(session)
        for status, failed in (("succeeded", False), ("failed", True), ("succeeded", False)):
            far.give_back(far.things[session]["payment_intent"], 100, status)
            assert company.look(session).refund_failed == failed
