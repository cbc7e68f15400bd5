"""Reports of usage: each counts once, whatever is sent again."""

from datetime import UTC, datetime, timedelta

import pytest

from common.errors import IdTaken
from models.db import transaction
from models.provisioning import usage
from models.provisioning.usage import TokenReport, Usage
from tests.models.provisioning.test_allowances import at_once
from tests.support import one

pytestmark = pytest.mark.usefixtures("database")

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
REPORT = TokenReport("u", "openai", 10, 3, MOMENT)


def recorded(report: TokenReport = REPORT, usage_id: str | None = "e") -> Usage:
    with transaction() as conn:
        return usage.record(conn, report, usage_id)


def test_a_report_that_comes_again_counts_once() -> None:
    assert recorded() == recorded()
    assert one("select count(*), sum(tokens_used) from web_usage") == (1, 10)


@pytest.mark.parametrize("other", [
    REPORT._replace(user_id="v"), REPORT._replace(provider="other"), REPORT._replace(tokens_used=11),
    REPORT._replace(cost_minor_units=4), REPORT._replace(recorded_at=MOMENT + timedelta(milliseconds=1)),
])  # fmt: skip
def test_another_report_with_the_same_id_is_refused(other: TokenReport) -> None:
    recorded()
    with pytest.raises(IdTaken):
        recorded(other)
    assert one("select count(*), sum(tokens_used) from web_usage") == (1, 10)


def test_without_an_id_each_counts_and_gets_one() -> None:
    assert len({recorded(usage_id=None).id for _ in range(3)}) == 3


def test_fifty_reports_with_one_id_at_once_count_once() -> None:
    found = at_once(lambda _: recorded())
    assert len(set(found)) == 1
    assert one("select count(*), sum(tokens_used) from web_usage") == (1, 10)


def test_a_users_reports_are_listed_once_each_the_newest_first() -> None:
    for number in (3, 1, 2):
        recorded(REPORT._replace(recorded_at=MOMENT + timedelta(days=number)), f"day {number}")
    recorded(REPORT._replace(recorded_at=MOMENT + timedelta(days=2)), "day 2, later")
    recorded(REPORT._replace(user_id="v"), "theirs")
    found, after = [], None
    while True:
        with transaction() as conn:
            page = usage.list_usage(conn, "u", 3, after)
        found += [each.id for each in page]
        if len(page) < 3:
            break
        after = (page[-1].report.recorded_at, page[-1].row_id)
    assert found == ["day 3", "day 2, later", "day 2", "day 1"]
