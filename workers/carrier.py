"""What carries messages to the workers: Redis (`workers.redis_carrier`), or RabbitMQ (`workers.amqp_carrier`).

News for listeners is Redis's in either case, and told whatever the messages' server does.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

SEND_SECONDS = 1.0
REST_SECONDS = 1.0  # after a failure, so that an absent server does not cost every request its time-out

Messages = dict[str, dict[Any, Any]]  # by queue and id
# How many jobs there are, by queue, of which a message may be waiting. It asks the database: only where it is needed.
WaitingJobs = Callable[[], Mapping[str, int]]


class CarrierAway(Exception):
    """Messages were not sent, or nobody knows: the scheduler will ring."""


class Carrier(Protocol):
    """Sends messages. Thread-safe; nobody waits longer than `SEND_SECONDS` for it, and whoever comes while it rests not at all."""

    @property
    def resting(self) -> bool:
        """Whether it was away a moment ago, and is not asked again yet."""

    def send(self, messages: Messages, news: Sequence[Any]) -> None:
        """Send messages, and tell news, in one round trip. Raises CarrierAway, for news alone as well."""

    def missing(self, messages: Messages, jobs: WaitingJobs) -> Messages:
        """Of messages that have been sent before, those to send again, so that they do not heap up while no worker runs.

        Raises CarrierAway.
        """

    def forget_lost(self, queue: str, before: Collection[bytes]) -> set[bytes]:
        """See `doorbell.Doorbell.forget_lost`."""

    def close(self) -> None: ...
