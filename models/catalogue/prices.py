"""What a job costs. Pure integer arithmetic, rounded up once at the end (DESIGN section 4)."""

from collections.abc import Mapping, Sequence
from math import ceil, gcd, isfinite
from typing import Any, Literal, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.errors import InvalidInput

MAX_QUANTITY_MILLI = 10**12  # a billion units in one job
MAX_STORED = 2**63 - 1  # what a column holds
Unit = Literal["job", "image", "second", "character", "token"]


class PriceRule(BaseModel):
    """How a model is priced: so many credits, or a provider's cost plus the plan's markup, `per` so many units.

    The quantity to reserve for comes from the input: the number in `quantity_field`, or the length of the text in
    `estimate_field` divided by `characters_per_unit`. Units that the result tells (image, second, token) are settled
    by what was really made, never above the reservation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Unit = "job"
    per: int = Field(1, ge=1, le=1_000_000)
    credits: int | None = Field(None, ge=0, le=1_000_000)
    cost_usd_micros: int | None = Field(None, ge=1, le=1_000_000_000)
    quantity_field: str | None = None
    estimate_field: str | None = None
    characters_per_unit: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.credits is None) == (self.cost_usd_micros is None):
            raise ValueError("a price needs either credits or cost_usd_micros")
        if self.quantity_field and self.estimate_field:
            raise ValueError("quantity_field and estimate_field exclude each other")
        return self


class PriceRate(NamedTuple):
    """Credits per thousandth of a unit, as a fraction."""

    numerator: int
    denominator: int


class Price(NamedTuple):
    """What an order costs: the rate, the quantity that is reserved for, and the credits that this makes."""

    rate: PriceRate
    quantity_milli: int
    credits: int


class Terms(Protocol):
    """What a plan says on prices."""

    @property
    def credit_price_usd_micros(self) -> int: ...
    @property
    def markup_bp(self) -> int: ...


def rate(rule: PriceRule, *, markup_bp: int, credit_price_usd_micros: int) -> PriceRate:
    """The rate that a plan's accounts pay, reduced: both numbers are kept with the job."""
    if rule.credits is not None:
        return _reduced(rule.credits, rule.per * 1000)
    assert rule.cost_usd_micros is not None  # noqa: S101 - the rule has one of the two
    return _reduced(rule.cost_usd_micros * (10_000 + markup_bp), 10_000 * credit_price_usd_micros * rule.per * 1000)


