"""Messages in Redis, as Dramatiq's own broker has them there, and news that it publishes."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

import orjson
import redis

from common.redis_client import redis_client
from common.rest import Rest
from workers.carrier import REST_SECONDS, SEND_SECONDS, CarrierAway, Messages, WaitingJobs

log = logging.getLogger(__name__)

NAMESPACE = "dramatiq"
WAKE = "headrace:wake:{}"  # a list of tokens that idle workers wait on
# What API processes hear, as JSON lists: [account] for "there are events to read", and [account, type, job, data] for
# what is not kept (`models.events.kinds.LIVE`): that a job runs, how far it is, that it waits.
LIVE = "headrace:live"
MAX_WAKE_TOKENS = 128  # more would only wake workers for nothing; a missed wake costs at most one idle wait


class RedisCarrier:
    """A `Carrier` over one Redis client."""

    def __init__(self, url: str) -> None:
        self._client = redis_client(url, timeout_seconds=SEND_SECONDS, connect_seconds=0.5)
        self._rest = Rest(REST_SECONDS)
        self.unpublished = 0  # times that Redis refused to publish

    @property
    def resting(self) -> bool:
        return self._rest.is_on

    def send(self, messages: Messages, news: Sequence[Any]) -> None:
        if self.resting:
            raise CarrierAway("redis rests")
        try:
            self._send(messages, news)
        except redis.RedisError as error:
            raise self._failed(error) from None

    def missing(self, messages: Messages, jobs: WaitingJobs) -> Messages:  # noqa: ARG002 - it needs no count
        """Those that do not wait there: at most two wait for any job, its first and one more."""
        if self.resting:
            raise CarrierAway("redis rests")
        asked = [(queue, each) for queue, named in messages.items() for each in named]
        found: Messages = {}
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for queue, message_id in asked:
                    pipe.hexists(f"{NAMESPACE}:{queue}.msgs", message_id)
                for (queue, message_id), waits in zip(asked, pipe.execute(), strict=True):
                    if not waits:
                        found.setdefault(queue, {})[message_id] = messages[queue][message_id]
        except redis.RedisError as error:
            raise self._failed(error) from None
        return found

    def _send(self, by_queue: Messages, news: Sequence[Any]) -> None:
        """All in one round trip. The rings are one transaction, and what is published is none of it: listeners find events by
        themselves, and whoever may not publish must still ring.
        """
        if not by_queue and not news:
            return
        with self._client.pipeline(transaction=False) as pipe:
            if by_queue:
                pipe.execute_command("MULTI")  # type: ignore[no-untyped-call]  # redis-py has no types here
            for queue, messages in by_queue.items():
                # What Dramatiq's own script writes for "enqueue"; a test holds a stock worker to it.
                pipe.hset(f"{NAMESPACE}:{queue}.msgs", mapping=messages)
                pipe.rpush(f"{NAMESPACE}:{queue}", *messages)
                pipe.lpush(WAKE.format(queue), *([b"1"] * min(len(messages), MAX_WAKE_TOKENS)))
                pipe.ltrim(WAKE.format(queue), 0, MAX_WAKE_TOKENS - 1)
            if by_queue:
                pipe.execute_command("EXEC")  # type: ignore[no-untyped-call]  # as above
            if news:
                pipe.publish(LIVE, orjson.dumps(news))
            answers = pipe.execute(raise_on_error=False)
        problem = next((each for each in answers if isinstance(each, Exception)), None)
        if news and isinstance(answers[-1], Exception):
            self.unpublished += 1
            if self.unpublished == 1:
                log.warning("nothing can be published, listeners look for themselves: %s", answers[-1])
            if len(answers) == 1 or problem is answers[-1]:
                return
        if problem is not None:
            raise problem

    def _failed(self, error: redis.RedisError) -> CarrierAway:
        self._rest.start()
        log.warning("redis is away, the scheduler will ring: %s: %s", type(error).__name__, error)
        return CarrierAway("redis is away")

    def forget_lost(self, queue: str, before: Collection[bytes]) -> set[bytes]:
        messages = f"{NAMESPACE}:{queue}.msgs"
        try:
            kept: set[Any] = set(self._client.hkeys(messages))
            found = kept - set(self._client.lrange(f"{NAMESPACE}:{queue}", 0, -1))
            twice = [each for each in found if each in before]
            for start in range(0, len(twice), 1000):
                self._client.hdel(messages, *twice[start : start + 1000])
        except redis.RedisError as error:
            log.warning("redis is away, lost messages are looked for later: %s", type(error).__name__)
            return set()
        return found - set(twice)

    def close(self) -> None:
        self._client.close()
