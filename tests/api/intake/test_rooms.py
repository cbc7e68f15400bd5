"""Uploads take their room before their bytes: a few of one account at once, within its storage and the process's disk."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.testclient import TestClient

from api.intake.rooms import FORM_BYTES, Rooms
from api.main import make_app
from common.errors import Overloaded, TooManyUploads
from models.db import transaction
from storage import media
from storage.media import SandboxAway
from tests.conftest import environment
from tests.files import picture
from tests.support import account, key_of, one

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Starlette's test client uses what httpx will rename
]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with environment({"UPLOADS_PER_ACCOUNT": "2"}), TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def head_of(who: object) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def request_of(size: int | None) -> Request:
    headers = [] if size is None else [(b"content-length", str(size).encode())]
    return Request({"type": "http", "headers": headers})


def sent(http: TestClient, head: dict[str, str]) -> httpx.Response:
    return http.post("/v1/files", files={"file": ("a.png", picture(), "image/png")}, headers=head)


def test_an_account_with_uploads_under_way_is_asked_to_come_again_and_others_are_served(http, monkeypatch) -> None:
    busy, other = account(amount=1), account(amount=1)
    entered, go_on = threading.Semaphore(0), threading.Event()
    begin = media.decoding.reading

    def held(kind: str):
        entered.release()
        go_on.wait(60)
        return begin(kind)

    head = head_of(busy)
    with ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(media.decoding, "reading", held)
        under_way = [threads.submit(sent, http, head) for _ in range(2)]
        for _ in under_way:
            assert entered.acquire(timeout=60)
        monkeypatch.setattr(media.decoding, "reading", begin)
        try:
            refused, served = sent(http, head), sent(http, head_of(other))
        finally:
            go_on.set()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
        assert int(refused.headers["retry-after"]) >= 1
        assert served.status_code == 201
        assert [each.result().status_code for each in under_way] == [201, 201]
    assert sent(http, head).status_code == 201


def test_a_file_for_which_there_is_no_storage_is_refused_by_its_declared_length(http) -> None:
    who = account(amount=1)
    with transaction() as conn:
        conn.execute(
            "update accounts a set storage_bytes = p.storage_quota_bytes - 100000 from plans p where p.id = a.plan_id and a.id = %s",
            [who],
        )
    headers = {**head_of(who), "content-type": "multipart/form-data; boundary=x", "content-length": "2000000"}
    refused = http.post("/v1/files", content=iter([bytes(100_000)] * 20), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "storage_quota_exceeded")
    assert refused.json()["size_bytes"] == 2_000_000 - FORM_BYTES


def test_uploads_under_way_share_their_accounts_storage(database) -> None:
    """Each alone would fit."""
    who, quota = account(amount=1), one("select storage_quota_bytes from plans where id = 'free'")[0]

    async def two() -> None:
        rooms, half = Rooms(run_in_threadpool), quota * 2 // 3
        async with rooms.of_form(request_of(half), who):
            with pytest.raises(Exception, match="bytes are in use"):
                async with rooms.of_form(request_of(half), who):
                    pass
        async with rooms.of_form(request_of(half), who):
            pass

    with environment({"SPOOL_MEGABYTES": "100000"}):
        asyncio.run(two())


def test_bytes_on_disk_are_counted_overall(database) -> None:
    async def many() -> None:
        rooms = Rooms(run_in_threadpool)
        async with rooms.of_form(request_of(400_000), account()):
            with pytest.raises(Overloaded):
                async with rooms.of_form(request_of(400_000), account()):
                    pass
            with pytest.raises(Overloaded):  # what does not say how long it is may be as long as any
                async with rooms.of_form(request_of(None), account()):
                    pass
            async with rooms.of_form(request_of(50_000), account()):
                pass
        async with rooms.of_form(request_of(None), account()):
            pass

    with environment({"SPOOL_MEGABYTES": "1"}):
        asyncio.run(many())


def test_a_small_file_waits_for_its_accounts_others(database) -> None:
    who = account()

    async def three() -> None:
        rooms, order = Rooms(run_in_threadpool), list[str]()

        async def one_more() -> None:
            async with rooms.of_data(who, 10, 60):
                order.append("second")

        async with rooms.of_data(who, 10, 0):
            waiting = asyncio.create_task(one_more())
            await asyncio.sleep(0)
            with pytest.raises(TooManyUploads):
                async with rooms.of_data(who, 10, 0):
                    pass
            order.append("first")
        await waiting
        assert order == ["first", "second"]

    with environment({"UPLOADS_PER_ACCOUNT": "1"}):
        asyncio.run(three())


def test_a_file_that_nobody_can_read_just_now_may_be_sent_again(http, monkeypatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise SandboxAway("files cannot be read just now")

    monkeypatch.setattr("storage.incoming.measure", away)
    refused = sent(http, head_of(account(amount=1)))
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (503, "unavailable", True)
    assert int(refused.headers["retry-after"]) >= 1
