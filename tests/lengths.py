"""`-p tests.lengths`: which tests take long. `make test` leaves out those that `tests/long.txt` names (`--short`), and `make faults`
runs them (`--long`). Without either all are run, so whoever names a test gets it.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar

import pytest

LIST = Path(__file__).with_name("long.txt")
SHORT, LONG = "--short", "--long"
# What a change must not pass without, however long it takes: a job's way from order to end, a stop under load, the ledger, the rules.
KEPT = (
    "tests/flows/test_journeys.py", "tests/flows/test_drain.py", "tests/flows/test_webhooks.py", "tests/test_repository.py",
    "tests/models/credits/test_machine.py", "tests/models/jobs/test_states.py", "tests/models/test_locks.py",
)  # fmt: skip


def entries(text: str) -> frozenset[str]:
    """Files and functions, one a line; what follows a # is said to the reader."""
    return frozenset(line for each in text.splitlines() if (line := each.partition("#")[0].strip()))


def is_long(node: str, listed: Collection[str]) -> bool:
    """Whether a test is listed, or its file."""
    return node.partition("::")[0] in listed or node.partition("[")[0] in listed


Item = TypeVar("Item")


def parted(
    items: Iterable[tuple[str, Item]], listed: Collection[str], *, want_long: bool
) -> tuple[list[Item], list[Item]]:
    """Of tests by their names: those that are wanted, and the others."""
    wanted: list[Item] = []
    others: list[Item] = []
    for node, item in items:
        (wanted if is_long(node, listed) == want_long else others).append(item)
    return wanted, others


def pytest_addoption(parser: pytest.Parser) -> None:
    for option, says in ((SHORT, "leave out what tests/long.txt names"), (LONG, "run only what tests/long.txt names")):
        parser.addoption(option, action="store_true", help=says)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that are long as a whole need not even be imported."""
    if not config.getoption(SHORT) or config.getoption(LONG) or collection_path.suffix != ".py":
        return None
    return True if collection_path.relative_to(config.rootpath).as_posix() in entries(LIST.read_text()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption(SHORT) == config.getoption(LONG):
        return
    listed = entries(LIST.read_text())
    items[:], others = parted(((each.nodeid, each) for each in items), listed, want_long=config.getoption(LONG))
    config.hook.pytest_deselected(items=others)