def _reduced(numerator: int, denominator: int) -> PriceRate:
    common = gcd(numerator, denominator)
    return PriceRate(numerator // common, denominator // common)


def reserve_quantity_milli(rule: PriceRule, values: Mapping[str, Any]) -> int:
    """How many thousandths of the unit to reserve for, from an input that its schema has accepted.

    Raises InvalidInput for more than a job may have, where the schema sets no limit of its own.
    """
    if rule.quantity_field:
        given = values.get(rule.quantity_field)
        amount = 1 if given is None else given  # not given, or null where the schema allows it
        if not isinstance(amount, int | float):
            raise InvalidInput(f"input.{rule.quantity_field} is no number", param=f"input.{rule.quantity_field}")
        if amount * 1000 > MAX_QUANTITY_MILLI:
            raise _too_much(rule.quantity_field)
        return max(0, round(float(amount) * 1000))
    if rule.estimate_field:
        characters = len(str(values.get(rule.estimate_field, "")))
        quantity = max(1000, -(-characters * 1000 // rule.characters_per_unit))
        if quantity > MAX_QUANTITY_MILLI:
            raise _too_much(rule.estimate_field)
        return quantity
    return 1000


def _too_much(name: str) -> InvalidInput:
    limit = MAX_QUANTITY_MILLI // 1000
    return InvalidInput(f"input.{name} is more than {limit} units", param=f"input.{name}", limit=limit)


def credits_for(rate: PriceRate, quantity_milli: int) -> int:
    """Whole credits for a quantity, rounded up."""
    return -(-quantity_milli * rate.numerator // rate.denominator)


def quote(rule: PriceRule, values: Mapping[str, Any], terms: Terms) -> Price:
    """What an order costs on a plan. Raises InvalidInput where it is more than can be kept."""
    chosen = rate(rule, markup_bp=terms.markup_bp, credit_price_usd_micros=terms.credit_price_usd_micros)
    quantity = reserve_quantity_milli(rule, values)
    price = Price(chosen, quantity, credits_for(chosen, quantity))
    if not _fits(price):
        # The catalogue is checked when it is loaded; a plan that was changed after that is not.
        raise InvalidInput("this model's price on your plan is too large to be kept; tell the operator", param="model")
    return price


def _fits(price: Price) -> bool:
    return max(*price.rate, price.quantity_milli, price.credits) <= MAX_STORED


def misfits(rule: PriceRule, input_schema: Mapping[str, Any], plans: Mapping[str, Terms]) -> list[str]:
    """What is wrong with a price for a model's input on these plans, as sentences that begin with the field's name: the
    largest quantity that the schema allows must be one that can be priced and kept.
    """
    wrong = _wrong_fields(rule, input_schema)
    if wrong:
        return wrong
    largest = _largest_quantity_milli(rule, input_schema)
    if largest > MAX_QUANTITY_MILLI:
        name = "quantity_field" if rule.quantity_field else "estimate_field"
        limit = MAX_QUANTITY_MILLI // 1000
        return [f"price.{name}: the input_schema allows more than the {limit} units that a job may have"]
    base = "credits" if rule.credits is not None else "cost_usd_micros"
    for plan_id, terms in plans.items():
        chosen = rate(rule, markup_bp=terms.markup_bp, credit_price_usd_micros=terms.credit_price_usd_micros)
        if not _fits(Price(chosen, largest, credits_for(chosen, largest))):
            wrong.append(
                f"price.{base}: on plan {plan_id} the price of {largest / 1000:g} units, or its fraction "
                f"{chosen.numerator}/{chosen.denominator}, is larger than 64 bits; choose rounder numbers or a smaller `per`"
            )
    return wrong


def _wrong_fields(rule: PriceRule, input_schema: Mapping[str, Any]) -> list[str]:
    for place, name, kinds in (
        ("quantity_field", rule.quantity_field, {"integer", "number", "null"}),
        ("estimate_field", rule.estimate_field, {"string", "null"}),
    ):
        if not name:
            continue
        field = _properties(input_schema).get(name)
        if field is None:
            return [f"price.{place}: {name!r} is no field of the input_schema"]
        said = field.get("type", [])
        if not set([said] if isinstance(said, str) else said) <= kinds:
            return [
                f"price.{place}: {name!r} is {said} in the input_schema, not {' or '.join(sorted(kinds - {'null'}))}"
            ]
    return []


def _properties(input_schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = input_schema.get("properties", {})
    return found


def _largest_quantity_milli(rule: PriceRule, input_schema: Mapping[str, Any]) -> int:
    """The largest quantity that the schema lets through; where it sets no limit, ours, which submits keep to."""
    field = _properties(input_schema).get(rule.quantity_field or rule.estimate_field or "", {})
    if rule.estimate_field:
        most = field.get("maxLength")
        if most is None:
            return MAX_QUANTITY_MILLI
        return max(1000, -(-int(most) * 1000 // rule.characters_per_unit))
    if not rule.quantity_field:
        return 1000
    listed: Sequence[Any] = [field["const"]] if "const" in field else field.get("enum", [])
    limits = [field[each] for each in ("maximum", "exclusiveMaximum") if each in field]
    limits += [max((each for each in listed if isinstance(each, int | float)), default=1)] if listed else []
    finite = [each for each in limits if isfinite(each)]
    return max(1000, ceil(min(finite)) * 1000) if finite else MAX_QUANTITY_MILLI
