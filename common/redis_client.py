"""Redis clients with time-outs: every wait on a socket has an end, and nothing is tried again behind our back."""

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


def redis_client(url: str, *, timeout_seconds: float, connect_seconds: float = 2.0) -> "Redis":
    """A client whose commands fail after `timeout_seconds`. redis-py would repeat a command whose answer was lost, and
    a repeated fetch pops messages that nobody then has (research/reliability.md, S2): so no retries.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=connect_seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=30,
    )


def async_redis_client(url: str, *, connect_seconds: float = 2.0) -> "AsyncRedis":
    """A client for a subscription in an event loop. Its reads have no end of their own: whoever waits bounds the wait,
    and asks for a sign of life.
    """
    return AsyncRedis.from_url(
        url, socket_timeout=None, socket_connect_timeout=connect_seconds, retry=AsyncRetry(NoBackoff(), 0)
    )
