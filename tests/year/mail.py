"""The way of hooks from a company to us: some are lost, doubled or late, and they come in any order."""

import random
from typing import NamedTuple

from tests.far_side.companies import Posted

DAY = 86_400.0


class Sent(NamedTuple):
    """A hook that is under way."""

    at: float
    posted: Posted


class Way:
    """Hooks under way, by when they arrive."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._waiting: list[Sent] = []
        self.sent = self.lost = self.doubled = self.late = 0

    def send(self, now: float, *hooks: Posted) -> None:
        """Have a company send these."""
        for posted in hooks:
            self.sent += 1
            if self._rng.random() < 0.12:
                self.lost += 1
                continue
            copies = 1
            if self._rng.random() < 0.2:
                self.doubled += 1
                copies = 2
            for _ in range(copies):
                late = self._rng.random() < 0.25
                self.late += late
                wait = self._rng.uniform(DAY, 9 * DAY) if late else self._rng.uniform(0, DAY / 2)
                self._waiting.append(Sent(now + wait, posted))

    def arrived(self, now: float) -> list[Posted]:
        """Those that have arrived by now, shuffled."""
        here = [each.posted for each in self._waiting if each.at <= now]
        self._waiting = [each for each in self._waiting if each.at > now]
        self._rng.shuffle(here)
        return here

    def __len__(self) -> int:
        return len(self._waiting)
