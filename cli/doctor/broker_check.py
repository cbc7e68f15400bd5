"""What `headrace doctor` finds out about RabbitMQ: it sends a message to a queue of its own and takes it, and looks at ours."""

from typing import Any

from common.amqp_client import amqp_connection, amqp_troubles, close_politely, ending_after, server_of, told_of
from common.settings import settings
from models.jobs.tables import QUEUES
from workers.amqp_carrier import QUEUE, declare

SECONDS = 2.0


def check_broker() -> str:
    """What there is to say of it. Raises RuntimeError that says what is wrong and what helps."""
    address = settings().broker_url
    if address is None:
        return "none is set: messages are Redis's"
    try:
        connection = amqp_connection(address, connect_seconds=SECONDS)
    except amqp_troubles() as error:
        raise RuntimeError(f"{_advice(error)}: {told_of(error)}") from error
    try:
        return _looked(connection)
    finally:
        close_politely(connection)


def _looked(connection: Any) -> str:
    try:
        with ending_after(connection, SECONDS):
            channel = connection.channel()
            found = [_depth(channel, queue) for queue in QUEUES]
    except amqp_troubles() as error:
        raise RuntimeError(f"our queues cannot be made or looked at, {_advice(error)}: {told_of(error)}") from error
    try:
        with ending_after(connection, SECONDS):
            _send_and_take(connection.channel())
    except amqp_troubles() as error:
        raise RuntimeError(
            f"it takes no message (is it short of memory or disk? `rabbitmqctl status` tells of alarms): {told_of(error)}"
        ) from error
    return f"{server_of(connection)}; {', '.join(found)}"


def _depth(channel: Any, queue: str) -> str:
    declare(channel, queue)
    seen = channel.queue_declare(QUEUE.format(queue), passive=True).method
    return f"{queue}: {seen.message_count} messages wait, {seen.consumer_count} workers listen"


def _send_and_take(channel: Any) -> None:
    own = channel.queue_declare(QUEUE.format("doctor"), exclusive=True, auto_delete=True).method.queue
    channel.basic_publish("", own, b"x")
    channel.queue_declare(own, passive=True)  # answered once the message is there
    method, _, _ = channel.basic_get(own, auto_ack=True)
    if method is None:
        raise OSError("what was sent did not come")


def _advice(error: BaseException) -> str:
    said = told_of(error)
    if "ACCESS_REFUSED" in said or "Authentication" in said:
        return "it refuses us: see user, password and rights in BROKER_URL"
    if "NOT_ALLOWED" in said or "not found" in said:
        return "it does not let us in there: see the vhost in BROKER_URL, and this user's rights for it"
    return "see BROKER_URL"
