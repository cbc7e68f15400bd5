"""Events of other services: kept once each, emptied where they tell of somebody who is gone, forgotten in time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common.settings import settings
from models.db import transaction
from models.identity import inbound
from tests.models.hands import change
from tests.support import one, rows

pytestmark = pytest.mark.usefixtures("database")


def stored(event_id: str, source: str = "clerk", **fields: Any) -> int | None:
    with transaction() as conn:
        return inbound.store(conn, source, event_id, "user.created", {"name": "Ada"}, **fields)


def test_an_event_is_kept_once_per_source() -> None:
    first = stored("1", subject="ada")
    assert first is not None
    assert stored("1") is None
    assert stored("1", "xendit") not in {None, first}
    assert one("select type, subject, payload, processed_at from inbound_events where id = %s", first) == (
        "user.created", "ada", {"name": "Ada"}, None,
    )  # fmt: skip


def test_of_many_that_bring_the_same_event_at_once_one_acts_on_it() -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: stored("1"), range(12)))
    assert len([each for each in found if each is not None]) == 1


def test_an_event_whose_transaction_was_undone_may_come_again() -> None:
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        inbound.store(conn, "clerk", "1", "x", {})
        raise ZeroDivisionError
    assert stored("1") is not None


def test_an_event_that_has_done_what_it_does_says_so() -> None:
    first, _second = stored("1"), stored("2")
    assert first is not None
    with transaction() as conn:
        inbound.mark_processed(conn, first)
    assert rows("select id from inbound_events where processed_at is not null") == [(first,)]


def test_what_tells_of_a_person_is_emptied_and_that_it_came_stays_known() -> None:
    stored("1", subject="ada")
    stored("2", subject="bob")
    stored("1", "xendit", subject="ada")
    stored("3")
    with transaction() as conn:
        inbound.erase(conn, "clerk", "ada")
    assert rows("select event_id, payload from inbound_events where source = 'clerk' order by id") == [
        ("1", {}), ("2", {"name": "Ada"}), ("3", {"name": "Ada"}),
    ]  # fmt: skip
    assert one("select payload from inbound_events where source = 'xendit'") == ({"name": "Ada"},)
    assert stored("1") is None, "it is not taken for new"


def test_events_are_forgotten_after_their_days_oldest_first() -> None:
    days = settings().inbound_days
    for number in range(4):
        stored(str(number))
    for number, age in enumerate((days + 2, days + 1, days - 1, days + 9)):
        change(
            "update inbound_events set received_at = app_now() - make_interval(days => %s) where event_id = %s",
            age, str(number),
        )  # fmt: skip
    with transaction() as conn:
        assert inbound.forget(conn, 1) == 1
        assert inbound.forget(conn, 2) == 1, "a young one among the oldest stays"
        assert inbound.forget(conn, 1) == 0
    assert rows("select event_id from inbound_events order by id") == [("2",), ("3",)]
