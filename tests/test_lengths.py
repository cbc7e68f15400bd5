"""Each test is either short or long, and what the list names is there."""

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.depth import DEEP
from tests.lengths import LIST, LONG, SHORT, entries, is_long, parted

ROOT = Path(__file__).parent.parent
LISTED = entries(LIST.read_text())
# What a change must not pass without, however long it takes: a job's way from order to end, and a stop under load.
KEPT = (
    "tests/flows/test_journeys.py",
    "tests/flows/test_drain.py",
    "tests/flows/test_webhooks.py",
    "tests/test_repository.py",
    "tests/models/credits/test_machine.py",
    "tests/models/jobs/test_states.py",
    "tests/models/test_locks.py",
)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("tests/a.py::test_one", True),
        ("tests/a.py::TestIt::test_one[x]", True),
        ("tests/b.py::test_two", True),
        ("tests/b.py::test_two[a::b-1]", True),
        ("tests/b.py::test_two_more", False),
        ("tests/b.py::TestIt::test_two", False),
        ("tests/aa.py::test_one", False),
    ],
)
def test_a_test_is_long_if_it_or_its_file_is_listed(node: str, expected: bool) -> None:
    assert is_long(node, {"tests/a.py", "tests/b.py::test_two"}) == expected


def test_the_list_has_remarks() -> None:
    assert entries("# all\n\ntests/a.py  # slow\n  tests/b.py::test_two\n") == {"tests/a.py", "tests/b.py::test_two"}


def test_each_test_is_in_one_half() -> None:
    items = [(f"tests/{file}.py::test_{number}", f"{file}{number}") for file in "ab" for number in range(3)]
    listed = {"tests/a.py", "tests/b.py::test_1"}
    assert parted(items, listed, want_long=True) == (["a0", "a1", "a2", "b1"], ["b0", "b2"])
    assert parted(items, listed, want_long=False) == (["b0", "b2"], ["a0", "a1", "a2", "b1"])


def test_what_is_listed_is_there() -> None:
    assert [each for each in sorted(LISTED) if not _is_there(*each.split("::"))] == []


def test_no_test_is_listed_besides_its_file() -> None:
    assert [each for each in sorted(LISTED) if "::" in each and each.partition("::")[0] in LISTED] == []


def test_what_every_change_must_pass_is_not_listed() -> None:
    assert [kept for kept in KEPT if not (ROOT / kept).exists()] == []
    assert [each for each in sorted(LISTED) if each.partition("::")[0] in KEPT] == []


def test_pytest_runs_either_half_or_whatever_is_named() -> None:
    """By a file in which some are listed: the halves are all of it. (What is named in a file that is listed is run as well.)"""
    listed = next(each for each in sorted(LISTED) if "::" in each)
    file = listed.partition("::")[0]
    both, short, long = (_collected(file, *options) for options in ((), (SHORT,), (LONG,)))
    assert both == short | long
    assert not short & long
    assert {each.partition("[")[0] for each in long} >= {listed}
    whole = next(each for each in sorted(LISTED) if "::" not in each)
    assert _collected(whole, LONG) == _collected(whole) != set()


def _is_there(file: str, *names: str) -> bool:
    """Whether a file of this path is there, with a function of this name: of a class, also of one that it takes from another file."""
    path = ROOT / file
    if not path.is_file():
        return False
    tree: Sequence[ast.stmt] = ast.parse(path.read_text()).body
    for depth, name in enumerate(names):
        found = next(
            (each for each in tree if isinstance(each, ast.ClassDef | ast.FunctionDef) and each.name == name), None
        )
        if found is None:
            return depth == 1 and any(f"def {name}(" in each.read_text() for each in path.parent.glob("*.py"))
        tree = found.body
    return True


def _collected(file: str, *options: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", file, *options]
    environment = {name: value for name, value in os.environ.items() if name != DEEP and not name.startswith("PYTEST_")}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout
    return {line for line in said.splitlines() if line.startswith(file + "::")}
