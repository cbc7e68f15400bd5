"""What a job costs. Pure integer arithmetic, rounded up once at the end (DESIGN section 4)."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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


class Rate(NamedTuple):
    """Credits per thousandth of a unit, as a fraction."""

    numerator: int
    denominator: int


def rate(rule: PriceRule, *, markup_bp: int, credit_price_usd_micros: int) -> Rate:
    """The rate that a plan's accounts pay."""
    if rule.credits is not None:
        return Rate(rule.credits, rule.per * 1000)
    assert rule.cost_usd_micros is not None  # noqa: S101 - the rule has one of the two
    return Rate(rule.cost_usd_micros * (10_000 + markup_bp), 10_000 * credit_price_usd_micros * rule.per * 1000)


def reserve_quantity_milli(rule: PriceRule, values: Mapping[str, Any]) -> int:
    """How many thousandths of the unit to reserve for, from an input that its schema has accepted."""
    if rule.quantity_field:
        return max(0, round(float(values.get(rule.quantity_field, 1)) * 1000))
    if rule.estimate_field:
        characters = len(str(values.get(rule.estimate_field, "")))
        return max(1000, -(-characters * 1000 // rule.characters_per_unit))
    return 1000


def credits_for(rate: Rate, quantity_milli: int) -> int:
    """Whole credits for a quantity, rounded up."""
    return -(-quantity_milli * rate.numerator // rate.denominator)
