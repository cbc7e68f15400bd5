"""The list of planted bugs fits the tree, and a run says what it says it says."""

import pytest

from tests.mutants.judge import Verdict, sound, verdict
from tests.mutants.lanes import Report
from tests.mutants.table import ROOT, Mutant, Stale, read, stale

FOLDERS = {"api", "models", "workers", "scheduler", "storage", "common", "companies", "cli", "clients", "examples"}


def test_every_planted_bug_still_finds_its_place() -> None:
    """Code moves on; whoever moves it, moves the bug along: its entry in tests/mutants/*.toml says what it is about."""
    assert stale(read()) == []


def test_there_are_enough_of_them_all_over() -> None:
    mutants = read()
    assert len(mutants) >= 40
    assert {each.file.partition("/")[0] for each in mutants} == FOLDERS
    assert any(each.file.endswith(".sql") for each in mutants)


def test_none_is_planted_where_nothing_runs_any_more() -> None:
    """A function that was superseded is put back by a downgrade alone: a bug in its file would survive whatever is tested."""
    assert [each.name for each in read() if "superseded" in each.file] == []


def mutant(find: str, file: str = "models/db.py", test: str = "tests/test_repository.py::test_x") -> Mutant:
    return Mutant("made-up", file, find, "x", "why", (test,))


@pytest.mark.parametrize("made", [
    mutant("this text stands nowhere in that file"), mutant("import "), mutant(""), mutant("x", "models/none.py"),
    mutant("def single(", test="tests/none.py::test_x"),
])  # fmt: skip
def test_what_is_not_there_exactly_once_is_stale(made: Mutant) -> None:
    assert len(stale([made])) == 1


def test_a_bug_is_planted_in_the_text_alone() -> None:
    before = (ROOT / "models/db.py").read_text()
    assert mutant("def single(").planted(before) == before.replace("def single(", "x")
    with pytest.raises(Stale):
        mutant("import ").planted(before)
    assert (ROOT / "models/db.py").read_text() == before


def reports(*rows: tuple[str, str, str]) -> list[Report]:
    return [Report(*row) for row in rows]


PASSED = reports(("t::a", "setup", "passed"), ("t::a", "call", "passed"), ("t::a", "teardown", "passed"))
FAILED = reports(("t::a", "setup", "passed"), ("t::a", "call", "failed"), ("t::a", "teardown", "passed"))


@pytest.mark.parametrize(("tests", "found", "says"), [
    (["t::a"], FAILED, Verdict.CAUGHT),
    (["t::a"], PASSED, Verdict.SURVIVED),
    (["t::a"], [], Verdict.BROKEN),  # not even collected
    (["t::a"], reports(("t::a", "setup", "failed")), Verdict.BROKEN),
    (["t::a"], [*PASSED[:2], *reports(("t::a", "teardown", "failed"))], Verdict.SURVIVED),
    (["t::a", "t::b"], [*FAILED, *reports(("t::b", "call", "passed"))], Verdict.SURVIVED),  # each must catch it
    (["t::a", "t::b"], FAILED, Verdict.BROKEN),
    (["t::a"], reports(("t::a[1]", "call", "passed"), ("t::a[2]", "call", "failed")), Verdict.CAUGHT),
    (["t::a[1]"], reports(("t::a[1]", "call", "passed"), ("t::a[2]", "call", "failed")), Verdict.SURVIVED),
    (["t::a"], reports(("t::ab", "call", "failed")), Verdict.BROKEN),  # another test's failure
])  # fmt: skip
def test_only_a_failure_of_each_named_test_itself_catches(tests: list[str], found: list[Report], says: Verdict) -> None:
    assert verdict(tests, found) is says


def test_a_test_that_is_skipped_or_fails_without_a_bug_proves_nothing() -> None:
    assert sound("t::a", PASSED)
    assert not sound("t::a", FAILED)
    assert not sound("t::a", [])
    assert not sound("t::a", reports(("t::a", "setup", "skipped")))
    assert not sound("t::a", reports(("t::a", "call", "skipped")))
