"""Whether the servers that a process uses are there: each is looked at by one thread at a time, however many ask, and what
was seen serves for a second. Who asks waits for a bounded time, whatever a server does.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any, NamedTuple

from common.redact import for_strangers

NEEDED_SECONDS = 3.0  # to wait for a word of what must be there; more than its own time-outs take
OTHER_SECONDS = 1.0  # and of what may be away
FRESH_SECONDS = 1.0
WHY_CHARACTERS = 200


class ServerStanding(NamedTuple):
    """How a server stands. `why`: what is wrong with it, without addresses and secrets; None: it is there."""

    needed: bool
    why: str | None


class HealthReport(NamedTuple):
    """All servers that a process uses, by name."""

    servers: dict[str, ServerStanding]

    @property
    def is_ready(self) -> bool:
        """Whether all that must be there is."""
        return not any(each.needed and each.why for each in self.servers.values())

    def shown(self) -> dict[str, Any]:
        """As `/readyz` tells it."""
        away = [each for each in self.servers.values() if each.why]
        status = "ok" if not away else "degraded" if self.is_ready else "unavailable"
        servers = {
            name: {"status": "away", "needed": each.needed, "why": each.why}
            if each.why
            else {"status": "ok", "needed": each.needed}
            for name, each in self.servers.items()
        }
        return {"status": status, "dependencies": servers}


class Dependency:
    """A server that a process uses. `look` raises what is wrong with it; it has time-outs of its own. Thread-safe."""

    def __init__(self, name: str, look: Callable[[], object], *, needed: bool) -> None:
        self.name, self.needed = name, needed
        self._look = look
        self._lock = threading.Lock()
        self._seen: Future[str | None] | None = None
        self._fresh_until = 0.0

    def ask(self) -> Future[str | None]:
        """What is wrong with it: as it was seen a moment ago, or will have been when the look under way ends."""
        with self._lock:
            if self._seen is None or (self._seen.done() and time.monotonic() >= self._fresh_until):
                self._seen = Future()
                # A daemon: a server that says nothing keeps no process from ending.
                looking = threading.Thread(target=self._see, args=(self._seen,), name=f"look-{self.name}", daemon=True)
                looking.start()
            return self._seen

    @property
    def seconds(self) -> float:
        """For so long a word is waited for."""
        return NEEDED_SECONDS if self.needed else OTHER_SECONDS

    def standing(self, why: str | None) -> ServerStanding:
        return ServerStanding(self.needed, why)

    def silent(self) -> ServerStanding:
        """How it stands where it did not say anything in time."""
        return ServerStanding(self.needed, f"no answer within {self.seconds:g} s")

    def forget(self) -> None:
        """Look anew at the next question."""
        self._fresh_until = 0.0

    def close(self) -> None:
        """Let a look under way end, if it does so in time."""
        with suppress(NotYet):
            if self._seen is not None:
                self._seen.result(self.seconds)

    def _see(self, seen: Future[str | None]) -> None:
        seen.set_result(self._why())

    def _why(self) -> str | None:
        try:
            self._look()
            why = None
        except Exception as error:  # noqa: BLE001 - whatever is wrong is what was asked for
            said = for_strangers(str(getattr(error, "detail", "") or error))
            why = (said or type(error).__name__)[:WHY_CHARACTERS]
        self._fresh_until = time.monotonic() + FRESH_SECONDS
        return why


class Health:
    """What a process needs and uses."""

    def __init__(self, *dependencies: Dependency) -> None:
        self._dependencies = dependencies

    def look(self) -> HealthReport:
        """How all of them stand, each waited for beside the others."""
        asked = [(each, each.ask(), time.monotonic()) for each in self._dependencies]
        return HealthReport({each.name: _waited(each, word, begun) for each, word, begun in asked})

    async def found(self) -> HealthReport:
        """The same, for an event loop."""
        standings = await asyncio.gather(*(_awaited(each) for each in self._dependencies))
        return HealthReport({each.name: found for each, found in zip(self._dependencies, standings, strict=True)})

    def forget(self) -> None:
        """Look anew at the next question."""
        for each in self._dependencies:
            each.forget()

    def close(self) -> None:
        for each in self._dependencies:
            each.close()


def _waited(dependency: Dependency, word: "Future[str | None]", begun: float) -> ServerStanding:
    try:
        return dependency.standing(word.result(max(0.0, begun + dependency.seconds - time.monotonic())))
    except NotYet:
        return dependency.silent()


async def _awaited(dependency: Dependency) -> ServerStanding:
    word = asyncio.wrap_future(dependency.ask())
    try:
        return dependency.standing(await asyncio.wait_for(asyncio.shield(word), dependency.seconds))
    except TimeoutError:
        return dependency.silent()
