"""Results: served until their hour, expired with their storage given back, purged once no link can reach them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from common.errors import NotFound, ResultGone
from common.retention_settings import MAX_HOURS
from common.settings import settings
from models.db import transaction
from models.events import endpoints
from models.files import results, uploads
from models.files.results import Result, find_result
from models.files.sweeping import Swept
from models.files.uploads import NewUpload
from models.jobs.ending import Ending, NewAsset, end
from tests.models.hands import change, later
from tests.models.jobs.standing import begun, requeued
from tests.support import account, assert_books_are_clean, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def stored(who: UUID, count: int = 1, hours: int | None = 2, **fields: Any) -> list[UUID]:
    """A job's results, in their order, kept for so many hours."""
    claim = claimed(placed(who, model()))
    made = [
        NewAsset(uuid7(), n, f"k/{claim.job_id}/{n}", "image/png", 10, b"x" * 32, 8, 8, thumbnail_key=f"t/{n}",
                 thumbnail_bytes=3, **fields)
        for n in range(count)
    ]  # fmt: skip
    with transaction() as conn:
        ending = Ending("succeeded", cost_credits=1, assets=made, result_hours=hours)
        assert end(conn, who, claim.job_id, ending, token=claim.token)
    return [each.id for each in made]


def found(asset_id: UUID) -> Result:
    with transaction() as conn:
        return find_result(conn, asset_id)


def expired(limit: int = 10, **fields: Any) -> Swept:
    with transaction() as conn:
        return results.expire(conn, limit, **fields)


def due(*asset_ids: UUID, seconds: float = 1) -> None:
    change(
        "update assets set expires_at = app_now() - make_interval(secs => %s) where id = any(%s)",
        seconds, list(asset_ids),
    )  # fmt: skip


# Serving


def test_a_result_is_found_until_its_hour_and_then_says_when_that_was() -> None:
    [asset_id] = stored(account(amount=5))
    shown = found(asset_id)
    assert (shown.id, shown.media_type, shown.size_bytes, shown.sha256) == (asset_id, "image/png", 10, b"x" * 32)
    assert (shown.job_id, shown.thumbnail_key) == (one("select id from jobs")[0], "t/0")
    with later(1.9):
        assert found(asset_id)._replace(lasts_seconds=0) == shown._replace(lasts_seconds=0)
        assert found(asset_id).lasts_seconds <= 360 < shown.lasts_seconds
    with later(2.1):
        with pytest.raises(ResultGone) as gone:
            found(asset_id)
        assert gone.value.extra["reason"] == "expired"
        ends: datetime = one("select expires_at from assets")[0]
        assert datetime.fromisoformat(gone.value.extra["expired_at"]) == ends.replace(microsecond=0)
        assert expired().done == 1
        with pytest.raises(ResultGone, match="expired"):
            found(asset_id)


def test_a_result_that_was_deleted_says_so_whatever_its_hour() -> None:
    [asset_id] = stored(account(amount=5))
    change("update assets set status = 'deleted', expired_at = app_now(), expires_at = app_now() - interval '1 day'")
    with pytest.raises(ResultGone) as gone:
        found(asset_id)
    assert gone.value.extra["reason"] == "deleted"


def test_an_upload_is_found_by_its_id_and_nothing_by_another() -> None:
    who = account()
    with transaction() as conn:
        made = uploads.create(conn, NewUpload(uuid7(), who, "uploads/1", "audio/wav", 7, b"y" * 32, None, None, 5))
    shown = found(made.id)
    assert shown._replace(lasts_seconds=0) == Result(made.id, None, "uploads/1", None, "audio/wav", 7, b"y" * 32, 0)
    assert 24 * 3600 - 60 < shown.lasts_seconds <= 24 * 3600
    with later(24 * 400), pytest.raises(ResultGone):
        found(made.id)
    with pytest.raises(NotFound):
        found(uuid4())


# Expiring


def test_results_that_are_due_give_their_storage_back_and_are_told_of_once_per_account(heard: list[set[UUID]]) -> None:
    who, other = account(amount=5), account(amount=5)
    mine, theirs, young = stored(who, 2), stored(other), stored(who)
    assert one("select storage_bytes from accounts where id = %s", who) == (3 * 13,)
    due(*mine, *theirs)
    heard.clear()
    assert expired() == Swept(3, 3, [])
    assert one("select storage_bytes from accounts where id = %s", who) == (13,)
    assert sorted(rows("select account_id, data from events where type = 'assets.expired'"), key=str) == sorted(
        [(who, {"results": 2, "bytes": 26}), (other, {"results": 1, "bytes": 13})], key=str
    )
    assert heard == [{who, other}]
    assert rows("select id from assets where status = 'stored'") == [(young[0],)]
    assert expired() == Swept(0, 0, [])
    assert heard == [{who, other}]
    assert_books_are_clean()


def test_receivers_hear_of_it_where_there_are_some() -> None:
    who, deaf = account(amount=5), account(amount=5)
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", ["assets.expired"])
    due(*stored(who), *stored(deaf))
    assert expired().done == 2
    assert rows("select account_id, event_type from deliveries") == [(who, "assets.expired")]
    assert_books_are_clean()


def test_the_longest_due_go_first_and_no_more_than_so_many() -> None:
    ids = stored(account(amount=5), 4)
    for asset_id, seconds in zip(ids, (10, 40, 30, 20), strict=True):
        due(asset_id, seconds=seconds)
    assert expired(2) == Swept(2, 2, [])
    assert {row[0] for row in rows("select id from assets where status = 'expired'")} == {ids[1], ids[2]}
    assert_books_are_clean()


