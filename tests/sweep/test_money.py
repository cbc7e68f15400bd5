"""No single fault moves money twice, or loses it: each COMMIT and each call of a company fails once, in a play of each
kind. The other plays are in `tests/faults/test_money.py`; each statement and the other ways to fail in `every_money.py`.
"""

from collections.abc import Iterator

import pytest

from tests.support import assert_books_are_clean
from tests.sweep.boundary import Call
from tests.sweep.money import Till, swept, till
from tests.sweep.money_plays import PLAYS

QUICK = ("pay-truelayer",)


@pytest.fixture
def made(database: str) -> Iterator[Till]:
    with till() as found:
        yield found


def outer(call: Call, way: str) -> bool:
    """Before it took effect, and after it without an answer. A statement inside a transaction fails as its COMMIT does."""
    return way in {"fail", "lost"} and (call.sort != "sql" or "lost" in call.ways)


def sweep_outer(made: Till, name: str) -> None:
    """Sweep a play, and see that nothing was found."""
    count, found = swept(made, name, PLAYS[name], outer)
    print(f"\n{name}: {count} faults")
    assert found == [], "\n".join(map(str, found))
    assert count > 3
    assert_books_are_clean()


@pytest.mark.parametrize("name", QUICK)
def test_no_single_fault_moves_money_twice_or_loses_it(made: Till, name: str) -> None:
    sweep_outer(made, name)
