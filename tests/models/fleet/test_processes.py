"""Processes as operators see them: workers by their own word, and whose turn a duty is."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from models.db import transaction
from models.fleet import processes
from tests.models.hands import later
from tests.support import one, rows

pytestmark = pytest.mark.usefixtures("database")


def act(verb: Any, *values: Any, **fields: Any) -> Any:
    with transaction() as conn:
        return verb(conn, *values, **fields)


def turn(name: str = "sweep", every: float = 60.0) -> bool:
    return bool(act(processes.take_turn, name, every))


# Workers


def test_a_worker_is_shown_as_it_last_spoke_of_itself() -> None:
    act(processes.report_worker, "host:1", "interactive,batch", 8, 8, 3)
    act(processes.report_worker, "host:1", "interactive,batch", 8, 6, 0)
    [found] = act(processes.workers)
    assert (found["id"], found["queues"], found["threads"], found["threads_alive"], found["busy"]) == (
        "host:1", "interactive,batch", 8, 6, 0,
    )  # fmt: skip
    assert found["silent_seconds"] < 30


def test_a_worker_tells_where_it_runs_its_version_and_its_jobs() -> None:
    job = UUID(int=7)
    assert act(processes.report_worker, "host:31:abc", "batch", 2, 2, 1, jobs=[job], version="1.2") is False
    [found] = act(processes.workers)
    assert (found["host"], found["pid"], found["version"], found["jobs"]) == ("host", 31, "1.2", [job])
    act(processes.report_worker, "host:31:abc", "batch", 2, 2, 0)
    assert act(processes.workers)[0]["jobs"] == []


def test_workers_are_shown_newest_first_with_how_long_they_are_silent() -> None:
    act(processes.report_worker, "old", "batch", 1, 1, 0)
    with later(1):
        act(processes.report_worker, "new", "batch", 1, 1, 0)
        found = act(processes.workers)
    assert [each["id"] for each in found] == ["new", "old"]
    assert found[1]["silent_seconds"] == pytest.approx(3600, abs=30)


def test_a_worker_that_ended_or_was_not_heard_of_for_so_long_is_forgotten() -> None:
    for name in ("ended", "silent", "alive"):
        act(processes.report_worker, name, "batch", 1, 1, 0)
    act(processes.forget_worker, "ended")
    act(processes.forget_worker, "nobody")
    with later(1):
        act(processes.report_worker, "alive", "batch", 1, 1, 0)
        assert act(processes.forget_silent_workers, 3700.0) == 0
        assert act(processes.forget_silent_workers, 3500.0) == 1
    assert [each["id"] for each in act(processes.workers)] == ["alive"]


# Turns


def test_a_duty_has_its_first_turn_at_once_and_the_next_after_its_pause() -> None:
    assert turn(every=3600)
    assert not turn(every=3600)
    assert turn("another", every=3600)
    with later(0.99):
        assert not turn(every=3600)
    with later(1.01):
        assert turn(every=3600)
        assert not turn(every=3600)


def test_of_several_schedulers_one_has_the_turn() -> None:
    barrier = threading.Barrier(6)

    def ask(_: int) -> bool:
        barrier.wait()
        return turn()

    for hours in (0, 1):
        with later(hours), ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(ask, range(6))) == 1


def test_a_turn_that_lies_further_ahead_than_any_pause_is_taken_because_the_clock_was_set_back() -> None:
    with later(3):
        assert turn(every=600)
    assert turn(every=600), "it would lie still for three hours"
    assert not turn(every=600)
    with later(0.1):
        assert turn("near", every=600)
    assert not turn("near", every=600), "a pause ahead, and a little, is not too far"


def test_how_a_turn_went_is_shown_and_more_work_makes_the_next_one_due_at_once() -> None:
    turn(every=3600)
    act(processes.end_turn, "sweep", 5, None)
    [found] = act(processes.duties)
    assert (found["name"], found["done"], found["error"], found["overdue_seconds"]) == ("sweep", 5, None, 0)
    assert found["finished_at"] >= found["started_at"]
    assert not turn(every=3600)
    act(processes.end_turn, "sweep", 0, "it broke", again_seconds=0)
    assert turn(every=3600)
    assert act(processes.duties)[0]["error"] == "it broke"


def test_a_duty_that_is_late_is_shown_so() -> None:
    turn(every=60)
    with later(1):
        assert act(processes.duties)[0]["overdue_seconds"] == pytest.approx(3540, abs=30)


def test_a_duty_without_turns_is_shown_as_it_went_last() -> None:
    act(processes.note_turn, "ring", 1.0, 3, None)
    act(processes.note_turn, "ring", 1.0, 0, "the database is away")
    act(processes.note_turn, "poll", 1.0, 1, None)
    assert [(each["name"], each["done"], each["error"]) for each in act(processes.duties)] == [
        ("poll", 1, None), ("ring", 0, "the database is away"),
    ]  # fmt: skip


def test_a_long_walk_goes_on_where_it_stopped_and_begins_anew_after_its_end() -> None:
    turn()
    assert act(processes.cursor, "sweep") is None
    assert act(processes.cursor, "nobody") is None
    assert act(processes.place, "sweep") is None
    act(processes.set_cursor, "sweep", "abc")
    assert act(processes.cursor, "sweep") == "abc"
    at = datetime(2031, 3, 1, 12, 30, 15, 123456, tzinfo=UTC), UUID(int=7)
    act(processes.set_place, "sweep", at)
    assert act(processes.place, "sweep") == at
    turn()
    act(processes.end_turn, "sweep", 1, None)
    assert act(processes.place, "sweep") == at, "a turn that ends forgets no place"
    act(processes.set_place, "sweep", None)
    assert act(processes.place, "sweep") is None
    assert one("select cursor from duties") == (None,)
    assert rows("select name from duties") == [("sweep",)]
