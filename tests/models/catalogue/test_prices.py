"""Prices are whole credits, rounded up once."""

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import InvalidInput
from models.catalogue.entries import STANDARD_FILE, read_file
from models.catalogue.plans import Plan
from models.catalogue.prices import (
    MAX_QUANTITY_MILLI,
    MAX_STORED,
    PriceRate,
    PriceRule,
    credits_for,
    misfits,
    quote,
    rate,
    reserve_quantity_milli,
)


def price(rule: PriceRule, values: dict[str, object], markup_bp: int = 8500, credit: int = 125_000) -> int:
    return credits_for(
        rate(rule, markup_bp=markup_bp, credit_price_usd_micros=credit), reserve_quantity_milli(rule, values)
    )


def test_a_fixed_price_is_itself() -> None:
    assert price(PriceRule(credits=5), {}) == 5


def test_a_price_per_image_counts_the_images() -> None:
    assert price(PriceRule(unit="image", credits=3, quantity_field="count"), {"count": 4}) == 12


def test_a_price_per_thousand_tokens_rounds_up_at_the_end() -> None:
    rule = PriceRule(unit="token", credits=1, per=1000, quantity_field="max_tokens")
    assert [price(rule, {"max_tokens": n}) for n in (1, 1000, 1001)] == [1, 1, 2]


def test_cost_plus_is_cost_with_markup_over_the_price_of_a_credit() -> None:
    """Spec A5: ceil(cost x (1 + markup) / what one credit of that plan costs)."""
    rule = PriceRule(unit="second", cost_usd_micros=40_000, quantity_field="duration_seconds")
    # starter: 10 s x $0.04 x 1.85 / $0.125 = 5.92; creator: x 1.75 / 0.124 = 5.645; studio: x 1.70 / 0.12 = 5.667
    assert price(rule, {"duration_seconds": 10}, 8500, 125_000) == 6
    assert price(rule, {"duration_seconds": 15}, 7500, 124_000) == 9  # 8.47
    assert price(rule, {"duration_seconds": 5}, 7000, 120_000) == 3  # 2.83


# By hand, from the specification: a plan's dollars over its credits, and its markup. Of a job that costs 1 cent, 40 cents, $1,
# $2.35 and $40: starter 0.148, 5.92, 14.8, 34.78, 592; creator 0.141.., 5.64.., 14.11.., 33.16.., 564.5..; and so on.
COST_PLUS = {
    "starter": ("10.00", 80, "1.85", (1, 6, 15, 35, 592)), "creator": ("31.00", 250, "1.75", (1, 6, 15, 34, 565)),
    "studio": ("60.00", 500, "1.70", (1, 6, 15, 34, 567)), "free": ("10.00", 80, "1.85", (1, 6, 15, 35, 592)),
    "pro": ("29.00", 500, "1.75", (1, 13, 31, 71, 1207)), "enterprise": ("29.00", 500, "1.70", (1, 12, 30, 69, 1173)),
    "web-free": ("10.00", 80, "1.85", (1, 6, 15, 35, 592)), "reimaji-pro": ("10.00", 500, "1.75", (1, 35, 88, 206, 3500)),
}  # fmt: skip


@pytest.mark.parametrize("plan", read_file(STANDARD_FILE).plans, ids=lambda plan: plan.id)
def test_each_plan_charges_its_cost_plus_price(plan: Plan) -> None:
    dollars, credits, factor, expected = COST_PLUS[plan.id]
    assert plan.credit_price_usd_micros == int(Decimal(dollars) / credits * 1_000_000)
    assert plan.markup_bp == int((Decimal(factor) - 1) * 10_000)
    for cents, wanted in zip((1, 40, 100, 235, 4_000), expected, strict=True):
        rule = PriceRule(cost_usd_micros=cents * 10_000)
        assert price(rule, {}, plan.markup_bp, plan.credit_price_usd_micros) == wanted
        exact = Decimal(cents) / 100 * Decimal(factor) * credits / Decimal(dollars)
        assert wanted == exact.to_integral_value(ROUND_CEILING)


