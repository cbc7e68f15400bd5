"""What is dropped or forgotten is in the bucket before, whole and once, whatever dies and whoever else is at it."""

import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from cli.main import app
from common.settings import WrongSettings, settings
from models.db import transaction
from models.events import events
from models.operations import archive_months
from scheduler.duties import archiving
from storage import parquet
from storage.s3 import Storage, StorageError
from tests.conftest import environment
from tests.models.grown import pages
from tests.models.hands import change
from tests.scheduler.duties.archives import (
    KilledError,
    archive_keys,
    archive_on,
    archived_all,
    archived_rows,
    bytes_of,
    detached,
    dies_at,
    is_detached,
    listed,
    old_month,
    send_delivery,
    table_of,
    there,
)
from tests.scheduler.duties.preparations import past_month
from tests.support import account, assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _archive(database: str) -> Iterator[None]:
    with archive_on():
        yield


def test_a_month_is_in_the_bucket_with_true_types_before_it_is_dropped() -> None:
    name = old_month(7)
    before = rows(f"select account_id, number, job_id, created_at from {name} order by number")
    assert (detached(), is_detached(name)) == (1, True)
    assert_books_are_clean()
    assert archived_all() == 1
    assert not there(name)
    [key] = archive_keys("events/")
    assert key == f"archive/events/{before[0][3].astimezone(UTC):%Y-%m}.parquet"
    table = table_of(key)
    types = {field.name: field.type for field in table.schema}
    assert types["account_id"] == types["job_id"] == pa.uuid()
    assert (types["number"], types["type"], types["created_at"]) == (pa.int64(), pa.string(), pa.timestamp("us", "UTC"))
    found = sorted(table.to_pylist(), key=lambda row: row["number"])
    assert [(row["account_id"], row["number"], row["job_id"], row["created_at"]) for row in found] == before
    assert [row["credits"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert listed() == [("events", 7, True)]
    assert_books_are_clean()


def test_operators_list_what_is_in_the_archive() -> None:
    assert CliRunner().invoke(app, ["archive", "list"]).stdout == "nothing is archived\n"
    for count, months in ((3, 5), (4, 6)):
        old_month(count, months)
    assert (detached(), archived_all()) == (2, 2)
    found = json.loads(CliRunner().invoke(app, ["archive", "list", "--json"]).stdout)
    sizes = [len(bytes_of(key)) for key in archive_keys("events/")]
    assert [(each["kind"], each["files"], each["rows"]) for each in found] == [("events", 1, 4), ("events", 1, 3)]
    assert [each["bytes"] for each in found] == sizes
    assert [f"archive/events/{each['month']}.parquet" for each in found] == archive_keys("events/")


def test_nothing_is_archived_unless_it_is_asked_for() -> None:
    name = old_month(3)
    with environment({"ARCHIVE": "false"}):
        assert (detached(), archived_all()) == (1, 0)
    assert not there(name)
    assert archive_keys() == []


def test_what_was_detached_is_archived_though_the_archive_was_switched_off_meanwhile() -> None:
    name = old_month(3)
    assert detached() == 1
    with environment({"ARCHIVE": "false"}):
        assert archived_all() == 1
    assert not there(name)
    assert len(archived_rows("events")) == 3


def test_a_month_in_which_something_waits_to_be_delivered_is_left_until_it_has_been() -> None:
    name, who = past_month("deliveries", 5), account()
    sent = send_delivery(who, 5)
    assert (detached(), is_detached(name), archived_all()) == (0, False, 0)
    change("update deliveries set status = 'failed', next_at = null")
    assert (detached(), archived_all(), there(name)) == (1, 1, False)
    [row] = archived_rows("deliveries")
    assert (row["id"], row["account_id"], row["status"], row["channel"]) == (sent, who, "failed", "email")


def test_a_month_without_a_row_is_a_file_without_a_row() -> None:
    name = past_month("events", 5)
    assert (detached(), archived_all(), there(name)) == (1, 1, False)
    assert table_of(archive_keys("events/")[0]).num_rows == 0
    assert listed() == [("events", 0, True)]


def test_months_of_usage_are_copied_once_they_are_over_and_stay_for_the_audit() -> None:
    name, who = past_month("usage", 2), account()
    change(
        "insert into usage (account_id, at, source, requests) values (%s, app_now() - interval '2 months', 'requests', 8)",
        who,
    )
    assert archived_all() == 1
    assert archived_all() == 0
    assert there(name)
    assert [(row["account_id"], row["source"], row["requests"]) for row in archived_rows("usage")] == [
        (who, "requests", 8)
    ]
    assert_books_are_clean()


@pytest.mark.parametrize("point", ["archive:written", "archive:put", "archive:noted"])
def test_a_month_is_archived_once_wherever_a_scheduler_dies(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    name = old_month(5)
    assert detached() == 1
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        dies_at(patched, point)
        archiving.archive(1)
    assert there(name)
    first = archive_keys()
    assert archived_all() == 1
    assert (there(name), len(archived_rows("events")), listed()) == (False, 5, [("events", 5, True)])
    assert len(archive_keys()) == 1
    assert set(first) <= set(archive_keys())


def test_a_put_that_fails_or_is_not_whole_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    name = old_month(5)
    assert detached() == 1

    def lost(self: Storage, key: str, file: Any, media_type: str) -> None:
        raise StorageError("no answer", retryable=True)

    def half(self: Storage, key: str, file: Any, media_type: str) -> None:
        self.put_bytes(key, file.read_bytes()[:-20], media_type)

    for put in (lost, half):
        with monkeypatch.context() as patched, pytest.raises(StorageError):
            patched.setattr(Storage, "put_file", put)
            archiving.archive(1)
        assert (there(name), listed()) == (True, [])
    assert (archived_all(), there(name)) == (1, False)


def test_the_database_refuses_to_drop_a_month_that_is_not_in_the_archive() -> None:
    name = old_month(2)
    with transaction() as conn:
        [attached] = conn.execute("select drop_detached_v1(p_name => %s)", [name]).fetchall()
        assert detached() == 1
        [waiting] = conn.execute("select drop_detached_v1(p_name => %s)", [name]).fetchall()
    assert (attached, waiting, there(name)) == ((False,), (False,), True)


def test_schedulers_that_archive_the_same_months_at_once_archive_each_once() -> None:
    names = [old_month(500, months) for months in (4, 5, 6)]
    assert detached() == 3
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: archived_all(), range(3)))
    assert (sorted(map(there, names)), len(archived_rows("events"))) == ([False] * 3, 1500)
    assert listed() == [("events", 500, True)] * 3


def test_two_schedulers_detach_a_month_once() -> None:
    name = old_month(3)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: detached(), range(4))) == 1
    assert is_detached(name)


