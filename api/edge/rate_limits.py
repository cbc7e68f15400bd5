"""Rate limits per key, account and address, counted in Redis for all API processes (the `limits` package).

Nothing is counted where no limit is set: a submit then costs no round trip more. While Redis is away each process counts
for itself, so that limits become looser, never absent, and nobody is locked out.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.util import WindowStats
from starlette.requests import Request

from api.edge.addresses import network_of
from common.errors import RateLimited
from common.redis_client import async_redis_client
from common.rest import Rest
from common.settings import settings
from models.access.scopes import Caller

log = logging.getLogger(__name__)

AWAY_SECONDS = 2.0  # after a failure Redis is not asked for so long
TIMEOUT_SECONDS = 0.5
FOUND_OUT_AT_ONCE = 20  # requests of one address of which it is not known yet who asks
# In a request's scope: its failure is counted; what is left of the nearest limit; the gate behind which it may yet fail.
FAILED, LEFT, GATE = "headrace.failed", "headrace.rate-left", "headrace.gate"


@dataclass(slots=True)
class _Gate:
    turn: asyncio.Semaphore
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)  # a failure is under way or counted, never both
    users: int = 0
    inside: int = 0


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
        self._rest = Rest(AWAY_SECONDS)
        self._gates: dict[str, _Gate] = {}

    async def count_request(self, request: Request, who: Caller) -> None:
        """Count a request of a caller. Raises RateLimited."""
        chosen = settings()
        for rate in who.rates:  # of the keys that made this one as well: who makes keys may not ask more often
            await self._hit(request, f"key:{rate.root_id}", rate.per_minute, "this key")
        if chosen.account_per_minute is not None:
            await self._hit(request, f"account:{who.account_id}", chosen.account_per_minute, "this account")
        if chosen.address_per_minute is not None:
            await self._hit(request, f"address:{network_of(request.scope)}", chosen.address_per_minute, "this address")

    async def count_failure(self, request: Request) -> None:
        """Count a request that was refused for who asked it, once: keys are not to be guessed, nor what a key may do.
        Raises RateLimited.
        """
        if request.scope.get(FAILED):
            return
        request.scope[FAILED] = True
        name, per_minute = _failures(request), settings().failed_auth_per_minute
        gate: _Gate | None = request.scope.get(GATE)
        if gate is None:
            await self._hit(request, name, per_minute, "this address")
            return
        async with gate.counting:
            try:
                await self._hit(request, name, per_minute, "this address")
            finally:
                _leave(request, gate)

    @asynccontextmanager
    async def may_fail(self, request: Request) -> AsyncIterator[None]:
        """For the block, in which it is found out who asks, and a failure is counted: raises RateLimited where one more
        would be too many. Of one address a few are found out at once, so that none comes in between.
        """
        name, per_minute = _failures(request), settings().failed_auth_per_minute
        gate = self._gates.setdefault(name, _Gate(asyncio.Semaphore(min(per_minute, FOUND_OUT_AT_ONCE))))
        gate.users += 1
        try:
            async with gate.turn:
                request.scope[GATE] = gate
                gate.inside += 1
                try:
                    async with gate.counting:
                        item = RateLimitItemPerMinute(per_minute)
                        allowed, stats = await self._asked(item, name, hit=False, cost=gate.inside)
                    if not allowed:
                        raise _refusal(request, per_minute, stats, "this address")
                    yield
                finally:
                    _leave(request, gate)
        finally:
            gate.users -= 1
            if not gate.users:
                self._gates.pop(name, None)

    async def _hit(self, request: Request, name: str, per_minute: int, whose: str) -> None:
        allowed, stats = await self._asked(RateLimitItemPerMinute(per_minute), name, hit=True)
        refusal = _refusal(request, per_minute, stats, whose)
        if not allowed:
            raise refusal

    async def _asked(
        self, item: RateLimitItemPerMinute, name: str, *, hit: bool, cost: int = 1
    ) -> tuple[bool, WindowStats]:
        if not self._rest.is_on:
            try:
                return await _answer(self._shared, item, name, hit=hit, cost=cost)
            except Exception as error:  # noqa: BLE001 - whatever Redis' client raises
                self._rest.start()
                log.warning("rate limits are counted by this process alone: %s", type(error).__name__)
        return await _answer(self._own, item, name, hit=hit, cost=cost)


def _leave(request: Request, gate: _Gate) -> None:
    """From here on this request is not one that may yet fail: it was counted, or has not failed."""
    if request.scope.pop(GATE, None) is not None:
        gate.inside -= 1


def _refusal(request: Request, per_minute: int, stats: WindowStats, whose: str) -> RateLimited:
    """The answer where this limit is reached. Its figures are told with any answer, if no other limit is nearer."""
    reset, left = max(1, math.ceil(stats.reset_time - time.time())), max(0, stats.remaining)
    if left <= request.scope.get(LEFT, left):
        request.scope[LEFT] = left
        request.scope["rate_headers"] = [
            (b"ratelimit-limit", str(per_minute).encode()),
            (b"ratelimit-remaining", str(left).encode()),
            (b"ratelimit-reset", str(reset).encode()),
        ]
    detail = f"{whose} may ask {per_minute} times a minute; ask again in {reset} s"
    return RateLimited(detail, limit=per_minute, retry_after=reset)


async def _answer(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, name: str, *, hit: bool, cost: int
) -> tuple[bool, WindowStats]:
    allowed = await (limiter.hit if hit else limiter.test)(item, name, cost=cost)
    return allowed, await limiter.get_window_stats(item, name)


def _failures(request: Request) -> str:
    return f"failed:{network_of(request.scope)}"
