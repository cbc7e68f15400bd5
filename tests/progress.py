"""`-p tests.progress`: how far the tests are, on one line of a terminal, or a line for each twentieth where there is none; and
what fails, as it fails. At the end, what took so long that it is no short test (`tests/lengths.py`).
"""

import os
import sys
import time
from collections.abc import Generator, Mapping
from typing import TextIO

import pytest

from tests.lengths import KEPT, SHORT

Status = tuple[str, str, str | tuple[str, dict[str, bool]]]
STEPS = 20
LONG_SECONDS = 5.0  # beside four others


def said(done: int, total: int, failed: int, seconds: float, where: str) -> str:
    """One line; where there is no room, its end is cut."""
    minutes, rest = divmod(int(seconds), 60)
    share = f"{100 * done // total:3} %" if total else "  0 %"
    wrong = f", {failed} FAILED" if failed else ""
    return f"{share}  {done:,} of {total:,} tests{wrong}, {minutes}:{rest:02}  {where}"


def too_long(seconds: Mapping[str, float]) -> list[str]:
    """A line for each test that took too long to be a short one, the longest first; those that stay all the same are not told."""
    long = ((took, node) for node, took in seconds.items() if took > LONG_SECONDS)
    found = sorted((each for each in long if not each[1].startswith(KEPT)), reverse=True)
    return [f"{took:5.1f} s  {node}" for took, node in found]


class Progress:
    """Takes the place of pytest's dots, which are broken into lines of a width that is not the window's."""

    def __init__(self, out: TextIO, *, session: pytest.Session | None = None) -> None:
        self._out, self._session = out, session
        self._began = time.monotonic()
        self._done = self._failed = self._told = 0
        self._took: dict[str, float] = {}

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, Status, Status]:
        """The same status, without its letter."""
        category, _, word = yield
        return category, "", word

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":  # what comes before may be the start of the servers
            self._took[report.nodeid] = report.duration
        if report.failed:
            self._failed += 1
            self._write(f"FAILED {report.nodeid}", stays=True)
        if report.when == "teardown":
            self._done += 1
        total = self._session.testscollected if self._session else 0
        line = said(self._done, total, self._failed, time.monotonic() - self._began, report.nodeid.partition("::")[0])
        step = STEPS * self._done // total if total else 0
        if self._out.isatty():
            self._write(line, stays=self._done == total)
        elif step > self._told:
            self._told = step
            self._write(line, stays=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        found = too_long(self._took) if config.getoption(SHORT, default=False) else []
        if found:
            terminalreporter.section("took long: see tests/long.txt")
            terminalreporter.write("".join(f"{line}\n" for line in found))

    def _write(self, line: str, *, stays: bool) -> None:
        if not self._out.isatty():
            self._out.write(f"{line}\n")
        else:
            width = os.get_terminal_size(self._out.fileno()).columns
            self._out.write(f"\r\x1b[K{line}\n" if stays else f"\r\x1b[K{line[: width - 1]}")
        self._out.flush()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker's reports come to whoever started it
        config.pluginmanager.register(Progress(sys.__stdout__ or sys.stdout))
