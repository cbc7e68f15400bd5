"""The one Redis subscription of an API process, whatever the number of listeners; none while nobody listens."""

import asyncio
import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

import orjson
import redis

from api.live.hub import Live
from common.redis_client import async_redis_client
from common.settings import settings
from models.events import kinds
from workers.doorbell import LIVE

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0  # after which Redis is asked for a sign of life; after as much again it is away
AGAIN_SECONDS = 1.0
MAX_MESSAGE_BYTES = 1024 * 1024  # far above what is ever said at once
MAX_LIVE_BYTES = 4096  # of one thing that is only live


async def follow(live: Live) -> None:
    """Keep the subscription until cancelled."""
    while True:
        await live.wanted.wait()
        try:
            await _subscription(live)
        except (redis.RedisError, OSError, TimeoutError) as error:
            if live.redis_is_there:
                log.warning("redis is away, listeners are served from Postgres: %s", type(error).__name__)
        except Exception:
            log.exception("the subscription broke off; it begins anew")
        else:
            continue  # nobody listens any more; who comes next waits for nothing
        finally:
            live.redis_is_there = False
        await asyncio.sleep(AGAIN_SECONDS)


async def _subscription(live: Live) -> None:
    client = async_redis_client(settings().redis_url)
    channel = client.pubsub()
    try:
        await asyncio.wait_for(channel.subscribe(LIVE), SILENCE_SECONDS)
        asked = False
        while live.wanted.is_set():
            message = await channel.get_message(timeout=SILENCE_SECONDS)
            if message is not None:
                asked = False
                _heard(live, message)
            elif asked:
                raise TimeoutError("redis does not answer")
            else:
                asked = True
                await asyncio.wait_for(channel.ping(), SILENCE_SECONDS)
    finally:
        live.redis_is_there = False
        with suppress(redis.RedisError, OSError, TimeoutError):
            await asyncio.wait_for(channel.aclose(), 1)  # type: ignore[no-untyped-call]  # redis-py has no types here
            await asyncio.wait_for(client.aclose(), 1)


def _heard(live: Live, message: dict[str, Any]) -> None:
    if message["type"] == "subscribe":
        live.redis_is_there = True
        live.wake_all()  # what was written and said while nobody heard
    elif message["type"] == "message":
        said, nonsense = understood(message["data"])
        for account_id, what in said:
            if what is None:
                live.wake(account_id)
            else:
                live.hear(account_id, *what)
        if nonsense:
            _count(live, nonsense)


def _count(live: Live, nonsense: int) -> None:
    before, live.dropped = live.dropped, live.dropped + nonsense
    if before == 0 or before // 1000 != live.dropped // 1000:  # seen, but not once for each
        log.warning("%d things on the live channel were no word of ours and were dropped", live.dropped)


Said = tuple[UUID, tuple[str, UUID, dict[str, Any]] | None]


def understood(data: Any) -> tuple[list[Said], int]:
    """What a message says, and how many things in it are nonsense: whoever reaches the channel can say anything on it,
    and what is not understood harms nobody.
    """
    if not isinstance(data, bytes) or len(data) > MAX_MESSAGE_BYTES:
        return [], 1
    try:
        things = orjson.loads(data)
    except ValueError:
        return [], 1
    if not isinstance(things, list):
        return [], 1
    said = [each for each in map(_one, things) if each is not None]
    return said, len(things) - len(said)


def _one(thing: Any) -> Said | None:
    try:
        match thing:
            case [str(account_id)]:
                return UUID(account_id), None
            case [str(account_id), str(kind), str(job_id), dict(data)] if kind in kinds.LIVE:
                if len(orjson.dumps(data)) <= MAX_LIVE_BYTES:
                    return UUID(account_id), (kind, UUID(job_id), data)
    except (ValueError, TypeError):  # no UUID; data that cannot be written again
        return None
    return None
