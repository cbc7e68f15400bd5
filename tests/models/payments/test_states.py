"""The machine of payments: its arrows are those that are drawn, and what is due depends on the facts alone."""

from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.payments.states import (
    DAY,
    LATE_DAYS,
    Dispute,
    Facts,
    Money,
    PaymentProblem,
    PaymentStatus,
    credits_due,
    kept_of,
    merge,
    pause_of,
    period_due,
    problem_of,
    renewal_pause_of,
    status_of,
)

D = Decimal
PRICE = D("10.00")


def paid(amount: str = "10.00", **more: Any) -> Facts:
    return Facts(Money.PAID, D(amount), "USD")._replace(**more)


def every_fact() -> list[Facts]:
    """One of each kind that a company can tell."""
    waiting = [Facts(money) for money in Money if money is not Money.PAID]
    refunds = (D(0), D(4), D(10))
    settled = [
        paid(refunded=refunded, refund_failed=failed, dispute=dispute)
        for refunded, failed, dispute in product(refunds, (False, True), (None, *Dispute))
    ]
    return waiting + settled


@pytest.mark.parametrize(("facts", "status"), [
    (Facts(), PaymentStatus.PENDING),
    (Facts(Money.PROCESSING), PaymentStatus.PROCESSING),
    (Facts(Money.EXPIRED), PaymentStatus.EXPIRED),
    (Facts(Money.FAILED), PaymentStatus.FAILED),
    (paid(), PaymentStatus.PAID),
    (paid(refunded=D(4)), PaymentStatus.PARTLY_REFUNDED),
    (paid(refunded=D(10)), PaymentStatus.REFUNDED),
    (paid(refund_failed=True), PaymentStatus.REFUND_FAILED),
    (paid(refunded=D(4), refund_failed=True), PaymentStatus.PARTLY_REFUNDED),
    (paid(dispute=Dispute.INQUIRY), PaymentStatus.INQUIRY),
    (paid(dispute=Dispute.OPEN), PaymentStatus.DISPUTED),
    (paid(dispute=Dispute.OPEN, refunded=D(10)), PaymentStatus.DISPUTED),
    (paid(dispute=Dispute.WON), PaymentStatus.WON),
    (paid(dispute=Dispute.LOST), PaymentStatus.LOST),
])  # fmt: skip
def test_a_status_is_read_off_the_facts(facts: Facts, status: PaymentStatus) -> None:
    assert status_of(facts) is status


@pytest.mark.parametrize(("facts", "credits"), [
    (Facts(), 0), (Facts(Money.PROCESSING), 0), (Facts(Money.EXPIRED), 0), (paid(), 100),
    (paid("4.00"), 40), (paid("9.99"), 99), (paid("12.00"), 100), (paid("12.00", refunded=D(2)), 100),
    (paid(refunded=D("0.01")), 99), (paid(refunded=D(4)), 60), (paid(refunded=D(10)), 0), (paid(refunded=D(11)), 0),
    (paid(dispute=Dispute.INQUIRY), 100), (paid(dispute=Dispute.OPEN), 0), (paid(dispute=Dispute.WON), 100),
    (paid(dispute=Dispute.LOST), 0), (paid(dispute=Dispute.LOST, refunded=D(10)), 0), (paid(refund_failed=True), 100),
    (paid(currency="IDR"), 0),
])  # fmt: skip
def test_credits_are_due_in_proportion_to_the_money_that_is_here(facts: Facts, credits: int) -> None:
    assert credits_due(100, facts, PRICE, "USD") == credits


def test_what_is_free_is_due_once_it_is_said_to_be_paid() -> None:
    assert credits_due(5, Facts(), D(0), "USD") == 0
    assert credits_due(5, Facts(Money.PAID, D(0), "USD"), D(0), "USD") == 5


