"""Requests that are answered together: whatever fails, each gets an answer, nobody waits for ever, and lists are bounded."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.edge.grouping import Grouper
from api.intake import submits
from api.intake.submits import Intake
from common.errors import Busy, DatabaseAway, DomainError, Overloaded, Unavailable
from models.db import transaction
from models.jobs.admission import Accepted, Order
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, eventually, model, one, order


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(work(), 20)

    return asyncio.run(limited())


def doubled(items: Sequence[int]) -> list[int | Exception]:
    return [2 * item for item in items]


async def all_of(grouper: Grouper[int, int], count: int) -> list[Any]:
    return await asyncio.gather(*(grouper.ask(n) for n in range(count)), return_exceptions=True)


def test_what_fails_after_the_answers_does_not_stop_the_next_batch() -> None:
    def fail(_items: Sequence[int], _answers: Sequence[int | Exception]) -> None:
        raise RuntimeError("nobody rang")

    async def work() -> list[int]:
        grouper = Grouper(doubled, after=fail)
        found = [await grouper.ask(n) for n in range(3)]
        grouper.close()
        return found

    assert run(work) == [0, 2, 4]


def test_a_function_that_miscounts_answers_everybody() -> None:
    async def work() -> list[Any]:
        grouper: Grouper[int, int] = Grouper(lambda _items: [1, 2, 3])
        found = await all_of(grouper, 1)
        grouper.close()
        return found

    assert isinstance(run(work)[0], RuntimeError)


def test_the_line_is_bounded_and_who_comes_too_late_is_told_at_once() -> None:
    gate = threading.Event()

    def held(items: Sequence[int]) -> list[int | Exception]:
        gate.wait(20)
        return doubled(items)

    async def work() -> tuple[list[Any], list[Any]]:
        grouper = Grouper(held, max_batch=2, max_waiting=5)
        first = [asyncio.ensure_future(grouper.ask(0))]
        await asyncio.sleep(0)
        first += [asyncio.ensure_future(grouper.ask(n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        refused = await all_of(grouper, 3)  # while the first batch is held
        gate.set()
        answered = await asyncio.gather(*first)
        grouper.close()
        return answered, refused

    answered, refused = run(work)
    assert answered == [0, 2, 4, 6, 8, 10]
    assert [type(each) for each in refused] == [Overloaded] * 3


def test_a_database_that_is_away_is_found_out_once_for_all_who_wait() -> None:
    calls, gate = [], threading.Event()

    def away(items: Sequence[int]) -> list[int | Exception]:
        calls.append(len(items))
        gate.wait(20)
        raise DatabaseAway("away")

    async def work() -> list[Any]:
        grouper: Grouper[int, int] = Grouper(away, max_batch=2, rescue=lambda items, error: [error] * len(items))
        waiting = [asyncio.ensure_future(grouper.ask(n)) for n in range(50)]
        await asyncio.sleep(0)
        gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        grouper.close()
        return found

    assert [type(each) for each in run(work)] == [DatabaseAway] * 50
    assert calls == [1]


def test_who_asks_while_it_closes_is_told() -> None:
    gate = threading.Event()

    def held(items: Sequence[int]) -> list[int | Exception]:
        gate.wait(20)
        return doubled(items)

    async def work() -> list[Any]:
        grouper = Grouper(held)
        waiting = [asyncio.ensure_future(grouper.ask(n)) for n in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.get_running_loop().run_in_executor(None, grouper.close)
        await asyncio.to_thread(eventually, lambda: grouper._closed)
        gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        await closing
        return [*found, *await all_of(grouper, 1)]

    found = run(work)
    assert found[0] == 0
    assert [type(each) for each in found[1:]] == [Unavailable] * 3


# Orders


@pytest.fixture
def offers(database: str) -> list[Order]:
    offer = model("quick")
    return [order(account(amount=5), offer) for _ in range(8)]


async def submitted(intake: Intake, orders: Sequence[Order]) -> list[Any]:
    found = await asyncio.gather(*(intake.submit(each) for each in orders), return_exceptions=True)
    await asyncio.to_thread(intake.close)
    return found


def test_a_batch_that_fails_while_the_database_is_away_is_tried_once(database: str, offers: list[Order]) -> None:
    tries = []
    whole = submits.certain

    def counted(**given: Any) -> Any:
        tries.append(1)
        return whole(**given)

    async def work() -> list[Any]:
        return await submitted(Intake(), offers)

    with environment({"DATABASE_URL": "postgresql://app@127.0.0.1:1/none"}), pytest.MonkeyPatch.context() as patch:
        patch.setattr(submits, "certain", counted)
        found = run(work)
    assert [type(each) for each in found] == [DatabaseAway] * 8
    assert all(each.retryable for each in found)
    assert len(tries) == 1


def test_one_bad_order_harms_no_other(offers: list[Order]) -> None:
    bad = order(offers[0].account_id, offers[0].offer)
    bad.input["prompt"] = "\0"

    async def work() -> list[Any]:
        return await submitted(Intake(), [*offers[:4], bad, *offers[4:]])

    found = run(work)
    assert [isinstance(each, Accepted) for each in found] == [True] * 4 + [False] + [True] * 4
    assert_books_are_clean()


def test_orders_for_an_account_that_is_held_are_bounded(offers: list[Order], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submits, "MAX_LANE", 3)
    who = offers[0].account_id
    mine = [order(who, offers[0].offer) for _ in range(20)]

    async def work() -> list[Any]:
        return await submitted(Intake(), [*mine, *offers[1:]])

    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(run, work).result()
    assert all(isinstance(each, Accepted) for each in found[20:])
    refused = [type(each) for each in found[:20]]
    assert set(refused) == {Busy, Overloaded}
    assert refused.count(Busy) <= 6
    assert all(isinstance(each, DomainError) and each.retryable for each in found[:20])
    assert one("select count(*) from jobs where account_id = %s", who) == (0,)


def test_a_bell_that_cannot_be_rung_turns_no_order_into_an_error(
    offers: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> bool:
        raise RuntimeError("no bell")

    monkeypatch.setattr(submits, "ring", broken)
    held = threading.Event()
    free = threading.Event()

    def hold() -> None:
        with transaction() as conn:
            conn.execute("select 1 from accounts where id = %s for no key update", [offers[0].account_id])
            held.set()
            free.wait(20)

    async def work() -> list[Any]:
        intake = Intake()
        waiting = [asyncio.ensure_future(intake.submit(each)) for each in offers]
        await asyncio.to_thread(eventually, lambda: offers[0].account_id in intake._lanes)
        free.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.to_thread(intake.close)
        return found

    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(hold)
        held.wait(20)
        found = run(work)
        holding.result()
    assert [type(each) for each in found] == [Accepted] * 8
