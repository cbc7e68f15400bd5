"""Each test is either short or long, and what the list names is there."""

import ast
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests import lengths
from tests.lengths import KEPT, LIST, LONG, SHORT, entries, is_long, parted

ROOT = Path(__file__).parent.parent
LISTED = entries(LIST.read_text())


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


@pytest.mark.parametrize(
    ("options", "stay"),
    [((), "abc"), ((SHORT,), "c"), ((LONG,), "ab"), ((SHORT, LONG), "abc")],
    ids=["neither", "short", "long", "both"],
)
def test_pytest_runs_either_half_or_all(
    options: tuple[str, ...], stay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lengths, "LIST", tmp_path / "long.txt")
    lengths.LIST.write_text("tests/a.py\ntests/b.py::test_b\n")
    left_out: list[object] = []
    config = cast("pytest.Config", SimpleNamespace(
        getoption=lambda option: option in options, rootpath=ROOT,
        hook=SimpleNamespace(pytest_deselected=lambda *, items: left_out.extend(items)),
    ))  # fmt: skip
    every = [
        cast("pytest.Item", SimpleNamespace(nodeid=f"tests/{node}"))
        for node in ("a.py::test_a", "b.py::test_b", "b.py::test_c")
    ]
    items = list(every)
    lengths.pytest_collection_modifyitems(config, items)
    assert "".join(item.nodeid[-1] for item in items) == stay
    assert [each for each in every if each not in items] == left_out
    ignored = [lengths.pytest_ignore_collect(ROOT / "tests" / file, config) for file in ("a.py", "b.py", "")]
    assert ignored == [True if SHORT in options and LONG not in options else None, None, None]


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