@pytest.mark.parametrize(("facts", "problem", "holds"), [
    (Facts(), None, False), (paid(), None, True), (paid("9.99"), PaymentProblem.UNDERPAID, False),
    (paid("10.01"), PaymentProblem.OVERPAID, True), (paid(currency="IDR"), PaymentProblem.OTHER_CURRENCY, False),
    (paid(refunded=D(4)), None, True), (paid(refunded=D(10)), None, False), (paid(dispute=Dispute.OPEN), None, False),
    (paid(dispute=Dispute.WON), None, True),
])  # fmt: skip
def test_a_plan_is_held_by_a_payment_in_full(facts: Facts, problem: PaymentProblem | None, holds: bool) -> None:
    assert problem_of(facts, PRICE, "USD") is problem
    assert period_due(facts, PRICE, "USD") is holds


def test_the_arrows_that_are_drawn_are_those_that_there_are() -> None:
    found = {
        (status_of(before).value, status_of(merge(before, told)).value)
        for before, told in product(every_fact(), every_fact())
    }
    text = (Path(__file__).parents[3] / "docs" / "payments.md").read_text()
    drawn: set[tuple[str, str]] = set()
    for line in text.partition("<!-- arrows -->")[2].partition("<!-- end of arrows -->")[0].splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[0] in set(PaymentStatus):
            drawn |= {(cells[0], target.strip(" `")) for target in cells[1].split(",")}
    assert {(a, b) for a, b in found if a != b} == drawn


AMOUNTS = st.decimals(min_value=0, max_value=50, places=2)
FACTS = st.one_of(
    st.sampled_from([each for each in every_fact() if each.money is not Money.PAID]),
    st.builds(
        Facts, st.just(Money.PAID), AMOUNTS, st.sampled_from(["USD", "IDR"]), AMOUNTS, st.booleans(),
        st.sampled_from([None, *Dispute]),
    ),
)  # fmt: skip


@given(st.lists(FACTS, max_size=8), FACTS)
def test_what_has_arrived_stays_until_it_is_said_to_have_gone(told: list[Facts], last: Facts) -> None:
    known = Facts()
    for each in told:
        before, known = known, merge(known, each)
        assert merge(known, each) == known, "told twice it is the same"
        if before.money is Money.PAID:
            assert known.money is Money.PAID
            assert known.paid is not None
    final = merge(known, last)
    assert 0 <= credits_due(100, final, PRICE, "USD") <= 100
    assert 0 <= kept_of(final, PRICE, "USD") <= PRICE
    if last.money is Money.PAID:
        assert final == last, "the newest word counts, whatever came before"


def test_late_orders_are_let_go_and_money_that_moves_is_not() -> None:
    assert [pause_of(Facts(), looks, late_seconds=-1) for looks in range(5)] == [30, 60, 120, 300, 900]
    assert pause_of(Facts(), 50, late_seconds=-1) == 6 * 3600
    assert pause_of(Facts(Money.EXPIRED), 50, late_seconds=LATE_DAYS * DAY) == 6 * 3600
    assert pause_of(Facts(Money.EXPIRED), 50, late_seconds=LATE_DAYS * DAY + 1) is None
    assert pause_of(Facts(Money.PROCESSING), 900, late_seconds=99 * DAY) == 6 * 3600
    assert pause_of(paid(dispute=Dispute.OPEN), 900, late_seconds=99 * DAY) == 6 * 3600
    assert pause_of(Facts(Money.FAILED), 0, late_seconds=-1) is None
    total = 0
    for looks in range(100):
        pause = pause_of(paid(), looks, late_seconds=total)
        if pause is None:
            break
        total += pause
    assert 540 * DAY <= total <= 600 * DAY, "for as long as card payers may dispute at some banks, and merchants refund"
    assert pause_of(paid(), 50, late_seconds=300 * DAY) == 180 * DAY, "looks without a word have not used them up"
    assert pause_of(paid(), 50, late_seconds=600 * DAY) is None


@pytest.mark.parametrize(("late", "pause"), [
    (-10 * DAY, 10 * DAY + 3600), (-1, 3601), (0, 3600), (3600, 3600), (5 * 3600, 5 * 3600), (9 * DAY, DAY), (45 * DAY, DAY),
    (45 * DAY + 1, None),
])  # fmt: skip
def test_a_company_that_renews_is_asked_for_its_next_bill_from_the_periods_end_on(
    late: float, pause: int | None
) -> None:
    assert renewal_pause_of(late) == pause
