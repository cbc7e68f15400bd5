"""What companies want written for an amount: the table of shared/wire/payments.md, currency by currency."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput
from common.money import WIRES, companies_for, from_wire, shown, takes, to_wire

D = Decimal
ZERO = ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
EVERY = [(company, currency) for company, wires in WIRES.items() for currency in wires]


@pytest.mark.parametrize(("company", "currency", "amount", "wire"), [
    ("xendit", "IDR", "50000", 50000), ("stripe", "IDR", "50000", 5000000), ("xendit", "PHP", "1.50", D("1.50")),
    ("xendit", "USD", "29", 29), ("xendit", "VND", "7000", 7000), ("stripe", "USD", "29.00", 2900), ("stripe", "EUR", "0.01", 1),
    ("stripe", "ISK", "5", 500), ("stripe", "UGX", "5", 500), ("stripe", "KWD", "1.500", 1500), ("stripe", "TND", "0.01", 10),
    ("truelayer", "GBP", "10.00", 1000), ("truelayer", "EUR", "31.00", 3100), ("manual", "USD", "1.23", D("1.23")),
    *[("stripe", currency, "100", 100) for currency in ZERO],
])  # fmt: skip
def test_an_amount_is_written_as_its_company_wants_it(company: str, currency: str, amount: str, wire: object) -> None:
    assert to_wire(company, currency, D(amount)) == wire
    assert from_wire(company, currency, wire) == D(amount)


@pytest.mark.parametrize(("company", "currency", "amount"), [
    ("xendit", "IDR", "1.50"), ("xendit", "VND", "0.5"), ("xendit", "USD", "1.001"), ("stripe", "JPY", "1.5"), ("stripe", "ISK", "1.5"),
    ("stripe", "KWD", "1.001"), ("stripe", "USD", "1.001"), ("truelayer", "GBP", "1.001"), ("stripe", "USD", "0"), ("stripe", "USD", "-1"),
    ("stripe", "USD", "NaN"), ("stripe", "USD", "Infinity"), ("stripe", "USD", "1e13"), ("truelayer", "USD", "1"), ("xendit", "EUR", "1"),
    ("nobody", "USD", "1"),
])  # fmt: skip
def test_what_a_company_cannot_be_told_exactly_is_refused(company: str, currency: str, amount: str) -> None:
    with pytest.raises(InvalidInput):
        to_wire(company, currency, D(amount))


@pytest.mark.parametrize("value", [1.5, True, None, [], {}, "x", "", "NaN", "Infinity", -1, "-0.01", "1e99", 10**30])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        from_wire("stripe", "USD", value)


def test_truelayer_never_takes_dollars_and_who_takes_what_is_told() -> None:
    assert not takes("truelayer", "USD")
    assert companies_for("USD") == ["xendit", "stripe", "manual"]
    assert companies_for("GBP") == ["stripe", "truelayer", "manual"]
    assert companies_for("IDR") == ["xendit", "stripe", "manual"]
    assert companies_for("XXX") == ["manual"]
    assert set(WIRES["xendit"]) == {"IDR", "PHP", "THB", "VND", "MYR", "USD"}


@pytest.mark.parametrize(("amount", "currency", "text"), [
    ("29", "USD", "29.00"), ("29.5", "EUR", "29.50"), ("155000.0000", "IDR", "155000"), ("1.5", "KWD", "1.500"), ("0.0050", "USD", "0.005"),
    ("1000000", "JPY", "1000000"), ("0", "USD", "0.00"), ("12345678901.25", "USD", "12345678901.25"),
])  # fmt: skip
def test_amounts_are_shown_with_their_digits_and_never_rounded(amount: str, currency: str, text: str) -> None:
    assert shown(D(amount), currency) == text


@given(st.sampled_from(EVERY), st.integers(1, 10**9))
def test_every_currency_comes_back_as_it_was_sent(where: tuple[str, str], steps: int) -> None:
    company, currency = where
    amount = WIRES[company][currency].step * steps
    wire = to_wire(company, currency, amount)
    assert from_wire(company, currency, wire) == amount
    if company == "xendit":
        assert from_wire(company, currency, str(wire)) == amount
    else:
        with pytest.raises(ValueError, match="whole number"):
            from_wire(company, currency, str(wire))
    assert company == "xendit" or isinstance(wire, int)
