"""Whose file is read next: a few places, of which no account has all, and of which the last is for those who have none."""

import threading
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REMEMBERED = 1000  # accounts, of which it is known when they were served
SLOW_SECONDS = 1.0  # from here on an account is one whose files hold up each other


class NoPlace(Exception):
    """All places that this account may have are taken; later there will be one."""


@dataclass(slots=True)
class _Waiter:
    account: Hashable
    since: float
    given: threading.Event = field(default_factory=threading.Event)


class FilePlaces:
    """`share`: how many of them one account may have at once, so that there is one for the others."""

    def __init__(self, size: int, share: int) -> None:
        self._guard = threading.Lock()
        self._free, self._share = size, share
        self._used: Counter[Hashable] = Counter()
        self._waiting: list[_Waiter] = []
        self._last: dict[Hashable, float] = {}  # when an account was given a place

    @contextmanager
    def one(self, account: Hashable, seconds: float) -> Iterator[None]:
        """A place for the time of the block. Raises NoPlace after so many seconds; at once where the account's files wait
        for long already, so that those who wait hold no more than its share of whatever they wait in.
        """
        self._enter(account, seconds)
        try:
            yield
        finally:
            with self._guard:
                self._used[account] -= 1
                if not self._used[account]:
                    del self._used[account]
                self._free += 1
                self._give()

    def _enter(self, account: Hashable, seconds: float) -> None:
        now = time.monotonic()
        waiter = _Waiter(account, now)
        with self._guard:
            mine = [each for each in self._waiting if each.account == account]
            if len(mine) >= self._share and now - mine[0].since > SLOW_SECONDS:
                raise NoPlace
            self._waiting.append(waiter)
            self._give()
        if waiter.given.wait(seconds):
            return
        with self._guard:
            if not waiter.given.is_set():  # it may have been given in this moment
                self._waiting.remove(waiter)
                raise NoPlace

    def _may(self, account: Hashable) -> bool:
        """The last place is kept for who has none."""
        used = self._used[account]
        return used < self._share and (used == 0 or self._free > 1)

    def _give(self) -> None:
        """To those whose account has least, of them to whose was served longest ago, then to who has waited longest."""
        while self._free:
            fitting = [each for each in self._waiting if self._may(each.account)]
            if not fitting:
                return
            chosen = min(
                fitting, key=lambda each: (self._used[each.account], self._last.get(each.account, 0.0), each.since)
            )
            self._waiting.remove(chosen)
            self._used[chosen.account] += 1
            self._free -= 1
            self._last.pop(chosen.account, None)
            self._last[chosen.account] = time.monotonic()
            if len(self._last) > REMEMBERED:
                del self._last[next(iter(self._last))]
            chosen.given.set()