def test_an_estimate_from_a_text_is_at_least_one_unit() -> None:
    rule = PriceRule(unit="second", credits=1, estimate_field="text", characters_per_unit=10)
    assert [price(rule, {"text": "x" * n}) for n in (1, 10, 11, 100)] == [1, 1, 2, 10]


@pytest.mark.parametrize("body", [{}, {"credits": 1, "cost_usd_micros": 1}, {"credits": -1}, {"credits": 1.5}])
def test_a_rule_without_exactly_one_price_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceRule.model_validate(body)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**7), st.integers(0, 10**7))
def test_credits_grow_with_the_quantity_and_never_round_down(num: int, den: int, a: int, b: int) -> None:
    chosen = PriceRate(num, den)
    low, high = sorted((a, b))
    assert credits_for(chosen, low) <= credits_for(chosen, high)
    assert credits_for(chosen, high) * den >= high * num > (credits_for(chosen, high) - 1) * den or high * num == 0


DOLLAR = Plan(
    id="dollar", name="d", position=9, credits=0, granted="once", credit_price_usd_micros=1_000_000, markup_bp=8500,
    storage_quota_bytes=1, slots=1,
)  # fmt: skip
PLANS = {plan.id: plan for plan in (*read_file(STANDARD_FILE).plans, DOLLAR)}


