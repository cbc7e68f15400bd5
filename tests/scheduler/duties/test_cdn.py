"""The CDN is told of files that are gone: of each, until it has said that it knows, and of nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import orjson
import pytest
from uuid_utils.compat import uuid7

from common.links import url_of
from models.db import transaction
from models.files import cdn_purges, keeping, uploads
from models.files.uploads import NewUpload
from scheduler.duties.cdn import tell_cdn
from tests.conftest import environment
from tests.models.files.test_results import due, expired, stored
from tests.models.hands import later
from tests.receivers import Receiver
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")


@contextmanager
def cdn(**more: str) -> Iterator[Receiver]:
    """A CDN whose purges come here."""
    far = Receiver()
    wanted = {
        "CDN_URL": "https://cdn.example.com", "CDN_PURGE_URL": far.url + "?zone=1", "CDN_PURGE_TOKEN": "secret-token",
        "ALLOW_PRIVATE_ADDRESSES": far.place, **more,
    }  # fmt: skip
    try:
        with environment(wanted):
            yield far
    finally:
        far.close()


def heard(far: Receiver) -> list[list[str]]:
    return [orjson.loads(each.body)["files"] for each in far.got]


def both(*ids: UUID) -> list[str]:
    return [url_of(each, thumbnail=small) for each in ids for small in (False, True)]


def deleted(count: int = 1) -> list[UUID]:
    who = account(amount=9)
    ids = stored(who, count)
    with transaction() as conn:
        keeping.delete(conn, who, one("select job_id from assets where id = %s", ids[0])[0])
    return ids


def test_what_is_deleted_or_expires_is_told_once_with_all_its_addresses() -> None:
    with cdn() as far:
        [gone] = deleted()
        assert tell_cdn(100) == 1
        assert heard(far) == [both(gone)]
        assert far.got[0].headers["authorization"] == "Bearer secret-token"
        assert far.got[0].headers["content-type"] == "application/json"
        who = account(amount=9)
        [late] = stored(who)
        due(late)
        assert expired().done == 1
        upload_ids = [uuid7(), uuid7()]
        with transaction() as conn:
            for each in upload_ids:
                uploads.create(conn, NewUpload(each, who, f"uploads/{each}", "image/png", 7, b"y" * 32, None, None, 5))
            uploads.delete(conn, who, upload_ids[0])
        with later(30), transaction() as conn:
            assert uploads.expire(conn, 10).done == 1
        with later(31):
            assert tell_cdn(100) == 3
        assert sorted(heard(far)[1]) == sorted(both(late, *upload_ids))
        assert tell_cdn(100) == 0
        assert len(far.got) == 2
    assert rows("select * from cdn_purges") == []


def test_the_header_is_the_one_that_the_cdn_wants() -> None:
    with cdn(CDN_PURGE_HEADER="AccessKey") as far:
        deleted()
        assert tell_cdn(100) == 1
        assert far.got[0].headers["accesskey"] == "secret-token"
        assert "authorization" not in far.got[0].headers


def test_many_are_told_some_at_once() -> None:
    with cdn() as far:
        ids = deleted(20)
        assert tell_cdn(100) == 20
        assert [len(each) for each in heard(far)] == [30, 10]
        assert sorted(url for each in heard(far) for url in each) == sorted(both(*ids))


@pytest.mark.parametrize("answer", [500, 403, 301, "close"])
def test_what_the_cdn_does_not_take_is_told_again_after_a_pause_that_grows(answer: int | str) -> None:
    with cdn() as far:
        far.behave = lambda _: answer
        deleted(2)
        did = tell_cdn(100)
        assert (int(did), did.more) == (0, False)
        assert "the CDN was not told of 2 files" in did.errors[0]
        assert "secret-token" not in did.errors[0]
        assert tell_cdn(100) == 0
        assert len(far.got) == 1
        assert one("select min(tries), max(due_at - app_now()) > interval '3 s' from cdn_purges") == (1, True)
        with later(0.01):
            tell_cdn(100)
            assert one("select min(tries), max(due_at - app_now()) > interval '8 s' from cdn_purges") == (2, True)
        far.behave = lambda _: 200
        with later(1):
            assert tell_cdn(100) == 2
        assert len(far.got) == 3


def test_what_fails_keeps_nothing_else_waiting_for_longer_than_a_turn() -> None:
    with cdn() as far:
        far.behave = lambda got: 500 if len(orjson.loads(got.body)["files"]) == 30 else 200
        deleted(15)
        deleted(1)
        assert tell_cdn(100) == 0
        assert tell_cdn(100) == 1
        assert one("select count(*) from cdn_purges") == (15,)


def test_what_it_can_have_no_copy_of_any_more_is_let_go() -> None:
    with cdn(CDN_CACHE_SECONDS="3600") as far:
        far.behave = lambda _: 500
        deleted()
        tell_cdn(100)
        with later(1.1):
            assert tell_cdn(100) == 1
    assert rows("select * from cdn_purges") == []


def test_without_an_address_nothing_is_written_and_what_is_left_of_before_goes() -> None:
    deleted()
    assert rows("select * from cdn_purges") == []
    with cdn():
        deleted()
    assert one("select count(*) from cdn_purges") == (1,)
    assert tell_cdn(100) == 1
    assert rows("select * from cdn_purges") == []


def test_a_delete_that_is_undone_tells_nothing() -> None:
    with cdn() as far:
        who = account(amount=9)
        ids = stored(who)
        with pytest.raises(RuntimeError), transaction() as conn:
            keeping.delete(conn, who, one("select job_id from assets")[0])
            raise RuntimeError
        assert tell_cdn(100) == 0
        assert far.got == []
        with transaction() as conn:
            cdn_purges.note(conn, [*ids, *ids])
        assert tell_cdn(100) == 1


def test_a_place_in_our_own_network_is_refused_unless_it_is_named() -> None:
    with cdn(ALLOW_PRIVATE_ADDRESSES="") as far:
        deleted()
        assert tell_cdn(100) == 0
        assert far.got == []
        assert one("select tries from cdn_purges") == (1,)
