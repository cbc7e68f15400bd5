"""An account's room, decided under its lock."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from uuid_utils.compat import uuid7

from common.errors import StorageQuotaExceeded
from models.db import transaction
from models.files import uploads
from models.files.uploads import NewUpload, UploadRow
from tests.support import account, assert_books_are_clean, eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")


def test_room_that_another_takes_in_the_same_moment_is_taken() -> None:
    who = account()
    quota = one("select storage_quota_bytes from plans p join accounts a on a.plan_id = p.id where a.id = %s", who)[0]

    def create() -> UploadRow:
        new = NewUpload(uuid7(), who, f"uploads/{uuid7()}", "image/png", 10, b"x" * 32, 1, 1, None)
        with transaction() as conn:
            return uploads.create(conn, new)

    with ThreadPoolExecutor(1) as thread:
        with transaction() as other:
            other.execute("update accounts set storage_bytes = %s where id = %s", [quota, who])
            asked = thread.submit(create)
            eventually(lambda: lock_waits() == 1, what="the wait for the account")
        with pytest.raises(StorageQuotaExceeded):
            asked.result(timeout=10)
    assert rows("select 1 from uploads") == []
    with transaction() as conn:
        conn.execute("update accounts set storage_bytes = 0 where id = %s", [who])
    assert_books_are_clean()
