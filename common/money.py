"""Money on the wire: what each company wants written for an amount, in each currency that it takes. Pure, and the one table.

Amounts are `Decimal` in the currency's own units ("29.00") everywhere else; a float never is. A company's wire has the amount in
major units (Xendit) or in minor ones (Stripe, TrueLayer), and companies differ in how many digits a currency has: IDR has two
at Stripe and none at Xendit. Sources: ../shared/wire/payments.md, section 1.
"""

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from common.errors import InvalidInput

MAX_AMOUNT = Decimal(10) ** 12


class WireUnit(NamedTuple):
    """One currency at one company: by how many digits its number on the wire is shifted, and the least step of an amount."""

    shift: int
    step: Decimal


CENT, ONE = Decimal("0.01"), Decimal(1)
_ZERO_AT_STRIPE = [
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "JPY",
    "KMF",
    "KRW",
    "MGA",
    "PYG",
    "RWF",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
]
_WHOLE_AT_STRIPE = ["ISK", "UGX"]  # two digits on the wire, and they must be 00
_THREE_AT_STRIPE = ["KWD", "BHD", "JOD", "OMR", "TND"]  # and the last must be 0
_TWO_AT_STRIPE = [
    "USD",
    "AED",
    "AFN",
    "ALL",
    "AMD",
    "ANG",
    "AOA",
    "ARS",
    "AUD",
    "AWG",
    "AZN",
    "BAM",
    "BBD",
    "BDT",
    "BMD",
    "BND",
    "BOB",
    "BRL",
    "BSD",
    "BWP",
    "BYN",
    "BZD",
    "CAD",
    "CDF",
    "CHF",
    "CNY",
    "COP",
    "CRC",
    "CVE",
    "CZK",
    "DKK",
    "DOP",
    "DZD",
    "EGP",
    "ETB",
    "EUR",
    "FJD",
    "FKP",
    "GBP",
    "GEL",
    "GIP",
    "GMD",
    "GTQ",
    "GYD",
    "HKD",
    "HNL",
    "HTG",
    "HUF",
    "IDR",
    "ILS",
    "INR",
    "JMD",
    "KES",
    "KGS",
    "KHR",
    "KYD",
    "KZT",
    "LAK",
    "LBP",
    "LKR",
    "LRD",
    "LSL",
    "MAD",
    "MDL",
    "MKD",
    "MMK",
    "MNT",
    "MOP",
    "MUR",
    "MVR",
    "MWK",
    "MXN",
    "MYR",
    "MZN",
    "NAD",
    "NGN",
    "NIO",
    "NOK",
    "NPR",
    "NZD",
    "PAB",
    "PEN",
    "PGK",
    "PHP",
    "PKR",
    "PLN",
    "QAR",
    "RON",
    "RSD",
    "RUB",
    "SAR",
    "SBD",
    "SCR",
    "SEK",
    "SGD",
    "SHP",
    "SLE",
    "SOS",
    "SRD",
    "STD",
    "SZL",
    "THB",
    "TJS",
    "TOP",
    "TRY",
    "TTD",
    "TWD",
    "TZS",
    "UAH",
    "UYU",
    "UZS",
    "WST",
    "XCD",
    "YER",
    "ZAR",
    "ZMW",
]
WIRES: dict[str, dict[str, WireUnit]] = {
    "xendit": {
        **{currency: WireUnit(0, CENT) for currency in ("PHP", "THB", "MYR", "USD")},
        **{currency: WireUnit(0, ONE) for currency in ("IDR", "VND")},  # decimals are cut off there
    },
    "stripe": {
        **{currency: WireUnit(2, CENT) for currency in _TWO_AT_STRIPE},
        **{currency: WireUnit(0, ONE) for currency in _ZERO_AT_STRIPE},
        **{currency: WireUnit(2, ONE) for currency in _WHOLE_AT_STRIPE},
        **{currency: WireUnit(3, CENT) for currency in _THREE_AT_STRIPE},
    },
    "truelayer": {currency: WireUnit(2, CENT) for currency in ("GBP", "EUR")},
}
# How many digits people see, where it is not two.
_SHOWN = {**dict.fromkeys([*_ZERO_AT_STRIPE, *_WHOLE_AT_STRIPE, "IDR"], 0), **dict.fromkeys(_THREE_AT_STRIPE, 3)}
IN_MINOR = frozenset({"stripe", "truelayer"})  # whose wires have minor units, whole ones
MANUAL = "manual"  # takes whatever is shown


def takes(company: str, currency: str) -> bool:
    """Whether a company takes a currency at all."""
    return company == MANUAL or currency in WIRES.get(company, {})


def companies_for(currency: str) -> list[str]:
    """Who takes a currency."""
    return [*(company for company, wires in WIRES.items() if currency in wires), MANUAL]


def to_wire(company: str, currency: str, amount: Decimal) -> Decimal | int:
    """An amount as a company's wire has it: a whole number of minor units, or major units. Raises InvalidInput for an amount
    that it cannot be told exactly.
    """
    wire = _wire(company, currency)
    if not amount.is_finite() or not 0 < amount <= MAX_AMOUNT or amount % wire.step:
        raise InvalidInput(
            f"{amount} {currency} cannot be paid by {company}: amounts are multiples of {wire.step}", param="currency"
        )
    shifted = amount.scaleb(wire.shift)
    return int(shifted) if shifted == shifted.to_integral_value() else shifted


def from_wire(company: str, currency: str, value: object) -> Decimal:
    """The amount that a company tells: minor units as a whole number, major ones as a number, a Decimal or a text of one.
    Raises ValueError for anything else, a float above all: it is not what was sent.
    """
    wire = _wire(company, currency)
    if company in IN_MINOR and not isinstance(value, int):
        raise ValueError("an amount in minor units is a whole number")
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"an amount is no {type(value).__name__}")  # noqa: TRY004 - as for any other text that is none
    try:
        amount = Decimal(value).scaleb(-wire.shift)
    except InvalidOperation:
        raise ValueError("an amount is no number") from None
    if not amount.is_finite() or not 0 <= amount <= MAX_AMOUNT:
        raise ValueError("an amount is out of bounds")
    return amount


def shown(amount: Decimal, currency: str) -> str:
    """An amount as people read it: "29.00", "155000", "1.500"."""
    digits = _SHOWN.get(currency, 2)
    text = f"{amount:.{digits}f}"
    return text if Decimal(text) == amount else f"{amount.normalize():f}"


def _wire(company: str, currency: str) -> WireUnit:
    wire = (
        WireUnit(0, Decimal(1).scaleb(-_SHOWN.get(currency, 2)))
        if company == MANUAL
        else WIRES.get(company, {}).get(currency)
    )
    if wire is None:
        raise InvalidInput(f"{company} takes no {currency}", param="currency")
    return wire
