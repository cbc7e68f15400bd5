"""The processes that sweep: each has its own house, and all have the same servers."""

import faulthandler
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from cli.embedded.servers import Addresses, servers
from common.settings import Settings
from tests.conftest import FAST, environment
from tests.sweep.boundary import Call, Fault
from tests.sweep.house import House, house, template
from tests.sweep.sweeping import Violation, record, sweep

MEMORY = Path("/dev/shm")  # nothing of a sweep is worth a disk's time

_until_the_end = ExitStack()  # nothing is closed before the process is ended
_given: tuple[Addresses, Any, Path]


class Crew:
    """Gives work to the processes. One that dies ends the sweep: BrokenProcessPool."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def record(self, names: Sequence[str]) -> Iterator[tuple[str, list[Call], list[Violation]]]:
        """The calls of each kind, in whatever order they are done."""
        for future in as_completed([self._pool.submit(_record, name) for name in names]):
            yield future.result()

    def sweep(
        self, chunks: Iterable[tuple[str, list[tuple[Fault, ...]]]], records: Mapping[str, Sequence[Call]]
    ) -> Iterator[tuple[int, list[Violation]]]:
        """How many runs each part was, and what it found."""
        parts = [self._pool.submit(_sweep, name, faults, list(records[name])) for name, faults in chunks]
        for future in as_completed(parts):
            yield future.result()


@contextmanager
def crew(processes: int) -> Iterator[Crew]:
    """So many processes, over servers of their own, whatever the environment names: what is swept is dropped."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        stack.enter_context(environment({}))
        for name in Settings.model_fields:
            os.environ.pop(name.upper(), None)
        folder = stack.enter_context(_folder())
        addresses = stack.enter_context(servers(Path(folder), postgres_settings=FAST))
        template(addresses)
        numbers = context.Value("i", 0)
        pool = ProcessPoolExecutor(processes, context, _keep, (addresses, numbers, folder))
        yield Crew(stack.enter_context(pool))


def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="headrace-sweep-", dir=MEMORY if MEMORY.is_dir() else None)


def _keep(addresses: Addresses, numbers: Any, folder: str) -> None:
    global _given  # noqa: PLW0603 - a process of a pool has no other place for what it keeps
    faulthandler.enable()
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    _given = addresses, numbers, Path(folder)


@cache
def _home() -> House:
    """This process's house, made at its first part of the work: from an initializer no error would reach anybody."""
    addresses, numbers, folder = _given
    with numbers.get_lock():
        number, numbers.value = numbers.value, numbers.value + 1
    return _until_the_end.enter_context(house(addresses, number, folder))


def _record(name: str) -> tuple[str, list[Call], list[Violation]]:
    return name, *record(_home(), name)


def _sweep(name: str, faults: list[tuple[Fault, ...]], calls: list[Call]) -> tuple[int, list[Violation]]:
    return len(faults), sweep(_home(), name, faults, calls)
