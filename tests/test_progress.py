"""How far the tests are: a line for each twentieth, and what fails as it fails."""

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.lengths import KEPT
from tests.progress import Progress, said, too_long


def report(name: str, when: str, *, failed: bool = False, seconds: float = 0.1) -> Any:
    return SimpleNamespace(nodeid=f"tests/a.py::{name}", when=when, failed=failed, duration=seconds)


def test_a_line_says_how_many_of_how_many_and_what_failed() -> None:
    assert said(612, 4980, 0, 185.4, "tests/a.py") == " 12 %  612 of 4,980 tests, 3:05  tests/a.py"
    assert said(4980, 4980, 2, 59.9, "tests/a.py") == "100 %  4,980 of 4,980 tests, 2 FAILED, 0:59  tests/a.py"
    assert said(0, 0, 0, 0, "") == "  0 %  0 of 0 tests, 0:00  "


def test_without_a_terminal_there_is_a_line_for_each_twentieth_and_one_for_each_failure() -> None:
    out = io.StringIO()
    progress = Progress(out, session=cast("pytest.Session", SimpleNamespace(testscollected=40)))
    for number in range(40):
        for when in ("setup", "call", "teardown"):
            progress.pytest_runtest_logreport(report(str(number), when, failed=(number, when) == (9, "call")))
    lines = out.getvalue().splitlines()
    assert [line for line in lines if line.startswith("FAILED")] == ["FAILED tests/a.py::9"]
    counted = [line.partition(" of ")[0].split()[-1] for line in lines if " of " in line]
    assert counted == [str(number) for number in range(2, 41, 2)]
    assert all("1 FAILED" in line for line in lines if line.startswith("100 %"))


def test_what_took_long_is_named_the_longest_first() -> None:
    took = {"tests/a.py::one": 5.1, "tests/a.py::two": 4.9, "tests/b.py::three": 31.26, f"{KEPT[0]}::four": 40.0}
    assert too_long(took) == [" 31.3 s  tests/b.py::three", "  5.1 s  tests/a.py::one"]


def test_only_a_tests_own_time_counts_and_not_the_start_of_its_servers() -> None:
    progress = Progress(io.StringIO(), session=cast("pytest.Session", SimpleNamespace(testscollected=1)))
    for when, seconds in (("setup", 30.0), ("call", 5.5), ("teardown", 30.0)):
        progress.pytest_runtest_logreport(report("one", when, seconds=seconds))
    told = io.StringIO()
    reporter = SimpleNamespace(section=told.write, write=told.write)
    for is_short in (False, True):
        config = SimpleNamespace(getoption=lambda _name, *, default, is_short=is_short: is_short or default)
        progress.pytest_terminal_summary(cast("pytest.TerminalReporter", reporter), cast("pytest.Config", config))
    assert told.getvalue() == "took long: see tests/long.txt  5.5 s  tests/a.py::one\n"
