"""Jobs that are forgotten are in the bucket with all that goes with them, once, and with nothing that people wrote."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from models.db import transaction
from models.identity import erasure
from models.operations import archived
from models.operations.archive_shapes import SHAPES
from scheduler.duties import archiving, retention
from tests.conftest import environment
from tests.models.hands import later
from tests.scheduler.duties.archives import (
    KilledError,
    archive_keys,
    archive_on,
    archived_all,
    archived_rows,
    dies_at,
    ended_job,
    forgotten,
    settled,
    table_of,
)
from tests.support import account, assert_books_are_clean, eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")

FORGETFUL = {"JOB_DAYS": "31"}


@pytest.fixture(autouse=True)
def _archive(database: str) -> Iterator[None]:
    with archive_on():
        yield


@pytest.mark.parametrize("point", ["archive:written", "archive:put"])
def test_jobs_are_archived_once_wherever_a_scheduler_dies(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    job_id = ended_job(account(amount=9))
    settled()
    with later(24 * 40), environment(FORGETFUL):
        assert forgotten() == 1
    with later(24 * 41), environment(FORGETFUL):
        with monkeypatch.context() as patched, pytest.raises(KilledError):
            dies_at(patched, point)
            archiving.archive(1)
        assert len(rows("select 1 from forgotten_rows")) >= 3
        archived_all()
    assert [row["id"] for row in archived_rows("jobs")] == [job_id]
    assert rows("select 1 from forgotten_rows") == []


def test_who_reads_rows_while_another_lets_them_go_puts_nothing_over_the_whole_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = account(amount=30)
    made = {ended_job(who) for _ in range(3)}
    settled()
    monkeypatch.setattr(archiving, "ROWS", 1)
    read, others = archived.read_set_aside, [archiving.archive]

    def interrupted(*args: Any) -> Any:
        found = read(*args)
        if others:
            others.pop()(1)  # another scheduler archives the whole file after our first row
        return found

    with later(24 * 40), environment(FORGETFUL):
        assert forgotten() == 3
    with later(24 * 41), environment(FORGETFUL):
        monkeypatch.setattr(archived, "read_set_aside", interrupted)
        archived_all()
    assert {row["id"] for row in archived_rows("jobs")} == made


def test_two_schedulers_that_forget_the_same_jobs_archive_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    who = account(amount=30)
    made = {ended_job(who) for _ in range(3)}
    with later(24 * 35), environment(FORGETFUL):
        assert forgotten() == 3  # they are looked at, and passed over, since their results are in the bucket
    settled()
    entered, goes_on, lock = Event(), Event(), archived.lock_unforgotten

    def slow(*args: Any) -> Any:
        if not entered.is_set():
            entered.set()
            assert goes_on.wait(10)
        return lock(*args)

    monkeypatch.setattr(archived, "lock_unforgotten", slow)
    with later(24 * 40), environment(FORGETFUL), ThreadPoolExecutor(2) as pool:
        first = pool.submit(retention.forget_jobs, 10)
        assert entered.wait(10)
        second = pool.submit(retention.forget_jobs, 10)
        eventually(lambda: lock_waits() > 0, what="the second at the first one's rows")
        goes_on.set()
        assert (first.result(), second.result()) == (3, 3)
    with later(24 * 41), environment(FORGETFUL):
        archived_all()
    assert sorted(row["id"] for row in archived_rows("jobs")) == sorted(made)


def test_rows_that_come_while_a_file_is_closed_go_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "FILE_ROWS", 1)
    who = account(amount=30)
    made = {ended_job(who) for _ in range(2)}
    settled()
    with later(24 * 40), environment(FORGETFUL):
        assert retention.forget_jobs(1) == 1
        with ThreadPoolExecutor(1) as pool, transaction() as conn:
            assert archived.close_files(conn) >= 3
            second = pool.submit(retention.forget_jobs, 1)  # waits for us at the open file
            assert not second.done()
        assert second.result() == 1
        archived_all()
    assert len(archive_keys("jobs/")) == 2
    assert {row["id"] for row in archived_rows("jobs")} == made


def test_forgotten_jobs_are_archived_with_what_goes_with_them_and_nothing_that_people_wrote() -> None:
    who = account(amount=9)
    job_id = ended_job(who)
    settled()
    told = one("select count(*) from deliveries where job_id = %s", job_id)[0]
    with later(24 * 40), environment(FORGETFUL):
        assert forgotten() == 1
        archived_all()
        assert archive_keys("jobs/") == []  # the day's file is open
        assert_books_are_clean()
    with later(24 * 41), environment(FORGETFUL):
        archived_all()
        assert_books_are_clean()
    [job] = archived_rows("jobs")
    assert (job["id"], job["account_id"], job["charged_credits"], job["ended"], job["attempts"]) == (
        job_id,
        who,
        3,
        "succeeded",
        1,
    )
    [attempt] = archived_rows("attempts")
    assert (attempt["job_id"], attempt["cost_usd_micros"], attempt["tokens_in"], attempt["charged"]) == (
        job_id,
        12,
        5,
        True,
    )
    [asset] = archived_rows("assets")
    assert (asset["job_id"], asset["size_bytes"], asset["media_type"], asset["status"]) == (
        job_id,
        6,
        "image/png",
        "expired",
    )
    assert [row["job_id"] for row in archived_rows("deliveries")] == [job_id] * told
    assert told > 0
    assert one("select created_at from jobs where id = %s", job_id) == (job["created_at"],)
    everything = "".join(str(table_of(key).to_pylist()) for key in archive_keys())
    assert not [word for word in ("heron", "example.com") if word in everything]
    assert rows("select 1 from forgotten_rows") == []


def test_no_column_of_the_archive_is_one_that_people_write_in() -> None:
    """What an erasure takes away must not be here: whoever adds a column reads this."""
    free = {
        "input",
        "data",
        "log",
        "url",
        "labels",
        "error_message",
        "webhook",
        "key",
        "thumbnail_key",
        "provider_job_id",
        "sha256",
        "delivered",
    }
    assert not free & {name for shape in SHAPES.values() for name in shape.columns}
    assert erasure.__doc__ is not None  # the rule that this follows


def test_while_the_bucket_is_away_so_much_is_forgotten_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "FILE_ROWS", 1)
    monkeypatch.setattr(archived, "MAX_WAITING", 2)
    who = account(amount=30)
    for _ in range(3):
        ended_job(who)
    settled()
    with later(24 * 40), environment(FORGETFUL):
        assert [retention.forget_jobs(1) for _ in range(3)] == [1, 0, 0]
        archived_all()
        assert [retention.forget_jobs(1), archived_all() > 0, retention.forget_jobs(1)] == [1, True, 1]
        archived_all()
    assert len(archived_rows("jobs")) == 3
