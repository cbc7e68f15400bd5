"""Clients that order all the time, as from behind a load balancer: what one API host does not take goes to the other, under
the same key.
"""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

from tests.hosts.house import KINDS
from tests.support import account, key_of

CLIENTS_AT_ONCE, ACCOUNTS = 6, 25
PAUSE_SECONDS = 0.6  # between two orders of a client
TRY_SECONDS = 5.0  # after which the other host is asked
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}  # what clients' libraries try again


class Accepted(NamedTuple):
    """An order: when it was begun and accepted, by the clock that never jumps."""

    job_id: str
    begun: float
    accepted: float


@dataclass
class Load:
    """What the clients know."""

    urls: Sequence[str]
    keys: Sequence[str]
    accepted: list[Accepted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def work(self) -> None:
        """One client: orders of all accounts and kinds, one after the other."""
        host = 0
        with httpx.Client(timeout=TRY_SECONDS) as http:
            while not self._over.is_set():
                host = self._order(http, next(self._numbers), host)
                self._over.wait(PAUSE_SECONDS)

    def _order(self, http: httpx.Client, number: int, host: int) -> int:
        """Order until it is accepted. Returns the host that took it, which is asked first next time."""
        kind = list(KINDS)[number % len(KINDS)]
        headers = {"authorization": f"Bearer {self.keys[number % len(self.keys)]}", "idempotency-key": f"n{number}"}
        begun = time.monotonic()
        while not self._over.is_set():
            try:
                answer = http.post(
                    f"{self.urls[host]}/v1/jobs", json={"model": kind, "input": {"seed": number}}, headers=headers
                )
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 201:
                self.accepted.append(Accepted(answer.json()["id"], begun, time.monotonic()))
                return host
            if answer is not None and answer.status_code not in AGAIN:
                self.refused.append(answer.text[:300])
                return host
            host = (host + 1) % len(self.urls)
            self._over.wait(0.1)
        return host

    def stop(self) -> None:
        self._over.set()


@contextmanager
def ordering(urls: Sequence[str]) -> Iterator[Load]:
    """Clients order for the time of the block."""
    accounts = [account(amount=100_000, plan="studio") for _ in range(ACCOUNTS)]
    load = Load(urls, [key_of(each) for each in accounts])
    with ThreadPoolExecutor(CLIENTS_AT_ONCE) as pool:
        working = [pool.submit(load.work) for _ in range(CLIENTS_AT_ONCE)]
        try:
            yield load
        finally:
            load.stop()
        for each in working:
            each.result(60)