def schema(**properties: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def test_a_fraction_is_reduced_so_that_large_units_of_dear_credits_can_be_kept() -> None:
    rule = PriceRule(unit="token", cost_usd_micros=600_000, per=1_000_000, quantity_field="n")
    chosen = rate(rule, markup_bp=8500, credit_price_usd_micros=1_000_000)
    assert MAX_STORED < 10_000 * 1_000_000 * 1_000_000 * 1000  # what it was before
    assert max(chosen) <= MAX_STORED
    assert credits_for(chosen, 5_000_000 * 1000) == 6  # 5 x $0.60 x 1.85 / $1 = 5.55
    assert rate(PriceRule(credits=0), markup_bp=0, credit_price_usd_micros=1) == (0, 1)


@given(
    st.integers(1, 10**9), st.integers(0, 10**6), st.integers(1, 10**8), st.integers(1, 10**6), st.integers(0, 10**12)
)
def test_reducing_changes_no_price(cost: int, markup: int, credit: int, per: int, quantity: int) -> None:
    rule = PriceRule(unit="second", cost_usd_micros=cost, per=per)
    exact = -(-quantity * cost * (10_000 + markup) // (10_000 * credit * per * 1000))
    assert credits_for(rate(rule, markup_bp=markup, credit_price_usd_micros=credit), quantity) == exact


@pytest.mark.parametrize("value", [10**9 + 1, 10**16, 2**64, 10**400, 1e300])
def test_a_quantity_that_no_job_may_have_is_refused_by_its_field(value: float) -> None:
    rule = PriceRule(unit="second", credits=1, quantity_field="seconds")
    with pytest.raises(InvalidInput) as caught:
        quote(rule, {"seconds": value}, DOLLAR)
    assert (caught.value.param, caught.value.extra) == ("input.seconds", {"limit": 10**9})


@pytest.mark.parametrize(("values", "quantity"), [
    ({}, 1000), ({"n": None}, 1000), ({"n": 0}, 0), ({"n": -3}, 0), ({"n": 0.25}, 250), ({"n": 10**9}, MAX_QUANTITY_MILLI),
])  # fmt: skip
def test_what_is_not_given_is_one_and_never_below_nothing(values: dict[str, object], quantity: int) -> None:
    assert reserve_quantity_milli(PriceRule(credits=1, quantity_field="n"), values) == quantity


def test_a_text_where_a_number_belongs_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidInput) as caught:
        quote(PriceRule(credits=1, quantity_field="n"), {"n": "12"}, DOLLAR)
    assert caught.value.param == "input.n"


def test_a_plan_that_was_changed_after_the_load_refuses_the_order_and_not_the_batch() -> None:
    absurd = DOLLAR.model_copy(update={"credit_price_usd_micros": 10**15 + 37})
    with pytest.raises(InvalidInput):
        quote(PriceRule(cost_usd_micros=7, per=999_983), {}, absurd)


NUMBER = {"type": "integer", "minimum": 1, "maximum": 100}


@pytest.mark.parametrize(("price", "properties", "words"), [
    ({"credits": 1}, {}, None),
    ({"credits": 1, "quantity_field": "n"}, {"n": NUMBER}, None),
    ({"credits": 1, "quantity_field": "n"}, {"n": {"type": "number"}}, None),  # submits keep to our limit
    ({"credits": 1, "quantity_field": "n"}, {"n": {"enum": [5, 10]}}, None),
    ({"credits": 1, "quantity_field": "n"}, {"n": {"type": ["integer", "null"]}}, None),
    ({"credits": 1, "estimate_field": "t"}, {"t": {"type": "string", "maxLength": 5000}}, None),
    ({"credits": 1, "estimate_field": "t"}, {"t": {"type": "string"}}, None),
    ({"credits": 1_000_000, "quantity_field": "n"}, {"n": {"type": "integer", "maximum": 10**9}}, None),
    ({"credits": 1, "quantity_field": "n"}, {}, "price.quantity_field: 'n' is no field"),
    ({"credits": 1, "quantity_field": "n"}, {"n": {"type": "string"}}, "price.quantity_field: 'n' is string"),
    ({"credits": 1, "estimate_field": "t"}, {"t": NUMBER}, "price.estimate_field: 't' is integer"),
    ({"credits": 1, "quantity_field": "n"}, {"n": {"type": "integer", "maximum": 10**10}}, "price.quantity_field: the"),
    ({"credits": 1, "quantity_field": "n"}, {"n": {"type": "number", "exclusiveMaximum": 1e300}}, "price.quantity_field"),
    ({"credits": 1, "quantity_field": "n"}, {"n": {"enum": [1, 2**70]}}, "price.quantity_field: the"),
    ({"credits": 1, "estimate_field": "t"}, {"t": {"type": "string", "maxLength": 10**10}}, "price.estimate_field: the"),
    # 10,000 x $1 x 1,000,000 tokens x 1000 is past 64 bits, and a prime above it reduces nothing.
    ({"unit": "token", "cost_usd_micros": 999_999_937, "per": 1_000_000}, {}, None),
])  # fmt: skip
def test_a_price_is_checked_against_the_largest_quantity_of_its_schema(
    price: dict[str, object], properties: dict[str, object], words: str | None
) -> None:
    wrong = misfits(PriceRule.model_validate(price), schema(**properties), PLANS)
    assert len(wrong) == (0 if words is None else 1)
    assert words is None or words in wrong[0]


def test_a_price_that_does_not_fit_a_plan_names_the_plan() -> None:
    odd = DOLLAR.model_copy(update={"markup_bp": 8501})
    rule = PriceRule(unit="token", cost_usd_micros=999_999_937, per=1_000_000)
    assert "on plan odd" in misfits(rule, schema(), {**PLANS, "odd": odd})[0]
    free = DOLLAR.model_copy(update={"credit_price_usd_micros": 1, "markup_bp": 10**9})
    dear = PriceRule(unit="second", cost_usd_micros=10**9, quantity_field="n")
    assert "price.cost_usd_micros" in misfits(dear, schema(n={"type": "number"}), {"tiny": free})[0]


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(0, 10**9))
def test_whatever_passes_the_check_can_be_ordered_up_to_its_maximum(cost: int, per: int, most: int) -> None:
    rule = PriceRule(
        unit="token", cost_usd_micros=cost or None, credits=None if cost else 1, per=per, quantity_field="n"
    )
    plans = {"dollar": DOLLAR}
    if not misfits(rule, schema(n={"type": "integer", "maximum": most}), plans):
        for value in {0, 1, most // 2, most}:
            price = quote(rule, {"n": value}, DOLLAR)
            assert max(*price.rate, price.quantity_milli, price.credits) <= MAX_STORED
