"""What an account stores, by kind and by file: counted as it comes and goes, and read at the same cost however much it is."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from models.db import transaction
from models.files import keeping, room, uploads
from models.files.room import KindUse, StorageUse
from models.files.uploads import NewUpload
from models.jobs.ending import Ending, NewAsset, end
from tests.models.files.test_results import due, expired
from tests.models.hands import change, later
from tests.support import account, assert_books_are_clean, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def stored(who: UUID, *files: tuple[str, int]) -> UUID:
    """A job's results, of these types and sizes."""
    claim = claimed(placed(who, model()))
    made = [
        NewAsset(uuid7(), n, f"k/{claim.job_id}/{n}", kind, size, b"x" * 32) for n, (kind, size) in enumerate(files)
    ]
    with transaction() as conn:
        assert end(conn, who, claim.job_id, Ending("succeeded", cost_credits=1, assets=made), token=claim.token)
    return claim.job_id


def uploaded(who: UUID, size: int) -> UUID:
    upload_id = uuid7()
    with transaction() as conn:
        new = NewUpload(upload_id, who, f"uploads/{upload_id}", "image/png", size, b"y" * 32, None, None, None)
        return uploads.create(conn, new).id


def look(who: UUID) -> StorageUse:
    with transaction() as conn:
        return room.look(conn, who)


def kinds(who: UUID) -> dict[str, tuple[int, int]]:
    return {each.kind: (each.bytes, each.files) for each in look(who).kinds if each.files or each.bytes}


def test_each_kind_is_counted_as_it_comes_and_as_it_goes() -> None:
    who, other = account(amount=9), account(amount=9)
    job = stored(who, ("image/png", 10), ("image/svg+xml", 5), ("video/mp4", 100), ("audio/wav", 20), ("text/plain", 1))
    stored(who, ("application/json", 3))
    stored(other, ("image/png", 7))
    mine = uploaded(who, 50)
    assert kinds(who) == {"image": (15, 2), "video": (100, 1), "speech": (20, 1), "text": (4, 2), "uploads": (50, 1)}
    assert kinds(other) == {"image": (7, 1)}
    with transaction() as conn:
        keeping.delete(conn, who, job, 0)
        uploads.delete(conn, who, mine)
    due(one("select id from assets where media_type = 'video/mp4'")[0])
    assert expired().done == 1
    assert kinds(who) == {"image": (5, 1), "speech": (20, 1), "text": (4, 2)}
    use = look(who)
    assert use.used_bytes == sum(each.bytes for each in use.kinds) == 29
    assert [each.kind for each in use.kinds] == list(room.KINDS)
    assert use.kinds[1] == KindUse("video", 0, 0)
    assert_books_are_clean()


def test_many_that_expire_at_once_are_taken_off_each_account_and_kind() -> None:
    first, second = account(amount=9), account(amount=9)
    for who in (first, second):
        stored(who, ("image/png", 10), ("audio/wav", 20), ("image/png", 30))
        uploaded(who, 5)
    with later(30):
        assert expired(100).done == 6
        with transaction() as conn:
            assert uploads.expire(conn, 100).done == 2
    assert kinds(first) == kinds(second) == {}
    assert_books_are_clean()


def test_what_is_written_of_files_that_stay_counts_nothing() -> None:
    who = account(amount=9)
    stored(who, ("image/png", 10))
    uploaded(who, 5)
    before = rows("select xmin::text, kind from stored_kinds order by kind")
    change("update assets set purged_at = null, expires_at = expires_at + interval '1 hour'")
    change("update uploads set expires_at = expires_at + interval '1 hour'")
    assert rows("select xmin::text, kind from stored_kinds order by kind") == before


def test_the_largest_are_named_with_where_they_are_of() -> None:
    who = account(amount=20)
    job = stored(who, ("image/png", 10), ("video/mp4", 500))
    mine = uploaded(who, 300)
    use = look(who)
    assert [(each.size_bytes, each.job_id, each.place) for each in use.largest] == [
        (500, job, 1), (300, None, None), (10, job, 0),
    ]  # fmt: skip
    assert (use.largest[1].id, use.largest[1].media_type) == (mine, "image/png")
    with transaction() as conn:
        keeping.keep(conn, who, job, 1)
    assert look(who).largest[0].expires_at is None
    stored(who, *[("text/plain", size) for size in range(1, 30)])
    assert [each.size_bytes for each in look(who).largest] == [500, 300, 29, 28, 27, 26, 25, 24, 23, 22]
    with transaction() as conn:
        keeping.delete(conn, who, job)
    assert look(who).largest[0].size_bytes == 300


def test_what_living_jobs_may_bring_is_said_and_what_the_plan_gives() -> None:
    who = account(amount=9)
    assert look(who) == StorageUse(0, 0, 1_000_000_000, [KindUse(kind, 0, 0) for kind in room.KINDS], [])
    placed(who, model(kind="video"))
    assert look(who).expected_bytes == 8 * 2**20


def test_a_look_reads_by_index_however_much_there_is() -> None:
    who = account(amount=9)
    job = stored(who, ("image/png", 10))
    change(
        """insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, expires_at)
           select gen_random_uuid(), %s, %s, n, 'k' || n, 'image/png', n, %s, app_now() + interval '1 day'
             from generate_series(1, 20000) n""",
        job, who, b"x" * 32,
    )  # fmt: skip
    change("update accounts set storage_bytes = storage_bytes + 20000 * 20001 / 2")
    with transaction() as conn:
        conn.execute("analyze assets")
        before = conn.execute("select pg_stat_get_xact_tuples_fetched('assets'::regclass)").fetchone()
        assert room.look(conn, who).largest[0].size_bytes == 20000
        after = conn.execute("select pg_stat_get_xact_tuples_fetched('assets'::regclass)").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] <= 20
    assert_books_are_clean()
