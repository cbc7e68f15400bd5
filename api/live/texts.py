"""Texts as they are written, for those who follow their jobs: workers tell only of what is said here to be followed.

All of it goes through Redis and is kept nowhere. If Redis is away there is no text before the result, and nothing else is lost.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import redis

from common.redis_client import async_redis_client
from common.rest import Rest
from common.settings import settings
from workers.doorbell import FOLLOWED, TEXT

log = logging.getLogger(__name__)

FOLLOWED_SECONDS = 30  # after which nobody follows any more, if it is not said again
REDIS_SECONDS, REST_SECONDS = 1.0, 2.0


class TextPiece(NamedTuple):
    """A part of a text: of which claim of its job, and after how many characters it begins."""

    run: int
    attempt: int
    position: int
    text: str


class ReadTo(NamedTuple):
    """How far a listener has read."""

    run: int
    length: int


def piece_of(data: Any) -> TextPiece | None:
    """What the live channel says of a text. None: it is no word of ours."""
    match data:
        case {"run": int(run), "attempt": int(attempt), "position": int(position), "text": str(text)} if position >= 0:
            return TextPiece(run, attempt, position, text)
    return None


def lacking(read_to: ReadTo | None, piece: TextPiece) -> TextPiece | None:
    """What of a piece a listener has not read, maybe nothing. None: there is a gap before it. A later claim of the job
    writes the text anew.
    """
    if read_to is not None and piece.run < read_to.run:
        return piece._replace(text="")
    known = read_to.length if read_to is not None and read_to.run == piece.run else 0
    if piece.position > known:
        return None
    return piece._replace(position=known, text=piece.text[known - piece.position :])


class Texts:
    """Asks Redis for one event loop."""

    def __init__(self) -> None:
        self._rest = Rest(REST_SECONDS)

    async def follow(self, job_id: UUID) -> TextPiece | None:
        """Say that a job's text is followed from now on. Returns what there is of it already."""
        answers = await self._ask([job_id], read=True)
        with suppress(orjson.JSONDecodeError):
            return piece_of(orjson.loads(answers[-1])) if answers and isinstance(answers[-1], bytes) else None
        return None

    async def go_on(self, job_ids: Sequence[UUID]) -> None:
        """Say that these are still followed."""
        await self._ask(list(dict.fromkeys(job_ids)), read=False)

    async def _ask(self, job_ids: Sequence[UUID], *, read: bool) -> list[Any]:
        if not job_ids or self._rest.is_on:
            return []
        client = async_redis_client(settings().redis_url, connect_seconds=REDIS_SECONDS, timeout_seconds=REDIS_SECONDS)
        try:
            async with client.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.set(FOLLOWED.format(job_id), b"1", ex=FOLLOWED_SECONDS)
                    if read:
                        pipe.get(TEXT.format(job_id))
                return list(await pipe.execute())
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._rest.start()
            log.info("redis is away, texts are not followed: %s", type(error).__name__)
            return []
        finally:
            with suppress(redis.RedisError, OSError, TimeoutError):
                await client.aclose()
