"""The live channel: whatever is said on it, listeners go on hearing."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import redis.asyncio

from api.live.hub import Live, discard_frame
from api.live.redis_wakes import understood
from api.tasks import keep
from common.errors import Unavailable
from common.settings import settings
from models.credits import ledger
from models.db import transaction
from tests.conftest import environment
from tests.listening import subscribed
from tests.support import account
from workers.doorbell import LIVE

pytestmark = pytest.mark.usefixtures("database")

WHO, JOB = "0190a1b2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000002"
NONSENSE = [
    b"", b"\0", b"\xff\xfe", b"no JSON", b"null", b"7", b'"text"', b"{}", b"[1]", b"[null]", b"[[]]", b"[[1]]", b"[{}]",
    b'[["no uuid"]]', b'[["no uuid","job.running","x",{}]]', b"NaN", b"[" * 100_000, b"[" + b"1," * 600_000 + b"1]",
    orjson.dumps([[WHO, "job.running", JOB]]), orjson.dumps([[WHO, "job.running", JOB, 5]]),
    orjson.dumps([[WHO, "job.running\nevent: job.succeeded", JOB, {}]]),
    orjson.dumps([[WHO, 5, JOB, {}]]), orjson.dumps([[WHO, "job.running", None, {}]]),
    orjson.dumps([[WHO, "job.running", JOB, {"text": "x" * 10_000}]]),
]  # fmt: skip


@pytest.mark.parametrize("data", [*NONSENSE, "text", None, 5], ids=lambda data: repr(data)[:40])
def test_what_is_no_word_of_ours_is_counted_and_says_nothing(data: Any) -> None:
    said, nonsense = understood(data)
    assert said == []
    assert nonsense >= (0 if data == b"[]" else 1)


def test_of_a_message_what_can_be_understood_is_heard() -> None:
    who, job = uuid4(), uuid4()
    message = [[str(who)], 7, [str(who), "job.progress", str(job), {"progress": 5}], ["x"]]
    assert understood(orjson.dumps(message)) == ([(who, None), (who, ("job.progress", job, {"progress": 5}))], 2)


async def listening(live: Live, who: UUID) -> Any:
    listener = live.listen(who)
    await live.catch_up(listener, discard_frame)
    return listener


async def until(check: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def test_nonsense_on_the_live_channel_ends_no_listening() -> None:
    who = account()

    async def scene() -> None:
        live = Live()
        client = redis.asyncio.Redis.from_url(settings().redis_url)
        async with subscribed(live) as following, client:
            listener = await listening(live, who)
            await until(lambda: live.redis_is_there)
            for each in NONSENSE:
                await client.publish(LIVE, each)
            await client.publish(LIVE, orjson.dumps([[str(who), "job.progress", JOB, {"progress": 5}]]))
            async with asyncio.timeout(5):
                assert b"job.progress" in await listener.take()
            assert not following.done()
            assert live.dropped >= len(NONSENSE)
            with transaction() as conn:
                ledger.grant(conn, who, kind="gift", amount=1, ref="a")
            async with asyncio.timeout(0.9):  # sooner than by looking
                assert b"credits.granted" in await listener.take()
            live.leave(listener)
        live.close()

    asyncio.run(scene())


def test_what_runs_all_the_time_begins_anew_when_it_breaks_off() -> None:
    begun: list[int] = []

    async def breaks() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise KeyError("no luck")
        await asyncio.sleep(60)

    async def scene() -> None:
        task = asyncio.create_task(keep("a thing", breaks))
        await until(lambda: len(begun) == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())


def test_streams_of_all_accounts_are_bounded_and_one_may_come_when_one_goes() -> None:
    with environment({"LISTENERS_MAX": "3"}):
        live = Live()
        open_ = [live.listen(uuid4()) for _ in range(3)]
        with pytest.raises(Unavailable):
            live.listen(uuid4())
        for _ in range(2):
            live.leave(open_[0])
        live.listen(uuid4())
        with pytest.raises(Unavailable):
            live.listen(uuid4())
        assert len(live) == 3
        live.close()


def test_what_is_live_waits_in_a_bounded_line_while_events_are_read() -> None:
    who = account()

    async def scene() -> None:
        live = Live()
        listener = await listening(live, who)
        feed = live._feeds[who]
        feed.reading = True
        for number in range(10_000):
            live.hear(who, "job.progress", UUID(JOB), {"progress": number})
        assert len(feed.late) == settings().listener_backlog
        live.leave(listener)
        live.close()

    asyncio.run(scene())