def test_a_held_account_is_named_and_left_for_another_sweep_and_holds_up_nobody() -> None:
    held, free = account(amount=5), account(amount=5)
    mine, theirs = stored(held, 2), stored(free)
    due(*mine, *theirs)
    with transaction() as other:
        other.execute("select 1 from accounts where id = %s for no key update", [held])
        assert expired() == Swept(1, 3, [held])
        assert expired() == Swept(0, 2, [held])
    assert rows("select id from assets where status = 'expired'") == [(theirs[0],)]
    assert expired().done == 2
    assert_books_are_clean()


def test_one_account_can_be_swept_alone_or_be_left_out() -> None:
    who, other = account(amount=5), account(amount=5)
    mine, theirs = stored(who), stored(other)
    due(*mine, *theirs)
    assert expired(without=[who, other]).done == 0
    assert expired(only=who, without=[who]).done == 0
    assert expired(without=[who]).done == 1
    assert rows("select id from assets where status = 'expired'") == [(theirs[0],)]
    assert expired(only=other).done == 0
    assert expired(only=who).done == 1


def test_accounts_are_found_by_what_has_been_due_for_longest() -> None:
    early, late, none = account(amount=5), account(amount=5), account(amount=5)
    due(*stored(early, 2), seconds=90)
    due(*stored(late), seconds=10)
    stored(none)
    with transaction() as conn:
        assert set(results.accounts_due(conn, 10, [])) == {early, late}
        assert results.accounts_due(conn, 1, []) == [early]
        assert results.accounts_due(conn, 10, [early]) == [late]


# Purging


def purgeable(limit: int = 10, after: Any = None) -> list[UUID]:
    with transaction() as conn:
        return [each.id for each in results.to_purge(conn, limit, after)]


def gone(*asset_ids: UUID, seconds: float) -> None:
    change(
        "update assets set status = 'expired', expired_at = app_now() - make_interval(secs => %s) where id = any(%s)",
        seconds, list(asset_ids),
    )  # fmt: skip


def test_what_has_expired_is_purged_once_no_signed_link_lives_any_more() -> None:
    link = settings().signed_link_seconds
    reachable, unreachable, stays = stored(account(amount=5), 3)
    gone(reachable, seconds=link - 30)
    gone(unreachable, seconds=link + 30)
    with transaction() as conn:
        [found_one] = results.to_purge(conn, 10)
    assert found_one.id == unreachable
    assert found_one.keys == [*one("select key, thumbnail_key from assets where id = %s", unreachable)]
    with transaction() as conn:
        assert results.confirm_purged(conn, [unreachable, uuid4()]) == 1
        assert results.confirm_purged(conn, [unreachable]) == 0
    assert purgeable() == []
    assert rows("select id from assets where status = 'stored'") == [(stays,)]


def test_a_result_without_a_thumbnail_has_one_object() -> None:
    [asset_id] = stored(account(amount=5))
    change("update assets set thumbnail_key = null")
    gone(asset_id, seconds=10_000)
    with transaction() as conn:
        assert len(results.to_purge(conn, 10)[0].keys) == 1


def test_what_is_to_be_purged_is_walked_oldest_first_and_none_is_passed_over() -> None:
    ids = stored(account(amount=5), 4)
    gone(ids[0], seconds=20_000)
    gone(*ids[1:], seconds=10_000)
    change("update assets set expired_at = %s where id = any(%s)", datetime(2020, 1, 1, tzinfo=UTC), ids[1:3])
    seen: list[Any] = []
    with transaction() as conn:
        while page := results.to_purge(conn, 1, (seen[-1].expired_at, seen[-1].id) if seen else None):
            seen += page
    assert [each.id for each in seen] == [*sorted(ids[1:3]), ids[0], ids[3]]


# Strays


def strays(*objects: tuple[str, UUID, int]) -> list[str]:
    with transaction() as conn:
        return sorted(results.strays(conn, objects))


def test_objects_of_a_result_or_of_a_live_attempt_are_nobodys_strays() -> None:
    [asset_id] = stored(account(amount=5))
    key, thumbnail, ended = one("select key, thumbnail_key, job_id from assets where id = %s", asset_id)
    live = begun(account(amount=5)).job_id
    assert strays() == []
    assert strays(
        (key, ended, 1), (thumbnail, ended, 1), ("other", ended, 1), ("put", live, 1), ("next", live, 2), (key, live, 3),
        ("nobody's", uuid4(), 1),
    ) == sorted(["other", "next", key, "nobody's"])  # fmt: skip


def test_objects_of_an_attempt_that_is_over_are_strays_while_the_next_one_runs() -> None:
    claim = requeued(begun(account(amount=5)))
    assert strays(("put", claim.job_id, 1)) == ["put"]


def test_an_expired_result_still_names_its_objects() -> None:
    [asset_id] = stored(account(amount=5))
    gone(asset_id, seconds=10_000)
    key, job_id = one("select key, job_id from assets")
    assert strays((key, job_id, 1)) == []


@pytest.mark.parametrize(
    ("model_hours", "plan_hours", "hours"),
    [(None, None, 24), (None, 5, 5), (3, 5, 3), (3, None, 3), (MAX_HOURS, 5, MAX_HOURS), (None, MAX_HOURS, MAX_HOURS)],
)
def test_results_are_kept_as_the_model_says_or_else_the_plan_or_else_the_setting(
    model_hours: int | None, plan_hours: int | None, hours: int
) -> None:
    change("update plans set result_hours = %s where id = 'free'", plan_hours)
    stored(account(amount=5), hours=model_hours)
    kept = one("select round(extract(epoch from expires_at - app_now()) / 3600)::int from assets")
    assert kept == (hours,)
