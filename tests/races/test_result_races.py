"""Results in several hands at once: whoever comes first, their bytes are given back exactly once."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from common.errors import DomainError, ResultGone, StorageQuotaExceeded
from models import db
from models.db import transaction
from models.files import keeping, results, room
from models.jobs.admission import Accepted
from models.jobs.ending import Ending, NewAsset, end
from tests.models.files.test_results import due, stored
from tests.models.hands import change
from tests.races.test_races import together
from tests.support import (
    account,
    assert_books_are_clean,
    balance,
    claimed,
    eventually,
    lock_waits,
    model,
    one,
    order,
    place,
    placed,
    rows,
)


@pytest.fixture(autouse=True)
def many(database: str) -> Any:
    db.size_pool(24)
    db.close()  # a pool is there already: that of the test before
    yield
    db.size_pool(8)


def job_of(asset_id: UUID) -> UUID:
    return one("select job_id from assets where id = %s", asset_id)[0]


def used(who: UUID) -> int:
    return one("select storage_bytes from accounts where id = %s", who)[0]


def doing(verb: Any, *arguments: Any) -> Any:
    with transaction() as conn:
        return verb(conn, *arguments)


def test_20_deletes_of_one_result_give_its_bytes_back_once_and_are_one_event() -> None:
    who = account(amount=9)
    job = job_of(stored(who, 3)[0])
    answers = together(20, lambda _: doing(keeping.delete, who, job, 1))
    assert Counter(answers) == {1: 1, 0: 19}
    assert used(who) == 2 * 13
    assert one("select count(*) from events where type = 'assets.deleted'") == (1,)
    assert_books_are_clean()


def test_deletes_of_one_and_of_all_and_the_sweep_give_each_byte_back_once() -> None:
    who = account(amount=20)
    ids = stored(who, 8)
    job = job_of(ids[0])
    due(*ids[:4])

    def work(number: int) -> int:
        if number % 4 == 0:
            return doing(results.expire, 100).done
        if number % 4 == 1:
            return doing(keeping.delete, who, job)
        return doing(keeping.delete, who, job, number % 8)

    done = sum(together(20, work)) + doing(results.expire, 100).done
    assert done == 8
    assert used(who) == 0
    told = rows(
        "select sum((data->>'results')::int)::int, sum((data->>'bytes')::int)::int from events where type like 'assets.%%'"
    )
    assert told == [(8, 8 * 13)]
    assert_books_are_clean()


def test_a_keep_against_the_sweep_ends_with_the_result_kept_or_gone_and_never_both() -> None:
    outcomes = Counter[str]()
    who = account(amount=200)
    for _ in range(12):
        [asset_id] = stored(who)
        job, before = job_of(asset_id), used(who)
        change("update assets set expires_at = app_now() + interval '30 ms' where id = %s", asset_id)

        def work(number: int, job: UUID = job) -> str:
            if number % 2:
                for _ in range(8):
                    doing(results.expire, 100)
                    time.sleep(0.01)
                return ""
            time.sleep(random.uniform(0, 0.06))
            try:
                return "kept" if doing(keeping.keep, who, job, 0)["kept"] else "?"
            except ResultGone:
                return "gone"

        said = {each for each in together(4, work) if each}
        status, kept = one("select status, plan_ends_at is not null from assets where id = %s", asset_id)
        if "kept" in said:
            assert (status, kept, used(who)) == ("stored", True, before)
        else:
            assert said == {"gone"}
            doing(results.expire, 100)
            assert (used(who), one("select status from assets where id = %s", asset_id)[0]) == (before - 13, "expired")
        outcomes["kept" if "kept" in said else "gone"] += 1
        assert_books_are_clean()
    assert outcomes.total() == 12


def test_a_keep_waits_for_a_sweep_that_has_its_account_and_then_says_that_it_is_gone() -> None:
    who = account(amount=9)
    [asset_id] = stored(who)
    job = job_of(asset_id)
    with ThreadPoolExecutor(1) as pool:
        with transaction() as conn:
            conn.execute("update assets set expires_at = app_now() where id = %s", [asset_id])
            assert results.expire(conn, 10).done == 1
            late = pool.submit(doing, keeping.keep, who, job, 0)
            eventually(lambda: lock_waits() > 0, what="the keep's wait")
            assert waiting_for() == ["accounts"]
        with pytest.raises(ResultGone, match="expired"):
            late.result(30)
    assert used(who) == 0
    assert_books_are_clean()


def waiting_for() -> list[str]:
    """What those who wait for a lock are about to lock, by the statement that waits."""
    found = rows("select query from pg_stat_activity where wait_event_type = 'Lock'")
    return [table for (query,) in found for table in ("accounts", "assets") if f" {table} " in query]


def test_keeps_and_their_undoing_at_once_lose_no_plans_time() -> None:
    who = account(amount=9)
    [asset_id] = stored(who, hours=100)
    job, before = job_of(asset_id), one("select expires_at from assets")[0]
    together(20, lambda n: doing(keeping.keep if n % 2 else keeping.let_go, who, job, 0))
    ends, plan_ends = one("select expires_at, plan_ends_at from assets")
    assert before in {ends, plan_ends}
    doing(keeping.let_go, who, job, 0)
    assert one("select expires_at, plan_ends_at from assets") == (before, None)
    assert used(who) == 13


def test_ten_jobs_that_land_at_once_are_counted_to_the_byte_in_all_and_by_kind() -> None:
    who = account(amount=50, plan="enterprise")
    claims = [claimed(placed(who, model())) for _ in range(10)]
    kinds = ("image/png", "video/mp4", "audio/wav", "text/plain")

    def land(number: int) -> None:
        claim = claims[number]
        made = [NewAsset(uuid7(), n, f"k/{claim.job_id}/{n}", kinds[n], 100 + number, b"x" * 32) for n in range(4)]
        with transaction() as conn:
            assert end(conn, who, claim.job_id, Ending("succeeded", cost_credits=1, assets=made), token=claim.token)

    together(10, land)
    with transaction() as conn:
        use = room.look(conn, who)
    assert use.used_bytes == 4 * sum(100 + n for n in range(10))
    assert [(each.bytes, each.files) for each in use.kinds] == [(use.used_bytes // 4, 10)] * 4 + [(0, 0)]
    assert use.expected_bytes == 0
    assert_books_are_clean()


def test_of_orders_at_once_on_a_quota_for_three_three_are_taken_and_the_others_cost_nothing() -> None:
    who = account(amount=50)
    change("update plans set storage_quota_bytes = 3 * 1024 * 1024 where id = 'free'")
    answers = [each for batch in together(10, lambda _: place(order(who, model()))) for each in batch]
    assert sum(isinstance(each, Accepted) for each in answers) == 3
    refused = [each for each in answers if isinstance(each, DomainError)]
    assert {type(each) for each in refused} == {StorageQuotaExceeded}
    assert balance(who) == (47, 3)
    assert_books_are_clean()
