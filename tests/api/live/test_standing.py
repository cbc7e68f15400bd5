"""How a job stands is said on the live channel alone: whoever may have missed it is told again, and nobody twice."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import redis.asyncio

from api.live.frames import live_word, read_frames
from api.live.hub import Live, discard_frame
from api.live.listeners import STANDS_MAX, Listener
from common.settings import settings
from models.db import transaction
from models.jobs import words
from models.jobs.ending import Ending, end
from models.jobs.steps import Claim
from tests.listening import subscribed
from tests.models.hands import change
from tests.models.jobs.standing import begun, requeued
from tests.support import account, claimed
from workers.doorbell import LIVE

pytestmark = pytest.mark.usefixtures("database")

Scene = Callable[[Live], Coroutine[Any, Any, None]]


def play(scene: Scene) -> None:
    async def whole() -> None:
        live = Live()
        try:
            async with asyncio.timeout(20):
                await scene(live)
        finally:
            live.close()

    asyncio.run(whole())


async def said_to(listener: Listener, *, until: str) -> list[tuple[str, Any]]:
    """What a listener is told of jobs, up to a kind."""
    said: list[tuple[str, Any]] = []
    while not any(kind == until for kind, _ in said):
        said += [(kind, data) for kind, data in read_frames(await listener.take()) if kind]
    return said


async def attached(live: Live, who: UUID, **wanted: Any) -> Listener:
    listener = live.listen(who, **wanted)
    await live.catch_up(listener, discard_frame)
    return listener


def fail(claim: Claim) -> None:
    with transaction() as conn:
        assert end(conn, claim.account_id, claim.job_id, Ending("failed", error_code="x"), token=claim.token)


RUNS = ("job.running", {"attempt": 1})


def test_who_resumes_is_told_what_runs_by_now() -> None:
    """Their page knew a queued job, and its line was cut while that began."""
    claim = begun()

    async def scene(live: Live) -> None:
        listener = await attached(live, claim.account_id, after=2)
        assert await said_to(listener, until="job.running") == [RUNS]
        one = await attached(live, claim.account_id, job_id=claim.job_id)
        assert await said_to(one, until="job.running") == [RUNS]
        other = await attached(live, claim.account_id, job_id=uuid4())
        await live.look([claim.account_id])
        assert [len(each.frames) for each in (listener, one, other)] == [0, 0, 0]

    play(scene)


def test_what_was_lost_on_the_way_is_told_at_the_next_look_and_once() -> None:
    who = account(amount=5)

    async def scene(live: Live) -> None:
        listener = await attached(live, who)
        claim = await asyncio.to_thread(begun, who)
        await live.look([who])
        assert [kind for kind, _ in await said_to(listener, until="job.running")] == ["job.queued", "job.running"]
        said = {"run": claim.token, "attempt": 1}
        live.hear(who, "job.running", claim.job_id, said)
        live.hear(
            who, "job.running", claim.job_id, {**said, "run": claim.token + 1}
        )  # another worker's, after a rescue
        live.hear(who, "job.running", claim.job_id, said)
        assert not listener.frames
        await asyncio.to_thread(requeued, claim, 60)
        await live.look([who])
        ((kind, waits),) = await said_to(listener, until="job.waiting")
        assert (kind, waits["attempt"], round(waits["seconds"])) == ("job.waiting", 1, 60)
        live.hear(who, "job.running", claim.job_id, said)  # it was said before, and comes after
        assert not listener.frames
        live.hear(who, "job.running", claim.job_id, {"run": claim.token + 9, "attempt": 2})
        assert await said_to(listener, until="job.running") == [("job.running", {"attempt": 2})]

    play(scene)


def test_a_job_that_found_no_room_is_told_to_run_when_it_does_whatever_it_is_counted_as() -> None:
    """Its attempt was taken off the record, so that the next one has the same number."""
    who = account(amount=5)

    async def scene(live: Live) -> None:
        listener = await attached(live, who)
        claim = await asyncio.to_thread(begun, who)
        await live.look([who])
        assert (await said_to(listener, until="job.running"))[-1] == RUNS
        await asyncio.to_thread(partial(requeued, claim, 60, attempt=None, spends_attempt=False, held_back=True))
        await live.look([who])
        ((_, waits),) = await said_to(listener, until="job.waiting")
        assert (waits["attempt"], waits["reason"]) == (0, words.waiting("once more"))
        change("update job_runs set dispatched = true, wake_at = app_now()")
        assert (await asyncio.to_thread(claimed, claim.job_id)).attempts == 1
        await live.look([who])
        assert await said_to(listener, until="job.running") == [RUNS]

    play(scene)


def test_what_was_looked_up_before_a_job_ended_is_not_told_after(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = begun()

    async def scene(live: Live) -> None:
        listener = await attached(live, claim.account_id)
        await said_to(listener, until="job.running")
        stale = await live._looks.ask([claim.account_id])
        await asyncio.to_thread(fail, claim)
        live.wake(claim.account_id)
        await said_to(listener, until="job.failed")

        async def late(_accounts: list[UUID]) -> Any:
            return stale

        monkeypatch.setattr(live._looks, "ask", late)
        await live.look([claim.account_id])
        live.wake(claim.account_id)
        while live._feeds[claim.account_id].reading:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        assert not listener.frames

    play(scene)


def test_who_comes_when_all_have_gone_is_heard_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens for a while, and the subscription ends: the next one is not put off as one is that failed."""
    monkeypatch.setattr("api.live.redis_wakes.AGAIN_SECONDS", 3600.0)
    monkeypatch.setattr("api.live.redis_wakes.SILENCE_SECONDS", 0.2)
    who, job = account(), uuid4()

    async def scene(live: Live) -> None:
        client = redis.asyncio.Redis.from_url(settings().redis_url)
        async with subscribed(live), client:
            for _ in range(2):
                listener = await attached(live, who)
                while not live.redis_is_there:  # noqa: ASYNC110 - what is waited for has no event
                    await asyncio.sleep(0.01)
                await client.publish(LIVE, orjson.dumps([[str(who), "job.progress", str(job), {"progress": 5}]]))
                assert await said_to(listener, until="job.progress") == [("job.progress", {"progress": 5})]
                live.leave(listener)
                while live.redis_is_there:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)

    play(scene)


def test_the_first_subscription_tells_what_began_before_it() -> None:
    who = account(amount=5)

    async def scene(live: Live) -> None:
        listener = await attached(live, who)
        await asyncio.gather(*live._tasks)  # its first look
        await asyncio.to_thread(begun, who)
        async with subscribed(live):
            assert [kind for kind, _ in await said_to(listener, until="job.running")] == ["job.queued", "job.running"]

    play(scene)


def test_nobody_who_speaks_on_the_channel_fills_a_listeners_memory() -> None:
    listener = Listener(uuid4(), None, None, None, quiet=True, reads=False)
    for _ in range(STANDS_MAX + 10):
        listener.hear(live_word("job.running", uuid4(), {"run": 1, "attempt": 1}))
    assert len(listener._stands) == STANDS_MAX


@pytest.mark.parametrize("run", [None, "1", 1.5, [1], {"a": 1}])
def test_what_says_no_run_is_passed_on(run: Any) -> None:
    """A worker of the release before says none."""
    listener = Listener(uuid4(), None, None, None, quiet=False, reads=False)
    word = live_word("job.waiting", uuid4(), {"run": run, "attempt": 1, "reason": "r", "seconds": 1})
    listener.hear(word)
    listener.hear(word)
    assert (word.stand, len(listener.frames)) == (None, 2)
