"""Rate limits per key, account and address, counted in Redis for all API processes (the `limits` package).

Nothing is counted where no limit is set: a submit then costs no round trip more. While Redis is away each process counts
for itself, so that limits become looser, never absent, and nobody is locked out.
"""

import logging
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import Request

from common.redis_client import async_redis_client
from models.access import Caller
from models.errors import RateLimited
from models.settings import settings

log = logging.getLogger(__name__)

AWAY_SECONDS = 2.0  # after a failure Redis is not asked for so long
TIMEOUT_SECONDS = 0.5


class Rates:
    """Counts requests, for one event loop."""

    def __init__(self) -> None:
        client = async_redis_client(
            settings().redis_url, timeout_seconds=TIMEOUT_SECONDS, connect_seconds=TIMEOUT_SECONDS
        )
        shared = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix="headrace:rates",
            connection_pool=client.connection_pool,  # type: ignore[arg-type]  # what it hands on to redis-py
        )  # fmt: skip
        self._shared = SlidingWindowCounterRateLimiter(shared)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._away_until = 0.0

    async def asked(self, request: Request, who: Caller) -> None:
        """Count a request of a caller. Raises RateLimited."""
        chosen = settings()
        if who.per_minute is not None:
            await self._hit(request, f"key:{who.key_id}", who.per_minute, "this key")
        if chosen.account_per_minute is not None:
            await self._hit(request, f"account:{who.account_id}", chosen.account_per_minute, "this account")
        if chosen.address_per_minute is not None:
            await self._hit(request, f"address:{_address(request)}", chosen.address_per_minute, "this address")

    async def failed(self, request: Request) -> None:
        """Count a request without a valid key: keys are not to be guessed. Raises RateLimited."""
        await self._hit(request, f"failed:{_address(request)}", settings().failed_auth_per_minute, "this address")

    async def _hit(self, request: Request, name: str, per_minute: int, whose: str) -> None:
        item = RateLimitItemPerMinute(per_minute)
        allowed, remaining, reset_at = await self._count(item, name)
        reset = max(1, math.ceil(reset_at - time.time()))
        request.scope["rate_headers"] = [
            (b"ratelimit-limit", str(per_minute).encode()),
            (b"ratelimit-remaining", str(max(0, remaining)).encode()),
            (b"ratelimit-reset", str(reset).encode()),
        ]
        if not allowed:
            raise RateLimited(
                f"{whose} may ask {per_minute} times a minute; ask again in {reset} s",
                limit=per_minute,
                retry_after=reset,
            )

    async def _count(self, item: RateLimitItemPerMinute, name: str) -> tuple[bool, int, float]:
        if time.monotonic() >= self._away_until:
            try:
                return await _counted(self._shared, item, name)
            except Exception as error:  # noqa: BLE001 - whatever Redis' client raises
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("rate limits are counted by this process alone: %s", type(error).__name__)
        return await _counted(self._own, item, name)


async def _counted(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, name: str
) -> tuple[bool, int, float]:
    allowed = await limiter.hit(item, name)
    stats = await limiter.get_window_stats(item, name)
    return allowed, stats.remaining, stats.reset_time


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
