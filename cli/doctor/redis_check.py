"""What `headrace doctor` finds out about Redis: it tries each kind of thing that is done with it."""

from collections.abc import Callable

import redis

from common.redis_client import redis_client
from common.settings import settings
from workers.doorbell import LIVE, NAMESPACE, WAKE

PROBE = "doctor"


def check_redis() -> str:
    """What there is to say of Redis. Raises RuntimeError that names what cannot be done."""
    with redis_client(settings().redis_url, timeout_seconds=2) as client:
        for name, attempt in _ATTEMPTS.items():
            try:
                attempt(client)
            except redis.RedisError as error:
                raise RuntimeError(f"redis does not let us {name}: {type(error).__name__}: {error}") from None
        return f"{_version(client)}, {_policy(client)}"


def _version(client: redis.Redis) -> str:
    try:
        return str(client.info("server").get("redis_version"))
    except redis.ResponseError:  # a user who may not ask is no worse
        return "version not known"


def _policy(client: redis.Redis) -> str:
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.ResponseError:  # as at most who rent a Redis out
        return "maxmemory-policy not known: it must be noeviction"
    if policy != "noeviction":
        raise RuntimeError(f"maxmemory-policy is {policy}: it must be noeviction, or messages are thrown away")
    return policy


def _write(client: redis.Redis) -> None:
    queue, wake = f"{NAMESPACE}:{PROBE}", WAKE.format(PROBE)
    with client.pipeline(transaction=True) as pipe:  # under names like those that are used, for rights go by names
        pipe.hset(f"{queue}.msgs", "probe", b"x")
        pipe.rpush(queue, b"x")
        pipe.lpush(wake, b"x")
        pipe.ltrim(wake, 0, 0)
        pipe.set(f"{queue}.text", b"x", ex=10)
        pipe.execute()


def _wait(client: redis.Redis) -> None:
    wake = WAKE.format(PROBE)
    client.blpop([wake], timeout=1)
    client.delete(wake, *(f"{NAMESPACE}:{PROBE}{end}" for end in ("", ".msgs", ".text")))


def _script(client: redis.Redis) -> None:
    client.register_script("redis.call('sadd', KEYS[1], 'x') return redis.call('del', KEYS[1])")(
        keys=[f"{NAMESPACE}:{PROBE}.set"]
    )


def _publish(client: redis.Redis) -> None:
    client.publish(LIVE, b"[]")


def _subscribe(client: redis.Redis) -> None:
    channel = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py has no types here
    try:
        channel.subscribe(LIVE)
        if channel.get_message(timeout=2) is None:
            raise redis.TimeoutError("nothing came of it in 2 s")
    finally:
        channel.close()


_ATTEMPTS: dict[str, Callable[[redis.Redis], None]] = {
    "write": _write, "wait on a list": _wait, "run a script": _script, "publish": _publish, "subscribe": _subscribe,
}  # fmt: skip
