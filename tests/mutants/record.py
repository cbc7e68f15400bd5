"""A plugin of pytest for the runs of planted bugs: writes down what became of each phase of each test."""

import json
import os
from pathlib import Path

import pytest

FILE = "HEADRACE_MUTANTS_RECORD"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One line per phase: a test that could not be set up has failed nobody."""
    with Path(os.environ[FILE]).open("a") as out:
        out.write(json.dumps([report.nodeid, report.when, report.outcome]) + "\n")
