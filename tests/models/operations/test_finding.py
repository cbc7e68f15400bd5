"""Jobs of all accounts are found by what is known of them, and however many are stored, one look reads so many."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from models.db import transaction
from models.jobs import steps
from models.jobs.cancel import cancel
from models.jobs.ending import AttemptEnd, Ending, end
from models.operations import finding
from models.operations.finding import JobFilter, conditions, find_jobs, id_at, window
from tests.support import account, claimed, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def found(before: UUID | None = None, limit: int = 50, **fields: Any) -> list[UUID]:
    with transaction() as conn:
        return [each.id for each in find_jobs(conn, JobFilter(**fields), before=before, limit=limit)[0]]


def failed(job_id: UUID, code: str = "broken", words: str = "the pencil broke") -> UUID:
    claim = claimed(job_id)
    with transaction() as conn:
        attempt = AttemptEnd(1, "failed", code, words)
        ending = Ending("failed", error_code=code, error_message=words, attempt=attempt)
        assert end(conn, claim.account_id, job_id, ending, token=claim.token)
    return job_id


@pytest.fixture
def jobs() -> dict[str, UUID]:
    """One job of each kind: of two accounts and two models."""
    ann, bob = account(amount=50, plan="studio"), account(amount=50, plan="studio")
    one, other = model("one"), model("other")
    made = {
        "failed": failed(placed(ann, one, {"prompt": "a 100% Harbour"}, labels={"customer": "acme"})),
        "canceled": placed(ann, other),
        "parked": placed(bob, one),
        "running": placed(bob, other, queue="batch"),
        "queued": placed(bob, one, {"prompt": "a mill"}),
    }
    with transaction() as conn:
        cancel(conn, made["canceled"])
    with transaction() as conn:
        claim = steps.claim(conn, made["parked"], "w")
        assert claim is not None
        assert steps.wait_unknown(conn, claim, 1, after_seconds=60, reason="lost")
    claimed(made["running"])
    return {**made, "ann": ann, "bob": bob}


@pytest.mark.parametrize("status", ["queued", "running", "reconciling", "failed", "canceled", "succeeded"])
@pytest.mark.parametrize("of", [None, "ann", "bob"])
def test_jobs_are_found_by_state_with_and_without_an_account(
    jobs: dict[str, UUID], status: str, of: str | None
) -> None:
    name = {"reconciling": "parked"}.get(status, status)
    belongs = {"ann": ("failed", "canceled"), "bob": ("parked", "running", "queued")}
    there = name in jobs and (of is None or name in belongs[of])
    account_id = {} if of is None else {"account_id": jobs[of]}
    assert found(status=status, **account_id) == ([jobs[name]] if there else [])


@pytest.mark.parametrize(("fields", "names"), [
    ({}, ["queued", "running", "parked", "canceled", "failed"]),
    ({"model": "one"}, ["queued", "parked", "failed"]),
    ({"queue": "batch"}, ["running"]),
    ({"label": "customer:acme"}, ["failed"]),
    ({"label": "customer:other"}, []),
    ({"error": "broken"}, ["failed"]),
    ({"provider": "sketch"}, ["running", "parked", "failed"]),
    ({"provider": "nobody"}, []),
    ({"text": "HARBOUR"}, ["failed"]),
    ({"text": "100% h"}, ["failed"]),
    ({"text": "100_"}, []),
    ({"text": "pencil BROKE"}, ["failed"]),
    ({"text": "a mill", "model": "one", "status": "queued"}, ["queued"]),
])  # fmt: skip
def test_jobs_are_found_by_everything_that_is_known_of_them(
    jobs: dict[str, UUID], fields: dict[str, Any], names: list[str]
) -> None:
    assert found(**fields) == [jobs[name] for name in names]


def test_a_providers_own_id_finds_its_job(jobs: dict[str, UUID]) -> None:
    with transaction() as conn:
        conn.execute("update attempts set provider_job_id = 'pred-77' where job_id = %s", [jobs["failed"]])
    assert found(text="pred-77") == [jobs["failed"]]


def test_jobs_are_found_by_when_they_were_ordered(jobs: dict[str, UUID]) -> None:
    moment = datetime.fromtimestamp((jobs["parked"].int >> 80) / 1000, UTC)
    later = moment + timedelta(milliseconds=1)
    assert jobs["parked"] in found(since=moment, until=later)
    assert jobs["parked"] not in found(until=moment)
    assert found(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert set(found(until=datetime.now(UTC) + timedelta(hours=1))) == {
        v for k, v in jobs.items() if k not in {"ann", "bob"}
    }


def test_a_look_reads_so_many_jobs_and_says_where_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOOKED_AT", 3)
    who = account(amount=50, plan="studio")
    ids = [placed(who, model("old" if number < 2 else "new")) for number in range(8)]
    seen, before, looks = list[UUID](), None, 0
    while True:
        with transaction() as conn:
            page, before = find_jobs(
                conn, JobFilter(text="test", queue="interactive", provider=None), before=before, limit=2
            )
        seen += [each.id for each in page]
        looks += 1
        if before is None:
            break
    assert seen == ids[::-1]
    with transaction() as conn:
        page, following = find_jobs(conn, JobFilter(model="old"), limit=2)
    assert (page, following) == ([], ids[5])  # the three newest do not fit; there are more
    with transaction() as conn:
        page, following = find_jobs(conn, JobFilter(model="old", account_id=who), limit=2)
    assert [each.id for each in page] == [ids[1], ids[0]]  # an index leads to them


CASES = [
    {}, {"status": "failed"}, {"status": "succeeded"}, {"status": "queued"}, {"status": "reconciling"},
    {"account_id": UUID(int=1)}, {"account_id": UUID(int=1), "status": "failed"},
    {"account_id": UUID(int=1), "model": "one"}, {"since": datetime(2026, 1, 1, tzinfo=UTC), "model": "one"},
]  # fmt: skip


@pytest.mark.parametrize("fields", CASES)
def test_what_is_looked_at_is_read_in_the_order_of_an_index(fields: dict[str, Any]) -> None:
    """Nothing is sorted, and every condition is the index's own: so it costs by what is looked at, however much is stored."""
    look = window(JobFilter(**fields), uuid7())
    with transaction() as conn:
        if fields.get("account_id"):  # of an empty table it says nothing which of two that fit is taken
            conn.execute("drop index ix_jobs_failed")
        if len(fields) > 1:
            conn.execute("drop index if exists ix_jobs_account_id")
        conn.execute("set local enable_seqscan = off")
        conn.execute("set local enable_bitmapscan = off")
        conn.execute("set local enable_sort = off")
        plan = "\n".join(row[0] for row in conn.execute(f"explain {look.sql} limit 10", look.values).fetchall())
        conn.rollback()
    assert "Sort" not in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Filter" not in plan, plan


def test_a_filter_says_what_is_wrong_with_it() -> None:
    for wrong in ({"label": "none"}, {"status": "gone"}, {"text": ""}, {"text": "x" * 101}, {"other": 1}):
        with pytest.raises(ValidationError):
            JobFilter(**wrong)
    assert id_at(datetime(1, 1, 1, tzinfo=UTC)).int >> 80 == 0
    assert conditions(JobFilter()) == ("j.account_id is not null", [])


def test_a_deep_history_is_paged_without_a_gap() -> None:
    who = account(amount=50, plan="studio")
    ids = [placed(who, model()) for _ in range(5)]
    assert found(limit=2) == ids[:2:-1]
    assert found(before=ids[3], limit=2) == [ids[2], ids[1]]
    assert len(rows("select 1 from jobs")) == 5
