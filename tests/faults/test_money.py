"""No single fault moves money twice, or loses it: the plays that `tests/sweep/test_money.py` leaves out."""

import pytest

from tests.sweep.money import Till
from tests.sweep.money_plays import PLAYS
from tests.sweep.test_money import QUICK, made, sweep_outer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

__all__ = ["made"]


@pytest.mark.parametrize("name", [name for name in PLAYS if name not in QUICK])
def test_no_single_fault_moves_money_twice_or_loses_it(made: Till, name: str) -> None:
    sweep_outer(made, name)
