"""TrueLayer: signed both ways, settled is money, and whoever signs there may point at nothing but what we made."""

import base64
import json
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companies.base import Away, Hint, NotSigned, Refused, Unknown
from companies.truelayer import TrueLayer
from tests.companies.orders import order
from tests.far_side.companies import Posted
from tests.far_side.truelayer import TrueLayerServer

D = Decimal


@pytest.fixture
def far() -> Iterator[TrueLayerServer]:
    with TrueLayerServer().running() as server:
        yield server


def company_of(far: TrueLayerServer, **more: str) -> TrueLayer:
    values = {
        "client_id": "us", "client_secret": "the-secret", "key_id": "our-key", "private_key": far.our_private, "merchant_account_id": "m",
        "url": far.url, "auth_url": far.url, "jwks_url": far.jwks_url,
    }  # fmt: skip
    return TrueLayer(**(values | more))


@pytest.fixture
def company(far: TrueLayerServer) -> TrueLayer:
    return company_of(far)


def test_a_payment_is_made_once_and_its_page_has_what_it_needs(company: TrueLayer, far: TrueLayerServer) -> None:
    wanted = order("31.00", "GBP")
    far.bad += ["whole", "cut"]  # the token, and then the payment, made and not answered
    with pytest.raises(Away):
        company.open(wanted)
    opened = company.open(wanted)
    assert company.open(wanted) == opened
    assert list(far.payments) == [opened.company_id]
    assert far.payments[opened.company_id]["amount_in_minor"] == 3100
    page, _, fragment = opened.pay_url.partition("#")
    assert page == "https://payment.truelayer.com/payments"
    assert (
        f"payment_id={opened.company_id}&resource_token=resource.token&return_uri=https%3A%2F%2Fshop.example%2Fback"
        == fragment
    )


def test_settled_is_money_and_executed_is_not(company: TrueLayer, far: TrueLayerServer) -> None:
    wanted = order("31.00", "GBP")
    payment = company.open(wanted).company_id
    assert company.look(payment).state == "pending"
    for status, state in (
        ("authorizing", "pending"),
        ("authorized", "processing"),
        ("executed", "processing"),
        ("settled", "paid"),
    ):
        far.become(payment, status)
        assert company.look(payment).state == state
    found = company.look(payment)
    assert (found.amount, found.currency, found.payment_ref, found.our_id) == (D(31), "GBP", payment, str(wanted.id))
    for _ in range(2):
        company.refund(payment, D("1.50"), "GBP", key="k", reason="r")
    assert company.look(payment).refunded == D("1.50")
    far.give_back(payment, 100, "failed")
    assert company.look(payment).refund_failed
    for each in far.refunds.values():  # an executed refund can still fail
        each["status"] = "failed"
    assert company.look(payment).refunded == 0


def test_what_it_refuses_is_said(company: TrueLayer, far: TrueLayerServer) -> None:
    with pytest.raises(Refused, match="takes no USD"):
        company.open(order("1.00", "USD"))
    with pytest.raises(Refused, match="e-mail"):
        company.open(order("1.00", "GBP", email=None))
    with pytest.raises(Unknown):
        company.look("nothing")
    with pytest.raises(Away, match="look at the settings"):
        company_of(far, client_secret="another").look("x")


@pytest.mark.parametrize("bad", [500, 429, "cut", "noise", 401])
def test_a_bad_day_is_away_and_no_refusal(company: TrueLayer, far: TrueLayerServer, bad: int | str) -> None:
    with pytest.raises(Unknown):
        company.look("first")
    far.bad.append(bad)
    with pytest.raises(Away) as caught:
        company.look("x")
    assert "the-secret" not in str(caught.value)


def read(company: TrueLayer, posted: Posted, now: float | None = None) -> Hint:
    return company.read_hook(posted.headers, posted.body, path=posted.path, now=time.time() if now is None else now)


def test_hooks_that_it_signed_just_now_are_hints(company: TrueLayer, far: TrueLayerServer) -> None:
    payment = company.open(order("31.00", "GBP")).company_id
    hint = read(company, far.become(payment, "settled"))
    assert (hint.kind, hint.company_ids) == ("payment_settled", (payment,))
    before = len(far.asked)
    read(company, far.become(payment, "settled"))
    assert len(far.asked) == before, "its keys are known"
    with_query = far.hook({"type": "payment_settled", "payment_id": payment}, path="/hooks/truelayer?a=1")
    assert read(company, with_query).company_ids == (payment,)


