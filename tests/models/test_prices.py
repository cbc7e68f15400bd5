"""Prices are whole credits, rounded up once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.prices import PriceRule, Rate, credits_for, rate, reserve_quantity_milli


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


def test_an_estimate_from_a_text_is_at_least_one_unit() -> None:
    rule = PriceRule(unit="second", credits=1, estimate_field="text", characters_per_unit=10)
    assert [price(rule, {"text": "x" * n}) for n in (1, 10, 11, 100)] == [1, 1, 2, 10]


@pytest.mark.parametrize("body", [{}, {"credits": 1, "cost_usd_micros": 1}, {"credits": -1}, {"credits": 1.5}])
def test_a_rule_without_exactly_one_price_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceRule.model_validate(body)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**7), st.integers(0, 10**7))
def test_credits_grow_with_the_quantity_and_never_round_down(num: int, den: int, a: int, b: int) -> None:
    chosen = Rate(num, den)
    low, high = sorted((a, b))
    assert credits_for(chosen, low) <= credits_for(chosen, high)
    assert credits_for(chosen, high) * den >= high * num > (credits_for(chosen, high) - 1) * den or high * num == 0
