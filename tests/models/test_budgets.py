"""A key's budget is that of the month in which its jobs were ordered."""

from typing import Any
from uuid import UUID

import pytest

from models import ending, keys
from models.db import transaction
from models.ending import Ending
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, claimed, model, order, place, rows

pytestmark = pytest.mark.usefixtures("database")

NEXT_MONTH = {"CLOCK_OFFSET_SECONDS": str(32 * 86_400)}


def spent() -> list[int]:
    """What the key has spent, a month after the other."""
    return [row[0] for row in rows("select credits from key_spending order by month")]


def finish(job_id: UUID, ended: str, cost: int = 0, **fields: Any) -> None:
    claim = claimed(job_id)
    with transaction() as conn:
        ending.end(conn, claim.account_id, job_id, Ending(ended, cost_credits=cost, **fields), token=claim.token)


@pytest.mark.parametrize(("ended", "cost", "fields"), [
    ("failed", 0, {"error_code": "x", "error_message": "y"}), ("succeeded", 1, {}),
])  # fmt: skip
def test_what_a_job_gives_back_goes_to_the_budget_of_the_month_in_which_it_was_ordered(
    ended: str, cost: int, fields: dict[str, str]
) -> None:
    who, offer = account(amount=50), model(price={"credits": 4})
    with transaction() as conn:
        key_id, _ = keys.create(conn, who, keys.NewKey("test", monthly_credits=10))
    budget = {"api_key_id": key_id, "key_budget": 10}
    old = place(order(who, offer, **budget))[0].job_id
    assert spent() == [4]
    with environment(NEXT_MONTH):
        place(order(who, offer, **budget))
        assert spent() == [4, 4]
        finish(old, ended, cost, **fields)
        assert spent() == [cost, 4]
        assert_books_are_clean()