def test_what_it_did_not_sign_just_now_or_here_is_refused(company: TrueLayer, far: TrueLayerServer) -> None:
    event, now = {"type": "payment_settled", "payment_id": "p"}, time.time()
    good = far.hook(event)
    old, coming = (far.hook(event, at=str(int(now + by))) for by in (-301, 302))
    changed = good._replace(body=good.body.replace(b"settled", b"failed!"))
    elsewhere = good._replace(path="/hooks/other")
    without = good._replace(headers={name: value for name, value in good.headers.items() if "timestamp" not in name})
    restamped = good._replace(headers={**good.headers, "x-tl-webhook-timestamp": str(int(time.time()))})
    for posted in (old, coming, changed, elsewhere, without, restamped, good._replace(headers={})):
        with pytest.raises(NotSigned):
            read(company, posted, now)
    read(company, good)


def test_keys_are_fetched_from_nowhere_else(company: TrueLayer, far: TrueLayerServer) -> None:
    with TrueLayerServer().running() as stranger:
        for jku in (
            stranger.jwks_url,
            far.jwks_url + "/",
            far.jwks_url + "#x",
            far.jwks_url.replace("http", "HTTP"),
            "",
        ):
            with pytest.raises(NotSigned):
                read(company, stranger.hook({"type": "payment_settled"}, jku=jku or None))
        assert stranger.asked == []
    assert far.asked == []


def test_an_unknown_key_is_looked_for_once_a_minute(company: TrueLayer, far: TrueLayerServer) -> None:
    read(company, far.hook({"type": "x"}))
    far.kid = "another-key"
    for _ in range(20):
        with pytest.raises(NotSigned):
            read(company, far.hook({"type": "x"}))
    assert len(far.asked) == 1


def test_keys_that_cannot_be_had_are_no_refusal_and_are_not_asked_for_by_every_hook(
    company: TrueLayer, far: TrueLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.bad.append(500)
    for _ in range(10):
        with pytest.raises(Away):
            read(company, far.hook({"type": "x"}))
    assert len(far.asked) == 1
    monkeypatch.setattr("companies.truelayer.FAILED_AGAIN_SECONDS", 0.0)
    far.bad += [500, "noise"]
    for _ in range(2):
        with pytest.raises(Away):
            read(company, far.hook({"type": "x"}))
    read(company, far.hook({"type": "x"}))


def signature(header: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode() + "..AAAA"


@given(st.one_of(
    st.text(max_size=200), st.just(base64.urlsafe_b64encode(b"[" * 1000).decode() + "..AAAA"),
    st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.sampled_from(["alg", "kid", "tl_version", "tl_headers", "jku", "x"]), c), max_leaves=10).map(signature),
    st.just(signature({"alg": "ES512", "kid": "k", "tl_version": "2", "tl_headers": "", "jku": "https://keys.example/jwks", "more": 1})),
    st.just(signature({"alg": "ES512", "kid": "k", "tl_version": "2", "tl_headers": 5, "jku": None})),
), st.binary(max_size=100), st.text(max_size=30))  # fmt: skip
def test_whatever_is_not_signed_is_refused(header: str, body: bytes, stamp: str) -> None:
    company = TrueLayer(
        client_id="c",
        client_secret="s",
        key_id="k",
        private_key="p",
        merchant_account_id="m",
        jwks_url="https://keys.example/jwks",
    )
    with pytest.raises(NotSigned):
        company.read_hook({"tl-signature": header, "x-tl-webhook-timestamp": stamp}, body, path="/", now=time.time())


def test_a_token_that_was_withdrawn_is_not_used_again(company: TrueLayer, far: TrueLayerServer) -> None:
    payment = company.open(order("31.00", "GBP")).company_id
    far.bad.append(401)
    with pytest.raises(Away):
        company.look(payment)
    before = sum(each.path == "/connect/token" for each in far.asked)
    assert company.look(payment).state == "pending"
    assert sum(each.path == "/connect/token" for each in far.asked) == before + 1


def test_an_old_hook_costs_nobody_a_key(company: TrueLayer, far: TrueLayerServer) -> None:
    for _ in range(5):
        with pytest.raises(NotSigned):
            read(company, far.hook({"type": "x"}, at="2001-01-01T00:00:00Z"))
    assert far.asked == []
