"""The sweep itself: it sees every sort of call, and it finds a fault that is there."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock

import pytest

from tests.sweep import money
from tests.sweep.boundary import FOUR, WAYS, Boundary, Call, Fault
from tests.sweep.kinds import KINDS
from tests.sweep.money import Sale, Till
from tests.sweep.pairs import drawn

ROOT = Path(__file__).resolve().parents[2]
CALL = Call("worker", "sql", "select", ("fail", "kill"))


def swept(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.sweep", "--processes", "1", *arguments]
    somebodys = {"DATABASE_URL": "postgresql://app:x@127.0.0.1:1/real", "REDIS_URL": "redis://127.0.0.1:1/0"}
    env = {**os.environ, **somebodys}  # a sweep drops and flushes: it never touches these
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
def test_every_sort_of_call_is_seen_and_a_call_can_be_repeated_by_its_number() -> None:
    kinds = ("told-address", "with-address", "uploaded", "mailed")
    done = swept("--list", *(part for kind in kinds for part in ("--kind", kind)))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert {line[2] for line in lines} == {"sql", "commit", "provider", "web", "s3", "redis", "file"}
    assert {line[1] for line in lines} == {"api", "worker", "scheduler", "sender"}


def test_only_a_step_is_counted_and_only_its_planned_call_fails() -> None:
    boundary = Boundary()
    boundary.begin([Fault(1, "fail")])
    assert boundary.cross("sql", "select", ("fail",)) is None
    with boundary.step("worker"):
        assert [boundary.cross("sql", "select", ("fail", "kill")) for _ in range(3)] == [None, "fail", None]
        with boundary.unseen():
            boundary.cross("sql", "select", ("fail",))
    assert len(boundary.calls) == 3
    assert [number for number, _, _ in boundary.happened] == [1]


def test_a_killed_process_reaches_nobody_any_more_and_its_successor_does() -> None:
    boundary = Boundary()
    boundary.begin([Fault(0, "kill")])
    with boundary.step("worker"):
        assert [boundary.cross("sql", "select", ("kill",)) for _ in range(2)] == ["kill", "kill"]
    with boundary.step("worker"):
        assert boundary.cross("sql", "select", ("kill",)) is None


def test_a_run_that_goes_another_way_before_its_fault_is_told_from_one_that_has_it() -> None:
    boundary = Boundary()
    boundary.begin([Fault(0, "fail")], [CALL])
    with boundary.step("worker"):
        assert boundary.cross("sql", "update", ("fail", "kill")) is None
    assert boundary.diverged
    assert boundary.missed() == boundary.diverged


def test_a_run_that_ends_before_its_fault_is_told_from_one_that_has_it() -> None:
    boundary = Boundary()
    boundary.begin([Fault(1, "fail")], [CALL, CALL])
    with boundary.step("worker"):
        boundary.cross("sql", "select", ("fail", "kill"))
        assert boundary.missed() == "there was no such call; the run made 1"
        assert boundary.cross("sql", "select", ("fail", "kill")) == "fail"
    assert boundary.missed() is None


def test_what_is_recorded_of_a_sale_is_what_two_runs_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was slow is no measure of the others."""
    slow, usual = [CALL] * 3, [CALL] * 2
    sale, boundary = MagicMock(problems=[]), Boundary()
    made = Till(boundary, MagicMock(), MagicMock(), {})
    runs = iter(())

    def play(*_: object) -> Sale:
        boundary.calls = next(runs)
        return cast(Sale, sale)

    monkeypatch.setattr(money, "played", play)
    runs = iter([slow, slow, usual, usual])
    assert money.recorded(made, "pay", MagicMock())[0] == usual
    runs = iter([slow, usual] * money.RUNS)
    with pytest.raises(AssertionError, match="pay: no two runs are the same"):
        money.recorded(made, "pay", MagicMock())


def test_an_answer_in_hand_excuses_a_kill_until_it_is_written_down() -> None:
    def killed_after(*statements: str) -> bool:
        boundary = Boundary()
        boundary.begin([Fault(1, "kill")])
        with boundary.step("worker"):
            boundary.starting(boundary.cross("provider", "POST", ("kill",)))
            for each in statements:
                boundary.wrote(each, committed=True)
            boundary.cross("s3", "PUT", ("kill",))
        return boundary.excused

    assert killed_after("select 1 from attempts", "update job_runs set wake_at = now()")
    assert not killed_after("update attempts set phase = 'accepted'")


def test_pairs_are_the_same_for_the_same_seed_and_fall_on_two_calls() -> None:
    records: dict[str, Sequence[Call]] = {"once": [CALL] * 9, "polled": [CALL] * 5}
    assert drawn(records, 20, 7) == drawn(records, 20, 7) != drawn(records, 20, 8)
    assert all(first.call < second.call for _, (first, second) in drawn(records, 20, 7))


def test_kinds_name_their_own_models_and_ways_are_known() -> None:
    assert all(name == kind.name == kind.entry()["id"] for name, kind in KINDS.items())
    assert set(FOUR) < set(WAYS)
