"""The one Redis subscription of an API process, whatever the number of listeners; none while nobody listens."""

import asyncio
import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

import orjson
import redis

from api.live import Live
from common.redis_client import async_redis_client
from models.settings import settings
from workers.enqueue import LIVE

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0  # after which Redis is asked for a sign of life; after as much again it is away
AGAIN_SECONDS = 1.0


async def follow(live: Live) -> None:
    """Keep the subscription until cancelled."""
    while True:
        await live.wanted.wait()
        try:
            await _subscription(live)
        except (redis.RedisError, OSError, TimeoutError) as error:
            if live.redis_is_there:
                log.warning("redis is away, listeners are served from Postgres: %s", type(error).__name__)
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
        live.wake_all()  # what was told while nobody heard
    elif message["type"] == "message":
        for said in orjson.loads(message["data"]):
            if len(said) == 1:
                live.wake(UUID(said[0]))
            else:
                account_id, kind, job_id, data = said
                live.hear(UUID(account_id), kind, UUID(job_id), data)
