"""Xendit: invoices asked for once, amounts without floats, callbacks that prove nothing but that they came."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companies.base import Away, Malformed, NotSigned, Refused, Unknown
from companies.xendit import Xendit
from tests.companies.orders import order
from tests.far_side.xendit import XenditServer

D = Decimal


@pytest.fixture
def far() -> Iterator[XenditServer]:
    with XenditServer().running() as server:
        yield server


@pytest.fixture
def xendit(far: XenditServer) -> Xendit:
    return Xendit("xnd_development_key", [far.token, "the-next-token"], far.url)


def test_an_invoice_is_made_once_whatever_is_cut_off(xendit: Xendit, far: XenditServer) -> None:
    wanted = order("155000", "IDR")
    opened = xendit.open(wanted)
    assert opened.pay_url.endswith(opened.company_id)
    assert xendit.open(wanted) == opened
    assert len(far.invoices) == 1
    sent = next(each for each in far.asked if each.method == "POST")
    assert sent.path == "/v2/invoices/"
    assert b'"amount": 155000,' in sent.body
    assert json.loads(sent.body)["external_id"] == str(wanted.id)


def test_an_invoice_whose_answer_was_lost_is_found(xendit: Xendit, far: XenditServer) -> None:
    wanted = order("155000", "IDR")
    far.bad += ["whole", "cut"]
    with pytest.raises(Away):
        xendit.open(wanted)
    assert len(far.invoices) == 1
    assert xendit.open(wanted).company_id in far.invoices
    assert len(far.invoices) == 1


def test_cents_are_sent_as_they_are(xendit: Xendit, far: XenditServer) -> None:
    xendit.open(order("0.10", "PHP"))
    assert b'"amount": 0.10,' in far.asked[-1].body


@pytest.mark.parametrize("bad", [500, 503, 429, 408, "cut", "noise", 401])
def test_a_bad_day_is_away_and_no_refusal(xendit: Xendit, far: XenditServer, bad: int | str) -> None:
    far.bad.append(bad)
    with pytest.raises(Away) as caught:
        xendit.look("an-invoice")
    assert "xnd_" not in str(caught.value)


def test_what_it_refuses_is_said_in_its_words(xendit: Xendit) -> None:
    with pytest.raises(Refused, match=r"multiples of 1$"):
        xendit.open(order("1.50", "IDR"))
    with pytest.raises(Refused, match="takes no EUR"):
        xendit.open(order("1.50", "EUR"))
    with pytest.raises(Unknown):
        xendit.look("nothing")


def test_a_payment_is_told_in_full(xendit: Xendit, far: XenditServer) -> None:
    wanted = order("155000", "IDR")
    invoice = xendit.open(wanted).company_id
    waiting = xendit.look(invoice)
    assert (waiting.state, waiting.our_id, waiting.amount, waiting.payment_ref) == (
        "pending",
        str(wanted.id),
        None,
        None,
    )
    far.expire(invoice)
    assert xendit.look(invoice).state == "expired"
    far.pay(invoice, status="PAID")  # late, and real
    paid = xendit.look(invoice)
    assert (paid.state, paid.amount, paid.currency, paid.payment_ref) == ("paid", D(155000), "IDR", invoice)
    assert paid.paid_at is not None
    far.pay(invoice, status="SETTLED", amount=154_999)
    assert xendit.look(invoice).amount == D(154_999)


def test_refunds_add_up_and_a_failed_one_is_told(xendit: Xendit, far: XenditServer) -> None:
    invoice = xendit.open(order("155000", "IDR")).company_id
    far.pay(invoice)
    for _ in range(2):
        xendit.refund(invoice, D(5000), "IDR", key="one", reason="r")
    far.give_back(invoice, 1000)
    far.give_back(invoice, 700, "PENDING")
    found = xendit.look(invoice)
    assert (found.refunded, found.refund_failed) == (D(6000), False)
    far.give_back(invoice, 2000, "FAILED")
    assert xendit.look(invoice).refund_failed
    with pytest.raises(Refused, match="MAXIMUM_REFUND_AMOUNT_REACHED"):
        xendit.refund(invoice, D(155000), "IDR", key="two", reason="r")


def test_callbacks_point_at_their_invoice(xendit: Xendit, far: XenditServer) -> None:
    invoice = xendit.open(order("155000", "IDR")).company_id
    posted = far.pay(invoice)
    hint = xendit.read_hook(posted.headers, posted.body, path="/", now=time.time())
    assert (hint.event_id, hint.kind, hint.company_ids) == (f"{invoice}:PAID", "invoice.paid", (invoice,))
    again = far.pay(invoice, status="SETTLED")
    assert xendit.read_hook(again.headers, again.body, path="/", now=0).event_id == f"{invoice}:SETTLED"
    back = far.give_back(invoice, 10)
    hint = xendit.read_hook(back.headers, back.body, path="/", now=0)
    assert hint.kind == "refund.succeeded"
    assert hint.event_id.endswith(":SUCCEEDED")
    assert invoice in hint.company_ids
    nested = {"event": "refund.failed", "data": {"data": {"id": "rfd-1", "status": "FAILED", "invoice_id": invoice}}}
    hint = xendit.read_hook(back.headers, json.dumps(nested).encode(), path="/", now=0)
    assert (hint.event_id, hint.company_ids) == ("rfd-1:FAILED", (invoice,))
    odd = xendit.read_hook(back.headers, b'{"event": 5}', path="/", now=0)
    assert odd.company_ids == ()
    assert odd.event_id.startswith("sha256:")


def test_only_the_tokens_that_are_set_are_believed(xendit: Xendit) -> None:
    xendit.read_hook({"x-callback-token": "the-next-token"}, b"{}", path="/", now=0)
    for headers in (
        {},
        {"x-callback-token": ""},
        {"x-callback-token": "callback-token-of-xendi"},
        {"x-callback-token": "é"},
    ):
        with pytest.raises(NotSigned):
            xendit.read_hook(headers, b"{}", path="/", now=0)
    with pytest.raises(NotSigned):
        Xendit("k", []).read_hook({"x-callback-token": ""}, b"{}", path="/", now=0)


@given(st.one_of(
    st.binary(max_size=200), st.text().map(str.encode),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.sampled_from(["id", "status", "event", "data", "x"]), c), max_leaves=12).map(lambda v: json.dumps(v).encode()),
    st.just(b"[" * 100_000), st.just(b'{"a":' * 50_000),
))  # fmt: skip
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    try:
        hint = Xendit("k", ["t"]).read_hook({"x-callback-token": "t"}, body, path="/", now=0)
    except Malformed:
        return
    assert isinstance(hint.event_id, str)
    assert all(isinstance(each, str) for each in hint.company_ids)
