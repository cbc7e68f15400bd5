"""Results in their owner's hands: deleted, kept past their plan's time, left to it again."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import JobNotEnded, NotFound, ResultGone, StorageQuotaExceeded
from common.retention_settings import MAX_HOURS
from models.catalogue.plans import PlanEntry
from models.db import transaction
from models.events import endpoints
from models.files import keeping, results
from models.files.sweeping import Swept
from models.identity import erasure
from models.jobs import reads
from tests.conftest import environment
from tests.models.files.test_results import due, expired, found, stored
from tests.models.hands import change, later
from tests.support import account, assert_books_are_clean, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def who() -> UUID:
    return account(amount=9)


def job_of(asset_id: UUID) -> UUID:
    return one("select job_id from assets where id = %s", asset_id)[0]


def used(who: UUID) -> int:
    return one("select storage_bytes from accounts where id = %s", who)[0]


def delete(who: UUID, job_id: UUID, index: int | None = None) -> int:
    with transaction() as conn:
        return keeping.delete(conn, who, job_id, index)


def keep(who: UUID, job_id: UUID, index: int = 0) -> dict[str, Any]:
    with transaction() as conn:
        return keeping.keep(conn, who, job_id, index)


def let_go(who: UUID, job_id: UUID, index: int = 0) -> dict[str, Any]:
    with transaction() as conn:
        return keeping.let_go(conn, who, job_id, index)


def told(kind: str = "assets.deleted") -> list[Any]:
    return [row[0] for row in rows("select data from events where type = %s order by number", kind)]


# Deleting


def test_a_deleted_result_gives_its_storage_back_answers_that_it_was_deleted_and_is_told_of_once(who: UUID) -> None:
    ids = stored(who, 3)
    job = job_of(ids[0])
    assert delete(who, job, 1) == 1
    assert used(who) == 2 * 13
    with pytest.raises(ResultGone) as gone:
        found(ids[1])
    assert gone.value.extra["reason"] == "deleted"
    assert {found(ids[0]).id, found(ids[2]).id} == {ids[0], ids[2]}
    assert told() == [{"job": str(job), "outputs": [1], "results": 1, "bytes": 13}]
    assert delete(who, job, 1) == 0
    assert used(who) == 2 * 13
    assert len(told()) == 1
    assert_books_are_clean()


def test_all_that_a_job_still_has_is_deleted_at_once_and_other_jobs_keep_theirs(who: UUID) -> None:
    ids, others = stored(who, 3), stored(who)
    job = job_of(ids[0])
    delete(who, job, 0)
    assert delete(who, job) == 2
    assert told()[1:] == [{"job": str(job), "outputs": [1, 2], "results": 2, "bytes": 26}]
    assert used(who) == 13
    assert found(others[0]).id == others[0]
    assert delete(who, job) == 0
    assert [each["status"] for each in shown(job)] == ["deleted"] * 3
    assert_books_are_clean()


def shown(job_id: UUID) -> list[dict[str, Any]]:
    with transaction() as conn:
        return reads.jobs_by_id(conn, [job_id])[job_id].assets


def test_the_objects_of_what_was_deleted_are_purged_like_those_of_what_expired(who: UUID) -> None:
    [asset_id] = stored(who)
    delete(who, job_of(asset_id))
    with later(1), transaction() as conn:
        [item] = results.to_purge(conn, 10)
        assert (item.id, item.keys) == (asset_id, [f"k/{job_of(asset_id)}/0", "t/0"])
        assert results.confirm_purged(conn, [asset_id]) == 1
    assert_books_are_clean()


def test_receivers_hear_of_what_was_deleted(who: UUID) -> None:
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", ["assets.deleted"])
    [asset_id] = stored(who)
    delete(who, job_of(asset_id))
    assert rows("select event_type from deliveries") == [("assets.deleted",)]


def test_what_has_expired_stays_expired(who: UUID) -> None:
    [asset_id] = stored(who)
    due(asset_id)
    assert expired().done == 1
    assert delete(who, job_of(asset_id)) == 0
    with pytest.raises(ResultGone, match="expired"):
        found(asset_id)
    assert used(who) == 0
    assert_books_are_clean()


def test_what_is_due_is_left_to_the_sweep_and_stays_expired(who: UUID) -> None:
    [asset_id] = stored(who)
    due(asset_id)
    assert delete(who, job_of(asset_id)) == 0
    assert rows("select type from events where type like 'assets.%%'") == []
    assert expired().done == 1
    assert used(who) == 0
    assert_books_are_clean()


@pytest.mark.parametrize("verb", [delete, keep, let_go])
def test_a_job_under_way_a_place_that_it_has_not_and_a_job_of_somebody_else_are_told_apart(
    who: UUID, verb: Any
) -> None:
    ids, living = stored(who), placed(who, model())
    with pytest.raises(JobNotEnded, match="not ended yet"):
        verb(who, living, 0)
    with pytest.raises(NotFound, match="no output 1") as missing:
        verb(who, job_of(ids[0]), 1)
    assert missing.value.param == "index"
    for job_id in (job_of(ids[0]), uuid4()):
        with pytest.raises(NotFound, match="no job") as stranger:
            verb(account(), job_id, 0)
        assert stranger.value.param == "id"
    assert used(who) == 13
    assert one("select status, plan_ends_at from assets") == ("stored", None)


# Keeping


def test_a_kept_result_outlives_its_plans_time_and_counts_until_it_is_deleted(who: UUID) -> None:
    [asset_id] = stored(who)
    job = job_of(asset_id)
    before = one("select expires_at from assets")[0]
    kept = keep(who, job)
    assert (kept["kept"], kept["expires_at"], kept["status"]) == (True, None, "stored")
    assert keep(who, job) == kept
    assert one("select plan_ends_at from assets")[0] == before
    with later(24 * 365 * 20):
        assert expired() == Swept(0, 0, [])
        assert found(asset_id).id == asset_id
    assert used(who) == 13
    assert delete(who, job) == 1
    assert used(who) == 0
    assert not shown(job)[0]["kept"]
    assert_books_are_clean()


def test_what_is_kept_no_longer_goes_at_its_plans_time(who: UUID) -> None:
    [asset_id] = stored(who, hours=100)
    job, before = job_of(asset_id), one("select expires_at from assets")[0]
    keep(who, job)
    assert let_go(who, job)["kept"] is False
    assert one("select expires_at, plan_ends_at from assets") == (before, None)
    assert let_go(who, job)["kept"] is False
    assert one("select expires_at from assets")[0] == before


def test_what_is_kept_no_longer_when_its_time_is_over_has_a_day_more_and_not_another_at_the_next_word(
    who: UUID,
) -> None:
    [asset_id] = stored(who)
    job = job_of(asset_id)
    keep(who, job)
    with environment({"UNKEPT_HOURS": "5"}), later(1000):
        let_go(who, job)
        ends = one("select expires_at from assets")[0]
        assert one("select round(extract(epoch from expires_at - app_now()) / 3600)::int from assets") == (5,)
        let_go(who, job)
        assert one("select expires_at from assets")[0] == ends
    with later(1006):
        assert expired().done == 1
    assert used(who) == 0
    assert_books_are_clean()


def test_an_account_over_its_quota_keeps_nothing_more_but_may_say_again_what_it_keeps(who: UUID) -> None:
    ids = stored(who, 2)
    job = job_of(ids[0])
    keep(who, job, 0)
    change("update plans set storage_quota_bytes = 26")
    keep(who, job, 1)
    let_go(who, job, 1)
    change("update plans set storage_quota_bytes = 25")
    with pytest.raises(StorageQuotaExceeded) as full:
        keep(who, job, 1)
    assert full.value.extra == {"used_bytes": 26, "quota_bytes": 25}
    assert keep(who, job, 0)["kept"] is True
    assert one("select plan_ends_at from assets where index = 1") == (None,)


@pytest.mark.parametrize("verb", [keep, let_go])
@pytest.mark.parametrize("how", ["due", "expired", "deleted"])
def test_what_is_gone_is_neither_kept_nor_left(who: UUID, verb: Any, how: str) -> None:
    [asset_id] = stored(who)
    keep(who, job_of(asset_id))
    if how == "deleted":
        delete(who, job_of(asset_id))
    else:
        due(asset_id)
        if how == "expired":
            assert expired().done == 1
    with pytest.raises(ResultGone) as gone:
        verb(who, job_of(asset_id), 0)
    assert gone.value.extra["reason"] == ("deleted" if how == "deleted" else "expired")
    assert_books_are_clean()


def test_a_user_who_is_deleted_leaves_no_kept_results(who: UUID) -> None:
    [asset_id] = stored(who)
    keep(who, job_of(asset_id))
    with transaction() as conn:
        erasure.erase_account(conn, who)
    assert expired().done == 1
    assert used(who) == 0


# For ever


def test_0_hours_are_for_ever_in_the_plan_the_model_and_the_setting_and_show_no_end() -> None:
    plan = {"id": "p", "name": "P", "position": 1, "credits": 1, "credit_price_usd_micros": 1, "markup_bp": 0,
            "storage_quota_bytes": 1, "slots": 1}  # fmt: skip
    assert PlanEntry(**plan, result_hours=0).result_hours == MAX_HOURS
    assert PlanEntry(**plan).result_hours is None
    assert model(result_hours=0).entry.result_hours == MAX_HOURS
    with environment({"RESULT_HOURS": "0"}):
        [asset_id] = stored(account(amount=5), hours=None)
    [output] = shown(job_of(asset_id))
    assert (output["expires_at"], output["kept"]) == (None, False)
    with later(24 * 365 * 40):
        assert expired() == Swept(0, 0, [])
        assert found(asset_id).id == asset_id
    who = one("select account_id from assets")[0]
    assert keep(who, job_of(asset_id))["kept"] is True
    assert let_go(who, job_of(asset_id))["expires_at"] is None