def test_a_hundred_thousand_events_are_archived_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python and Arrow hold at most: for five times as many it is no more."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 10_000)
    peaks = []
    for count, months in ((20_000, 5), (100_000, 6)):
        name = old_month(count, months)
        assert detached() == 1
        memory = pa.system_memory_pool()
        before = pa.default_memory_pool()
        pa.set_memory_pool(memory)
        held = _held_at_most(monkeypatch)
        tracemalloc.start()
        try:
            assert archived_all() == 1
            peaks.append((tracemalloc.get_traced_memory()[1], max(held)))
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)
        assert not there(name)
    assert sorted(table_of(key).num_rows for key in archive_keys("events/")) == [20_000, 100_000]
    few, many = peaks
    assert many[0] < few[0] * 1.2 + 2**20, peaks
    assert many[1] < few[1] * 1.2 + 2**20, peaks
    assert sum(many) < 32 * 2**20, peaks


def _held_at_most(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What Arrow holds after each part that is written, from now on."""
    held, write = [0], parquet.ParquetFile.write

    def watched(self: parquet.ParquetFile, given: Any) -> None:
        write(self, given)
        held.append(pa.total_allocated_bytes())

    monkeypatch.setattr(parquet.ParquetFile, "write", watched)
    return held


def test_a_part_of_a_month_costs_its_own_pages_however_long_the_month_is() -> None:
    costs = []
    for count, months in ((2_000, 5), (60_000, 6)):
        name = old_month(count, months)
        month = archive_months.WaitingMonth(name, "events", date(2026, 1, 1), goes=True)
        costs.append(pages(partial(archive_months.read_pages, month=month, first=8, count=8)))
    assert costs[1] <= costs[0] + 2, costs


def test_it_is_said_at_the_start_that_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.retention_settings.find_spec", lambda name: None)
    settings.cache_clear()
    with pytest.raises(WrongSettings, match=r"ARCHIVE needs pyarrow: install headrace\[archive\]"):
        settings()


@pytest.mark.parametrize("prefix", ["results/", "uploads/x/", "archive", "/archive/", "a b/", "archive//"])
def test_the_archive_has_a_folder_of_its_own(prefix: str) -> None:
    with pytest.raises(WrongSettings, match="ARCHIVE_PREFIX"), environment({"ARCHIVE_PREFIX": prefix}):
        settings()


def test_events_of_a_detached_month_are_told_as_missing_like_those_of_a_dropped_one() -> None:
    old_month(4)
    who = one("select account_id from events where number = 1 order by created_at limit 1")[0]
    assert detached() == 1
    with transaction() as conn:
        page = events.after(conn, [(who, 0)], 10)[0]
    assert page.missing or not page.events
