"""Submits whose COMMIT had its effect and lost its answer."""

import asyncio
from collections.abc import Iterator

import pytest

from api.intake.submits import Intake
from models.jobs.admission import Accepted, Order
from tests.conftest import environment
from tests.proxies import Proxy, proxy
from tests.support import account, assert_books_are_clean, balance, model, one, order, rows


@pytest.fixture
def between(database: str) -> Iterator[Proxy]:
    """What stands between this process and PostgreSQL from now on."""
    with proxy(database) as made:
        yield made


def submitted(between: Proxy, database: str, orders: list[Order]) -> list[object]:
    """Through an intake of its own, all at once, the first COMMIT's answer lost."""

    async def run() -> list[object]:
        intake = Intake()
        try:
            return await asyncio.gather(*(intake.submit(each) for each in orders), return_exceptions=True)
        finally:
            await asyncio.to_thread(intake.close)

    with environment({"DATABASE_URL": between.place(database)}):
        between.lose_answer_to(b"COMMIT\0")
        return asyncio.run(run())


@pytest.mark.parametrize("count", [1, 5])
def test_orders_whose_commit_lost_its_answer_find_themselves_and_are_done_once(
    between: Proxy, database: str, count: int
) -> None:
    who, offer = account(amount=50), model(price={"credits": 2})
    orders = [order(who, offer, idempotency_key=f"k{number}", body_hash=b"x") for number in range(count)]
    answers = submitted(between, database, orders)
    assert [type(answer) for answer in answers] == [Accepted] * count, answers
    assert [answer.job_id for answer in answers if isinstance(answer, Accepted)] == [each.job_id for each in orders]
    assert not any(answer.replayed for answer in answers if isinstance(answer, Accepted)), "nobody has asked twice"
    assert {row[0] for row in rows("select id from jobs")} == {each.job_id for each in orders}
    assert balance(who) == (50 - 2 * count, 2 * count)
    assert_books_are_clean()


def test_an_order_without_a_key_whose_commit_lost_its_answer_is_done_once_too(between: Proxy, database: str) -> None:
    who, offer = account(amount=50), model(price={"credits": 2})
    [answer] = submitted(between, database, [made := order(who, offer)])
    assert isinstance(answer, Accepted), answer
    assert answer.job_id == made.job_id
    assert one("select count(*) from jobs") == (1,)
    assert balance(who) == (48, 2)
    assert_books_are_clean()
