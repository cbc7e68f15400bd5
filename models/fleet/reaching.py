"""How a process finds out whether its database takes writes, and whether Redis and RabbitMQ answer."""

import contextlib
import time

import psycopg

from common.amqp_client import amqp_connection, amqp_troubles, close_politely, told_of
from common.errors import Unavailable
from common.redis_client import redis_client
from common.settings import settings
from common.telemetry.health import Dependency
from models import failures
from models.connecting import Linked
from models.db import apart, transaction_on
from models.fleet import probes

KEPT_SECONDS = 10.0  # a connection: what a new one would meet is found out as well
PING_SECONDS = 0.5


class DatabaseLook:
    """Writes a row, on a connection of its own, so that it waits behind nobody's work. For one thread."""

    def __init__(self) -> None:
        self._apart = contextlib.ExitStack()
        self._conn: Linked | None = None
        self._keep_until = 0.0

    def __call__(self) -> None:
        """Raises Unavailable where the database does not take writes."""
        try:
            if self._conn is None or time.monotonic() >= self._keep_until:
                self._apart.close()
                self._conn = self._apart.enter_context(apart())
                self._keep_until = time.monotonic() + KEPT_SECONDS
            with transaction_on(self._conn):
                probes.probe(self._conn)
        except psycopg.Error as error:
            self.close()
            raise failures.named(error) or Unavailable("the database does not take writes") from error

    def forget(self) -> None:
        """Connect anew at the next look."""
        self._keep_until = 0.0

    def close(self) -> None:
        self._apart.close()
        self._conn = None


def ping_redis() -> None:
    """Raises redis.RedisError where Redis does not answer."""
    with redis_client(settings().redis_url, timeout_seconds=PING_SECONDS, connect_seconds=PING_SECONDS) as client:
        client.ping()


def ping_broker() -> None:
    """Raises Unavailable, with what is wrong, where RabbitMQ does not let us in."""
    address = settings().broker_url
    if address is not None:
        try:
            close_politely(amqp_connection(address, connect_seconds=PING_SECONDS))
        except amqp_troubles() as error:
            raise Unavailable(told_of(error)) from error


def database(look: DatabaseLook) -> Dependency:
    """The database, without which nothing is done."""
    return Dependency("database", look, needed=True)


def redis(*, needed: bool) -> Dependency:
    """Redis, without which jobs are rung by the scheduler's looks alone."""
    return Dependency("redis", ping_redis, needed=needed)


def broker(*, needed: bool) -> list[Dependency]:
    """The RabbitMQ that carries messages in Redis's place; none where none is set."""
    return [] if settings().broker_url is None else [Dependency("broker", ping_broker, needed=needed)]
