"""Clients' files are cleared away: once, in batches, and nothing that is still somebody's."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from uuid_utils.compat import uuid7

from common.errors import NotFound
from models.db import transaction
from models.files import uploads
from models.jobs import ending
from models.jobs.ending import Ending
from scheduler.duties.uploads import expire_uploads, purge_uploads
from scheduler.main import duties, run_turn
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.files import picture
from tests.support import account, assert_books_are_clean, claimed, model, one, placed, uploaded

pytestmark = pytest.mark.usefixtures("database")

LATE = {"CLOCK_OFFSET_SECONDS": str(25 * 3600)}


def stored(who, count: int = 1) -> list[uploads.UploadRow]:
    return [uploaded(who, [picture(size=(10 + n, 10))]) for n in range(count)]


def there(prefix: str) -> set[str]:
    return {item.key for item in storage().list_page(prefix, None, 1000)}


def turn(name: str) -> int:
    with transaction() as conn:
        conn.execute("update duties set next_at = app_now() where name = %s", [name])
    return run_turn(next(duty for duty in duties() if duty.name == name))


def test_uploads_expire_in_bounded_batches_and_give_their_storage_back() -> None:
    who = account()
    stored(who, 5)
    assert expire_uploads(100) == 0
    with environment(LATE):
        assert [expire_uploads(2) for _ in range(4)] == [2, 2, 1, 0]
        assert one("select storage_bytes from accounts where id = %s", who) == (0,)
        assert_books_are_clean()


def test_several_schedulers_at_once_expire_each_upload_once() -> None:
    owners = [account() for _ in range(4)]
    for who in owners:
        stored(who, 3)
    with environment(LATE):
        gate = threading.Barrier(4)

        def sweep(_n: int) -> int:
            gate.wait()
            return expire_uploads(100)

        with ThreadPoolExecutor(4) as threads:
            done = sum(threads.map(sweep, range(4)))
        assert done + expire_uploads(100) == 12
        assert one("select sum(storage_bytes) from accounts where id = any(%s)", owners) == (0,)
        assert_books_are_clean()


def test_an_upload_is_gone_from_the_moment_its_time_has_passed() -> None:
    who = account()
    made = stored(who)[0]
    with environment(LATE), transaction() as conn:
        for verb in (uploads.find, uploads.use, uploads.delete):
            with pytest.raises(NotFound):
                verb(conn, who, made.id)
        assert uploads.find_same(conn, who, made.sha256) is None
        assert uploads.page(conn, who, before=None, limit=9) == []


def test_objects_are_deleted_after_the_longest_signed_link_and_then_confirmed_once() -> None:
    who = account()
    expired, deleted, living = stored(who, 3)
    with transaction() as conn:
        uploads.delete(conn, who, deleted.id)
        conn.execute("update uploads set expires_at = app_now() where id = %s", [expired.id])
    expire_uploads(10)
    with environment({"SIGNED_LINK_SECONDS": "900"}):
        assert purge_uploads(10) == 0
    with transaction() as conn:
        conn.execute("update uploads set expired_at = app_now() - interval '16 minutes' where status <> 'stored'")
    assert purge_uploads(10) == 2
    assert purge_uploads(10) == 0
    assert there(f"{keys.UPLOADS}{who}/") == {living.key}
    assert one("select count(*) from uploads where purged_at is not null") == (2,)
    assert_books_are_clean()


def test_strays_among_uploads_and_inputs_of_ended_jobs_are_reaped_and_nothing_else() -> None:
    who = account(amount=9)
    living = stored(who)[0]
    offer = model()
    running, over = placed(who, offer), placed(who, offer)
    claim = claimed(over)
    with transaction() as conn:
        ending.end(conn, who, over, Ending("failed", error_code="x", error_message="x"), token=claim.token)
    kept = {living.key, keys.input_key(who, running, "photo")}
    strays = {
        keys.upload_key(who, uuid7(), "png"), keys.input_key(who, over, "photo"), keys.input_key(who, uuid7(), "a-b_c"),
    }  # fmt: skip
    foreign = {f"{keys.UPLOADS}{who}/notes.txt", f"{keys.INPUTS}readme"}
    for key in (strays | kept | foreign) - {living.key}:
        storage().put_bytes(key, b"x", "image/png")

    def ours() -> set[str]:
        return {key for key in there(keys.UPLOADS) | there(keys.INPUTS) if str(who) in key or key in foreign}

    for name in ("reap_uploads", "reap_inputs"):
        turn(name)
    assert ours() == strays | kept | foreign, "too young to be reaped"
    with environment({"STRAY_SECONDS": "0"}):
        for name in ("reap_uploads", "reap_inputs"):
            turn(name)
        assert ours() == kept | foreign
        assert [turn(name) for name in ("reap_uploads", "reap_inputs")] == [0, 0]
    storage().delete_many(list(kept | foreign))
