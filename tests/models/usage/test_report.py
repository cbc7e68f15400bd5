"""Reports of usage: sums over days of any zone, models and labels."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import pytest

from common.errors import InvalidInput
from common.time_zones import OF_A_MACHINE
from models.db import snapshot, transaction
from models.usage import report
from models.usage.report import Question, UsageRow, UsageSheet, span
from tests.support import account, rows

pytestmark = pytest.mark.usefixtures("database")

BERLIN, JAKARTA, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Jakarta"), ZoneInfo("Asia/Kathmandu")


def used(
    who: UUID, at: str, *, source: str = "job", model: str = "picture", labels: str | None = None, **counts: int
) -> None:
    """A quarter of an hour of usage, as the triggers would have written it."""
    with transaction() as conn:
        month = datetime.fromisoformat(at).replace(day=1)
        conn.execute(
            f"""create table if not exists usage_{month:%Y_%m} partition of usage
                  for values from ('{month:%Y-%m}-01 00:00+00') to ('{month + timedelta(days=32):%Y-%m}-01 00:00+00')"""
        )
        conn.execute(
            f"""insert into usage (account_id, at, source, model_id, labels_key, labels, {", ".join(counts)})
                values (%s, %s, %s, %s, md5(coalesce(%s::jsonb::text, ''))::uuid, %s::jsonb, {", ".join(["%s"] * len(counts))})""",
            [who, f"{at}+00", source, model if source == "job" else "", labels, labels, *counts.values()],
        )


def asked(who: UUID | None, since: date, until: date, zone: ZoneInfo = ZoneInfo("UTC"), **more: Any) -> UsageSheet:  # noqa: B008 - it is a value
    begin, end = span(since, until, zone, until)
    with snapshot() as conn:
        return report.report(conn, Question(begin, end, zone, account_id=who, **more))


def shown(found: Sequence[UsageRow], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in found]


def test_a_days_border_is_where_the_zone_says() -> None:
    who = account()
    used(who, "2026-01-10 16:45:00", succeeded=1)  # 23:45 in Jakarta, 22:30 in Kathmandu
    used(who, "2026-01-10 17:00:00", succeeded=10)  # 00:00 in Jakarta
    used(who, "2026-01-10 18:15:00", succeeded=100)  # 00:00 in Kathmandu
    days = (date(2026, 1, 10), date(2026, 1, 12))
    assert shown(asked(who, *days, JAKARTA).rows, "begins", "succeeded") == [
        (datetime(2026, 1, 10, tzinfo=JAKARTA), 1), (datetime(2026, 1, 11, tzinfo=JAKARTA), 110),
    ]  # fmt: skip
    assert [row.succeeded for row in asked(who, *days, KATHMANDU).rows] == [11, 100]
    assert [row.succeeded for row in asked(who, *days).rows] == [111]
    assert asked(who, date(2026, 1, 10), date(2026, 1, 11), JAKARTA).total.succeeded == 1


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
def test_a_day_on_which_the_clocks_change_has_all_of_its_hours(day: str, hours: int) -> None:
    who, begin = account(), date.fromisoformat(day)
    moment = datetime.combine(begin, datetime.min.time(), BERLIN).astimezone(UTC) - timedelta(hours=1)
    for _ in range(hours + 2):  # the hour before, those of the day, and the hour after
        used(who, f"{moment:%Y-%m-%d %H:%M:%S}", credits=1)
        moment += timedelta(hours=1)
    around = asked(who, begin - timedelta(days=1), begin + timedelta(days=2), BERLIN)
    assert [row.credits for row in around.rows] == [1, hours, 1]
    assert asked(who, begin, begin + timedelta(days=1), BERLIN).total.credits == hours
    by_hour = asked(who, begin, begin + timedelta(days=1), BERLIN, unit="hour").rows
    assert [row.credits for row in by_hour] == [1] * hours
    assert len({row.begins and row.begins.astimezone(UTC) for row in by_hour}) == hours


def test_an_hour_that_comes_twice_has_what_was_kept_at_each_of_its_ends() -> None:
    who = account()
    used(who, "2026-10-25 00:15:00", source="storage", bytes_added=100)
    used(who, "2026-10-25 01:15:00", source="storage", bytes_added=50)
    with transaction() as conn:
        conn.execute("set local session_replication_role = replica")
        conn.execute("update accounts set storage_bytes = 150 where id = %s", [who])
    found = asked(who, date(2026, 10, 25), date(2026, 10, 26), BERLIN, unit="hour")
    assert [f"{row.begins:%H:%M%z}" for row in found.rows] == ["02:00+0200", "02:00+0100"]
    assert found.storage == [100, 150]


@pytest.mark.parametrize("day", [date(2026, 1, 15), date(2026, 7, 15)])
def test_a_day_begins_at_one_moment_for_python_and_for_the_database_in_every_zone(day: date) -> None:
    wrong = []
    with transaction() as conn:
        for name in sorted(each for each in available_timezones() if not each.startswith(OF_A_MACHINE)):
            conn.execute("select set_config('TimeZone', %s, true)", [name])
            row = conn.execute(
                "select date_trunc('day', %s + interval '15 hours')", [span(day, None, ZoneInfo(name), day)[0]]
            ).fetchone()
            if row is None or row[0] != span(day, None, ZoneInfo(name), day)[0]:
                wrong.append(name)
    assert wrong == []


def test_a_zone_with_the_name_of_an_abbreviation_has_its_summer() -> None:
    who = account()
    used(who, "2026-06-30 22:00:00", credits=1)
    [row] = asked(who, date(2026, 7, 1), date(2026, 7, 2), ZoneInfo("CET")).rows
    assert row.begins == datetime(2026, 7, 1, tzinfo=ZoneInfo("CET"))


def test_groups_are_of_model_label_month_and_account() -> None:
    who, other = account(), account()
    used(who, "2026-01-31 23:45:00", model="film", labels='{"customer": "acme", "env": "live"}', succeeded=1, credits=5)
    used(who, "2026-02-01 00:00:00", model="film", labels='{"customer": "acme"}', failed=1)
    used(who, "2026-02-01 00:00:00", labels='{"env": "test"}', succeeded=2, credits=2, cost_usd_micros=9)
    used(who, "2026-02-01 00:00:00", source="requests", requests=7)
    used(other, "2026-02-01 00:00:00", succeeded=50)
    days = (date(2026, 1, 1), date(2026, 3, 1))
    found = asked(who, *days, unit="month", by_model=True)
    assert shown(found.rows, "begins", "model", "succeeded", "requests") == [
        (datetime(2026, 1, 1, tzinfo=UTC), "film", 1, 0), (datetime(2026, 2, 1, tzinfo=UTC), "film", 0, 0),
        (datetime(2026, 2, 1, tzinfo=UTC), "picture", 2, 0), (datetime(2026, 2, 1, tzinfo=UTC), None, 0, 7),
    ]  # fmt: skip
    assert (found.total.succeeded, found.total.failed, found.total.credits, found.total.requests) == (3, 1, 7, 7)
    by_label = asked(who, *days, unit=None, label="customer").rows
    assert shown(by_label, "label", "succeeded", "failed", "credits") == [("acme", 1, 1, 5), (None, 2, 0, 2)]
    everybody = asked(None, *days, unit=None, by_account=True).rows
    assert shown(everybody, "account_id", "succeeded") == sorted([(who, 3), (other, 50)])
    assert asked(who, *days, unit=None).rows == []


def test_what_was_kept_at_each_days_end_is_counted_back_from_what_is_kept_now() -> None:
    who = account()
    used(who, "2026-01-01 10:00:00", source="storage", bytes_added=100)
    used(who, "2026-01-02 10:00:00", source="storage", bytes_added=50, bytes_removed=30)
    used(who, "2026-01-04 10:00:00", source="storage", bytes_removed=20)
    used(who, "2026-01-09 10:00:00", source="storage", bytes_added=5)
    with transaction() as conn:
        conn.execute("set local session_replication_role = replica")
        conn.execute("update accounts set storage_bytes = 105 where id = %s", [who])
    found = asked(who, date(2026, 1, 1), date(2026, 1, 5))
    assert found.storage == [100, 120, 100]
    assert asked(who, date(2026, 1, 1), date(2026, 1, 5), by_model=True).storage is None


def test_a_report_reads_its_accounts_own_days_alone() -> None:
    who = account()
    with transaction() as conn:
        conn.execute(
            """insert into usage (account_id, at, source, model_id, succeeded)
               select gen_random_uuid(), date_bin('15 min', app_now(), 'epoch'), 'job', 'm', 1 from generate_series(1, 20000)"""
        )
        conn.execute("analyze usage")
    used(who, f"{datetime.now(UTC):%Y-%m-%d %H:00:00}", succeeded=1)
    plan = rows(
        "explain (analyze, format json) select sum(succeeded) from usage where account_id = %s and at >= app_now() - interval '2 days'",
        who,
    )[0][0][0]
    assert "Seq Scan" not in str([each for each in walk(plan["Plan"]) if each["Actual Rows"] > 100])
    assert sum(each["Actual Rows"] for each in walk(plan["Plan"])) < 20


def walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(deeper for each in node.get("Plans", []) for deeper in walk(each))]


def test_more_groups_than_a_report_has_are_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    who = account()
    for n in range(4):
        used(who, f"2026-01-0{n + 1} 10:00:00", succeeded=1)
    monkeypatch.setattr(report, "MAX_ROWS", 3)
    with pytest.raises(InvalidInput, match="more than 3 rows"):
        asked(who, date(2026, 1, 1), date(2026, 1, 5))
    assert len(asked(who, date(2026, 1, 1), date(2026, 1, 4)).rows) == 3


def test_a_span_ends_with_today_and_is_neither_empty_nor_endless() -> None:
    today = date(2026, 3, 10)
    assert span(None, None, BERLIN, today) == (
        datetime(2026, 2, 9, tzinfo=BERLIN),
        datetime(2026, 3, 11, tzinfo=BERLIN),
    )
    assert span(date(2026, 3, 9), None, BERLIN, today)[0] == datetime(2026, 3, 9, tzinfo=BERLIN)
    assert span(None, date(2026, 3, 1), BERLIN, today)[0] == datetime(2026, 1, 30, tzinfo=BERLIN)
    for since, until in ((today, today), (today, date(2026, 3, 1)), (date(2024, 1, 1), date(2026, 1, 1))):
        with pytest.raises(InvalidInput, match="at most 400 days"):
            span(since, until, BERLIN, today)
    for day in (date.min, date(1999, 12, 31), date.max):
        with pytest.raises(InvalidInput, match="must be from 2000-01-01 to 2200-01-01"):
            span(day, None, BERLIN, today)
        with pytest.raises(InvalidInput, match="until must be"):
            span(None, day, BERLIN, today)
