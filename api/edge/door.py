"""Who may come in: how many connections there are at once, of one address and of all, and who makes room when it is full.

Every connection costs a descriptor and some memory before anything is known of who has it. What a process keeps for
itself (the database, Redis, S3, files that are sent to us) is set apart first, so that no crowd can take it.
"""

import logging
import resource
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import NamedTuple, Protocol

from api.edge.pace import Pace
from common.peers import peer_of
from common.telemetry import figures

log = logging.getLogger(__name__)

RESERVED = 256  # descriptors for our own work; of a larger limit an eighth
SHARE = 4  # no address has more than this part of all connections
SWEEP = 2000  # connections that are looked at in one go: a millisecond or two
TELL_SECONDS = 10.0  # between lines of the log about refusals

DOOR = "headrace.door"  # in a request's scope, if it came through one of our proxies
FULL = "the process has as many connections as it can keep"
CROWDED = "your address has too many connections open"


class Room(NamedTuple):
    """What a limit of descriptors leaves: connections in all and of one address, and how many may wait to be accepted."""

    descriptors: int
    most: int
    each: int
    backlog: int


def room_of(descriptors: int, *, most: int, each: int) -> Room:
    """Divide descriptors between strangers and ourselves. Those that wait to be accepted are taken in one go, so they are
    fewer than what is set apart."""
    own = min(max(RESERVED, descriptors // 8), descriptors // 2)
    most = max(1, min(most, descriptors - own))
    return Room(descriptors, most, max(1, min(each, most // SHARE)), max(16, min(2048, own // 2)))


def raise_descriptor_limit(wanted: int) -> int:
    """Raise this process's own limit of descriptors as far as it may be and is needed. Returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    aim = wanted if hard == unlimited else min(wanted, hard)
    if soft == unlimited or soft >= aim:
        return wanted if soft == unlimited else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    except (OSError, ValueError) as error:
        log.warning("the limit of descriptors stays at %d: %s", soft, error)
        return soft
    return aim


class Guest(Protocol):
    """A connection, as the door sees it."""

    def check(self, now: float) -> None:
        """End it if it has taken too long."""

    def make_room(self) -> None:
        """End it at once."""


class Door:
    """For one event loop."""

    def __init__(self, room: Room, pace: Pace, proxies: Iterable[str] = ()) -> None:
        self.room, self.pace = room, pace
        self._proxies = [ip_network(each) for each in proxies]
        self._inside: dict[Guest, str] = {}
        self._of: Counter[str] = Counter()
        self._asking: Counter[str] = Counter()
        self._resting: dict[Guest, None] = {}  # those that wait for nothing of ours, the longest first
        self._refused: Counter[str] = Counter()
        self._round: list[Guest] = []  # those that this round has not come to
        self._told_at = 0.0

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._inside)

    def is_proxy(self, host: str) -> bool:
        """Whether this is one of our own proxies, behind which there are many."""
        if not self._proxies:
            return False
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def enter(self, guest: Guest, host: str) -> str | None:
        """Let a connection in; or say why not. Where all is full, the one that has rested longest makes room."""
        peer = peer_of(host)
        if self._of[peer] >= self.room.each and not self.is_proxy(host):
            return self.count_refusal(CROWDED)
        if len(self._inside) >= self.room.most:
            longest = next(iter(self._resting), None)
            if longest is None:
                return self.count_refusal(FULL)
            self.leave(longest)
            longest.make_room()
            self.count_refusal("made room for another")
        self._inside[guest] = peer
        self._of[peer] += 1
        self._resting[guest] = None
        return None

    def leave(self, guest: Guest) -> None:
        """A connection is gone."""
        self._resting.pop(guest, None)
        peer = self._inside.pop(guest, None)
        if peer is not None:
            self._of[peer] -= 1
            if not self._of[peer]:
                del self._of[peer]

    def rests(self, guest: Guest) -> None:
        """It has all its answers, and has asked nothing more."""
        if guest in self._inside:
            self._resting[guest] = None

    def works(self, guest: Guest) -> None:
        """It has asked something."""
        self._resting.pop(guest, None)

    def asks(self, host: str) -> bool:
        """A request that came through a proxy begins, whose connections are not counted by address. False: too many are
        under way from there. Each that is let in must be `answered`."""
        peer = peer_of(host)
        if self._asking[peer] >= self.room.each:
            self.count_refusal(CROWDED)
            return False
        self._asking[peer] += 1
        return True

    def note_answer(self, host: str) -> None:
        """It is over."""
        peer = peer_of(host)
        self._asking[peer] -= 1
        if not self._asking[peer]:
            del self._asking[peer]

    def count_refusal(self, why: str) -> str:
        """Count a refusal, of which the log tells now and then: one line for each would be an attack of its own."""
        self._refused[why] += 1
        figures.TURNED_AWAY.add(why)
        return why

    def sweep(self, now: float) -> None:
        """Look at some connections: at every one in a second, if this is called at each tenth of it."""
        if not self._round:
            self._round = list(self._inside)
        part, self._round = self._round[:SWEEP], self._round[SWEEP:]
        for guest in part:
            if guest in self._inside:
                guest.check(now)
        if self._refused and now - self._told_at >= TELL_SECONDS:
            counts = ", ".join(f"{count}: {why}" for why, count in self._refused.most_common())
            log.warning(
                "%d of %d connections are open; refused or ended since the last such line: %s",
                len(self._inside), self.room.most, counts,
            )  # fmt: skip
            self._refused.clear()
            self._told_at = now
