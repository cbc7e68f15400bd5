"""Every single fault of every play of money: each statement, each COMMIT, each call of a company, in each way to fail."""

from collections.abc import Iterator

import pytest

from tests.support import assert_books_are_clean
from tests.sweep.boundary import Call
from tests.sweep.money import Till, swept, till
from tests.sweep.money_plays import PLAYS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

LATER = {"late"}  # as lost, a moment later: what follows waits for it


@pytest.fixture
def made(database: str) -> Iterator[Till]:
    with till() as found:
        yield found


def every(call: Call, way: str) -> bool:
    """A statement of a transaction breaks it in one way or another: of those, one; killed is told apart at its COMMIT."""
    if call.sort == "sql" and "lost" not in call.ways:
        return way == "fail"
    return way not in LATER


@pytest.mark.parametrize("name", PLAYS)
def test_no_single_fault_moves_money_twice_or_loses_it(made: Till, name: str) -> None:
    count, found = swept(made, name, PLAYS[name], every)
    print(f"\n{name}: {count} faults")
    assert found == [], "\n".join(map(str, found))
    assert_books_are_clean()
