"""Connections to RabbitMQ with time-outs: every wait has an end, and nothing is tried again behind our back.

A connection is its one thread's. pika is imported where it is used: it is an extra (`headrace[rabbitmq]`) that only
deployments with a BROKER_URL need. Its blocking connection waits without an end for whatever is asked; `ending_after`
reaches into it, since the only limit that it has itself is the heartbeat.
"""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from common.keepalives import COUNT, IDLE_SECONDS, INTERVAL_SECONDS, UNSEEN_MILLISECONDS
from common.places import BrokerPlace, broker_place

if TYPE_CHECKING:
    from pika import BlockingConnection
else:
    BlockingConnection = Any

HEARTBEAT_SECONDS = 10  # a silent server is taken for gone 15 s after its last word, and takes us for gone after 20
GOODBYE_SECONDS = 0.5
TCP_OPTIONS = {
    "TCP_KEEPIDLE": IDLE_SECONDS, "TCP_KEEPINTVL": INTERVAL_SECONDS, "TCP_KEEPCNT": COUNT, "TCP_USER_TIMEOUT": UNSEEN_MILLISECONDS,
}  # fmt: skip


@cache
def _pika() -> Any:
    import pika  # noqa: PLC0415 - an extra
    import pika.exceptions  # noqa: PLC0415 - an extra

    # It writes a stack trace for each connection that does not come about; what is wrong is raised as well, and said by us.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return pika


@cache
def amqp_troubles() -> tuple[type[Exception], ...]:
    """What a RabbitMQ that is away, refuses or forgets raises. An assertion of pika's own is that of a connection that ended, and what
    its connecting raises is no error of the others' family.
    """
    from pika.adapters.utils import connection_workflow as workflow  # noqa: PLC0415 - an extra

    pika = _pika()
    return (pika.exceptions.AMQPError, workflow.AMQPConnectorException, OSError, AssertionError)


def amqp_connection(url: str, *, connect_seconds: float) -> BlockingConnection:
    """A connection to the first host that answers, each of which is waited for so long. Raises `amqp_troubles()`."""
    return _pika().BlockingConnection(parameters(broker_place(url), connect_seconds))


def parameters(place: BrokerPlace, connect_seconds: float) -> list[Any]:
    """What pika is to be told, for each host. Their repr holds no password."""
    pika = _pika()
    context = _context(place) if place.tls else None
    return [
        pika.ConnectionParameters(
            host=host, port=port, virtual_host=place.vhost, heartbeat=HEARTBEAT_SECONDS, connection_attempts=1,
            socket_timeout=connect_seconds, stack_timeout=connect_seconds, tcp_options=TCP_OPTIONS,
            credentials=pika.PlainCredentials(place.username or "guest", place.password or "guest"),
            ssl_options=context and pika.SSLOptions(context, host), client_properties={"connection_name": "headrace"},
        )
        for host, port in place.hosts
    ]  # fmt: skip


def _context(place: BrokerPlace) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority := place.options.get("ssl_ca_certs"):
        context.load_verify_locations(authority)
    if certificate := place.options.get("ssl_certfile"):
        context.load_cert_chain(certificate, place.options.get("ssl_keyfile"))
    return context


@contextmanager
def ending_after(connection: BlockingConnection, seconds: float) -> Iterator[None]:
    """End the connection if the block takes longer: what it waits for then raises `amqp_troubles()`. In the connection's thread."""
    inner: Any = connection._impl  # noqa: SLF001 - see above
    late = _pika().exceptions.AMQPHeartbeatTimeout(f"no answer within {seconds:g} s")
    timer = inner._adapter_call_later(seconds, lambda: inner._terminate_stream(late))  # noqa: SLF001 - see above
    try:
        yield
    finally:
        inner._adapter_remove_timeout(timer)  # noqa: SLF001 - see above


def close_politely(connection: BlockingConnection) -> None:
    """Say goodbye, and go in any case. Raises nothing."""
    with suppress(*amqp_troubles()):
        if connection.is_open:
            with ending_after(connection, GOODBYE_SECONDS):
                connection.close()


def server_of(connection: BlockingConnection) -> str:
    """The program at the other end, and its version."""
    said: dict[str, Any] = connection._impl.server_properties or {}  # noqa: SLF001 - pika shows it nowhere else
    return " ".join(_text(said.get(name)) for name in ("product", "version")).strip() or "not known"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def told_of(error: BaseException) -> str:
    """What is wrong, in a line: pika's errors have it in their arguments, one in the other, and no secret in them."""
    return " ".join((str(error) if isinstance(error, OSError) and str(error) else repr(error)).split())[:300]
