"""What is no answer of the company: a proxy's page, a body that does not end, an amount or a time that says two things.

The same for every adapter, against its far side's HTTP server.
"""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

import companies.http
from companies.base import Away, Company, NotUnderstood, Refused, Unknown
from companies.stripe import Stripe
from companies.truelayer import TrueLayer
from companies.xendit import Xendit
from tests.companies.orders import order
from tests.far_side.companies import CompanyServer, Raw
from tests.far_side.stripe import StripeServer
from tests.far_side.truelayer import TrueLayerServer
from tests.far_side.xendit import XenditServer

CURRENCY = {"xendit": "IDR", "stripe": "USD", "truelayer": "GBP"}
NOTHING = {"xendit": "nothing", "stripe": "pi_nothing", "truelayer": "nothing"}


class Both:
    """A company's adapter and its far side."""

    def __init__(self, name: str, far: Any) -> None:
        self.name, self.far = name, far
        self.company: Any = made(name, far)

    def opened(self) -> str:
        opened: str = self.company.open(order("20.00", CURRENCY[self.name])).company_id
        return opened

    def paid(self) -> str:
        company_id = self.opened()
        if self.name == "truelayer":
            self.far.become(company_id, "settled")
        else:
            self.far.pay(company_id)
        return company_id

    def thing(self, company_id: str) -> dict[str, Any]:
        """What the far side keeps of it, where its money's state is."""
        things = {"xendit": "invoices", "stripe": "things", "truelayer": "payments"}[self.name]
        found: dict[str, Any] = getattr(self.far, things)[company_id]
        return self.far.things[found["payment_intent"]] if found.get("payment_intent") else found


def made(name: str, far: Any) -> Company:
    if name == "xendit":
        return Xendit("xnd_development_key", [far.token], far.url)
    if name == "stripe":
        return Stripe("sk_test_key", [far.secret], far.url)
    return TrueLayer(
        client_id="us", client_secret="the-secret", key_id="our-key", private_key=far.our_private, merchant_account_id="m",
        url=far.url, auth_url=far.url, jwks_url=far.jwks_url,
    )  # fmt: skip


@pytest.fixture(params=CURRENCY)
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    monkeypatch.setattr("companies.stripe.RETRIES", 0)
    servers: dict[str, type[CompanyServer]] = {
        "xendit": XenditServer, "stripe": StripeServer, "truelayer": TrueLayerServer,
    }  # fmt: skip
    with servers[request.param]().running() as far:
        both = Both(request.param, far)
        with pytest.raises(Unknown):  # its own 404; and TrueLayer's token is had
            both.company.look(NOTHING[request.param])
        yield both


PAGES = [b"<html><h1>404 Not Found</h1></html>", b"", b'{"message": "no Route matched with those values"}', b'"no"', b"[]", b'{"error": "not found"}']  # fmt: skip


@pytest.mark.parametrize("status", [404, 400, 402, 405, 410, 413, 422, 421])
@pytest.mark.parametrize("page", PAGES)
def test_a_proxys_page_is_no_word_of_the_company(both: Both, status: int, page: bytes) -> None:
    payment = both.opened()
    both.far.bad.append(Raw(status, page))
    with pytest.raises(Away):
        both.company.look(payment)
    both.far.bad += [Raw(status, page)]
    with pytest.raises(Away):
        both.company.open(order("20.00", CURRENCY[both.name]))
    both.far.bad += [Raw(status, page)]
    with pytest.raises(Away):
        both.company.refund(payment, order("1.00").amount, CURRENCY[both.name], key="k", reason="r")
    assert both.company.look(payment).state == "pending"


@pytest.mark.parametrize("how", ["drip", "slow head"])
def test_an_answer_that_drips_is_ended(both: Both, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companies.http, "ANSWER_SECONDS", 0.6)
    both.far.bad.append(how)
    begun = time.monotonic()
    with pytest.raises(Away):
        both.company.look(NOTHING[both.name])
    assert time.monotonic() - begun < 3


def test_a_body_without_end_is_not_read(both: Both) -> None:
    both.far.bad.append("flood")
    with pytest.raises(Away):
        both.company.look(NOTHING[both.name])
    time.sleep(0.1)
    assert both.far.flooded < 4 * companies.http.MAX_BYTES


