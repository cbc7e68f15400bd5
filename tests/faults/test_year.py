"""A few weeks of selling, as `make year` does a year: everything goes wrong on the way, and in the end the books are right."""

from pathlib import Path

import pytest

from tests.year import run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_after_weeks_of_selling_our_books_say_what_the_companies_say(database: str, tmp_path: Path) -> None:
    outcome = run.live(database, tmp_path, users=50, days=75, seed=11, advance=lambda _: None)
    assert outcome.findings == []
    assert outcome.figures["renewals"] > 0
    assert outcome.figures["killed"] > 0
