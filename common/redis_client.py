"""Redis clients with time-outs: every wait on a socket has an end, and nothing is tried again behind our back.

Where Sentinels know the place, they are asked at each new connection; after a failover the old connections fail, and the
next ones lead to the new master. (redis-py has no types for them.)
"""

from typing import Any

from redis import Redis, Sentinel
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import Sentinel as AsyncSentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

from common.places import RedisPlace, redis_place

DRIVER = (
    DriverInfo()
)  # made once: at each connection redis-py would read its own version from its package's description
SENTINEL_SECONDS = 1.0  # one of them may hang: the next is asked


def redis_client(url: str, *, timeout_seconds: float, connect_seconds: float = 2.0) -> "Redis":
    """A client whose commands fail after `timeout_seconds`. redis-py would repeat a command whose answer was lost, and
    a repeated fetch pops messages that nobody then has (research/reliability.md, S2): so no retries.

    Raises places.UnreadablePlace for an address that cannot be read.
    """
    place = redis_place(url)
    given = {
        **_given(place), "socket_timeout": timeout_seconds, "socket_connect_timeout": connect_seconds,
        "retry": Retry(NoBackoff(), 0), "health_check_interval": 30,
    }  # fmt: skip
    if place.sentinels is None:
        return Redis(**given)
    asked = {**_of_sentinels(place), "socket_timeout": SENTINEL_SECONDS, "retry": Retry(NoBackoff(), 0)}
    sentinels = Sentinel(list(place.sentinels.hosts), sentinel_kwargs=asked)  # type: ignore[no-untyped-call]  # redis-py
    found: Redis = sentinels.master_for(place.sentinels.service, redis_class=_Followed, **given)  # type: ignore[no-untyped-call]  # redis-py
    return found


def async_redis_client(url: str, *, connect_seconds: float = 2.0, timeout_seconds: float | None = None) -> "AsyncRedis":
    """A client for an event loop. For a subscription its reads have no end of their own: whoever waits bounds the wait,
    and asks for a sign of life. Raises places.UnreadablePlace.
    """
    place = redis_place(url)
    given = {
        **_given(place), "socket_timeout": timeout_seconds, "socket_connect_timeout": connect_seconds,
        "retry": AsyncRetry(NoBackoff(), 0),
    }  # fmt: skip
    if place.sentinels is None:
        return AsyncRedis(**given)
    asked = {**_of_sentinels(place), "socket_timeout": SENTINEL_SECONDS, "retry": AsyncRetry(NoBackoff(), 0)}
    sentinels = AsyncSentinel(list(place.sentinels.hosts), sentinel_kwargs=asked)  # type: ignore[no-untyped-call]  # redis-py
    found: AsyncRedis = sentinels.master_for(place.sentinels.service, redis_class=_AsyncFollowed, **given)
    return found


class _Followed(Redis):
    """A client whose end is that of the questions to its sentinels as well."""

    def close(self) -> None:
        super().close()
        for each in self.connection_pool.sentinel_manager.sentinels:  # type: ignore[attr-defined]  # of Sentinel's pool
            each.close()


class _AsyncFollowed(AsyncRedis):
    """The same, for an event loop."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for each in self.connection_pool.sentinel_manager.sentinels:  # type: ignore[attr-defined]  # of Sentinel's pool
            await each.aclose()


def _given(place: RedisPlace) -> dict[str, Any]:
    """What redis-py is to be told of a place."""
    found: dict[str, Any] = {
        "db": place.db, "username": place.username, "password": place.password, "driver_info": DRIVER, **_typed(place),
    }  # fmt: skip
    if place.path is not None:
        return found | {"unix_socket_path": place.path}
    if place.sentinels is None:
        found |= {"host": place.host, "port": place.port}
    return found


def _of_sentinels(place: RedisPlace) -> dict[str, Any]:
    assert place.sentinels is not None  # noqa: S101 - the caller has looked
    return {
        "username": place.sentinels.username, "password": place.sentinels.password, "socket_connect_timeout": SENTINEL_SECONDS,
        "driver_info": DRIVER, **_typed(place),
    }  # fmt: skip


def _typed(place: RedisPlace) -> dict[str, Any]:
    found: dict[str, Any] = dict(place.options)
    if "protocol" in found:
        found["protocol"] = int(found["protocol"])
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = found["ssl_check_hostname"].lower() in {"1", "true", "yes", "on"}
    return found | {"ssl": True} if place.tls else found