def test_keys_that_drip_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with TrueLayerServer().running() as far:
        company = made("truelayer", far)
        monkeypatch.setattr(companies.http, "ANSWER_SECONDS", 0.6)
        far.bad.append("drip")
        posted, begun = far.hook({"type": "x"}), time.monotonic()
        with pytest.raises(Away):
            company.read_hook(posted.headers, posted.body, path=posted.path, now=time.time())
        assert time.monotonic() - begun < 3


def test_a_state_that_is_new_is_not_understood_and_no_failure_of_the_company(both: Both) -> None:
    payment = both.paid()
    both.thing(payment)["status"] = "a_new_state"
    with pytest.raises(NotUnderstood, match="a_new_state"):
        both.company.look(payment)


@pytest.mark.parametrize("amount", [20.5, "2000", True, -1, None, [1], "12.5", 1e30])
def test_minor_units_that_are_no_whole_number_are_refused(amount: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, far_side in (("stripe", StripeServer()), ("truelayer", TrueLayerServer())):
        with far_side.running() as far:
            both = Both(name, far)
            payment = both.paid()
            thing = both.thing(payment)
            thing["amount_received" if name == "stripe" else "amount_in_minor"] = amount
            with pytest.raises(NotUnderstood):
                both.company.look(payment)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Jakarta")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", ["xendit", "truelayer"])
def test_a_time_without_a_zone_is_utc(name: str) -> None:
    with (XenditServer() if name == "xendit" else TrueLayerServer()).running() as far:
        both = Both(name, far)
        payment = both.paid()
        both.thing(payment)["paid_at" if name == "xendit" else "settled_at"] = "2026-01-31T10:00:00.5"
        assert both.company.look(payment).paid_at == datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)
        both.thing(payment)["paid_at" if name == "xendit" else "settled_at"] = "0001-01-01T00:00:00+14:00"
        with pytest.raises(NotUnderstood):
            both.company.look(payment)


@pytest.mark.usefixtures("elsewhere")
def test_a_hooks_time_without_a_zone_is_utc() -> None:
    assert os.environ["TZ"] == "Asia/Jakarta"
    with TrueLayerServer().running() as far:
        posted = far.hook({"type": "x"}, at=datetime.now(UTC).replace(tzinfo=None).isoformat())
        hint = made("truelayer", far).read_hook(posted.headers, posted.body, path=posted.path, now=time.time())
        assert hint.kind == "x"


@pytest.mark.parametrize("name", ["xendit", "truelayer"])
def test_the_last_refund_is_the_last_in_time_not_in_text(name: str) -> None:
    with (XenditServer() if name == "xendit" else TrueLayerServer()).running() as far:
        both = Both(name, far)
        payment = both.paid()
        words = ("FAILED", "SUCCEEDED") if name == "xendit" else ("failed", "executed")
        for word, at in zip(words, ("2026-01-31T10:00:00+07:00", "2026-01-31T04:00:00Z"), strict=True):
            far.give_back(payment, 100, word)
            list(far.refunds.values())[-1]["created" if name == "xendit" else "created_at"] = at
        assert not both.company.look(payment).refund_failed, "04:00 UTC is after 10:00 in Jakarta"


def test_what_a_thing_that_is_gone_there_means_for_an_order_is_a_refusal() -> None:
    gone = {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such customer"}}
    with StripeServer().running() as far:
        company = made("stripe", far)
        for ask in (
            lambda: company.open(order(customer_id="cus_gone")),
            lambda: company.charge(order(), customer_id="cus_gone", card_id="pm_1"),
        ):
            far.bad.append(Raw(400, json.dumps(gone).encode()))
            with pytest.raises(Refused):
                ask()


def test_truelayers_page_lasts_a_quarter_of_an_hour_and_no_dead_one_is_handed_out() -> None:
    def made_ago(seconds: float) -> Any:
        number = (int((time.time() - seconds) * 1000) << 80) | (uuid7().int & ((1 << 80) - 1))
        from uuid import UUID

        return order("20.00", "GBP")._replace(id=UUID(int=number))

    with TrueLayerServer().running() as far:
        company = made("truelayer", far)
        fresh, old = made_ago(60), made_ago(16 * 60)
        opened = company.open(fresh)
        assert opened.expires_at is not None
        assert 13.9 * 60 < opened.expires_at.timestamp() - time.time() < 14.1 * 60
        before = len(far.payments)
        with pytest.raises(Refused, match="15 minutes"):
            company.open(old)
        assert len(far.payments) == before
