"""What befalls the hosts, one scene after the other."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tests.hosts.house import APIS, PROVIDER, SCHEDULERS, SERVERS, WORKERS
from tests.hosts.network import Network, Pair
from tests.hosts.switch import Between

OFF_SECONDS = 4.0
CUT_SECONDS = 14.0  # longer than a lease; a moment after TCP has tried again, which is 13 s before it does so next
BAD_SECONDS = 10.0
SLOW, LOSSY, GONE = Between(0.0, 0.1), Between(0.15, 0.0), Between(1.0, 0.0)


class Scene(NamedTuple):
    """`host` is hit alone; with `other` only what lies between these two is."""

    sort: Literal["kill", "cut", "slow", "lossy"]
    host: str
    seconds: float
    other: str | None = None

    @property
    def name(self) -> str:
        return f"{self.sort}-{self.host}" + (f"-{self.other}" if self.other else "")

    @property
    def meaning(self) -> str:
        """What happens, for a table."""
        match self.sort:
            case "kill":
                return f"{self.host}: power cut, back after {self.seconds:.0f} s"
            case "cut":
                whom = f"{self.host} and {self.other}" if self.other else f"{self.host} and all others"
                return f"{whom} cut off, {self.seconds:.0f} s"
            case "slow":
                return f"200 ms more to {self.host} and back, {self.seconds:.0f} s"
            case "lossy":
                return f"15 % of packets to {self.host} lost, {self.seconds:.0f} s"

    def pairs(self, network: Network) -> list[Pair]:
        """Between whom something lies."""
        return [(self.host, self.other)] if self.other else network.pairs_of(self.host)

    @property
    def between(self) -> Between:
        """What lies there."""
        return {"slow": SLOW, "lossy": LOSSY}.get(self.sort, GONE)


def scenes() -> Iterator[Scene]:
    """All of them. Of the workers one stands for all; a scheduler is nobody's leader, so each has its turn."""
    ours = (*APIS, WORKERS[0], *SCHEDULERS)
    for host in (*SERVERS, PROVIDER, *ours):
        yield Scene("kill", host, OFF_SECONDS)
    for host in (*SERVERS, PROVIDER, *ours):
        yield Scene("cut", host, CUT_SECONDS)
    for server in SERVERS:
        yield Scene("cut", WORKERS[0], CUT_SECONDS, server)
    yield Scene("cut", APIS[0], CUT_SECONDS, "database")
    yield Scene("cut", SCHEDULERS[0], CUT_SECONDS, "database")
    for server in SERVERS:
        yield Scene("slow", server, BAD_SECONDS)
        yield Scene("lossy", server, BAD_SECONDS)
