"""Requests that arrive together are answered together: one batch in flight, what arrives meanwhile is the next.

No timer and no waiting for company: a request that finds nothing in flight starts at once, alone. Whatever fails, every
request gets an answer, and the next batch begins.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from common.errors import DatabaseAway, Overloaded, Unavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Reply = TypeVar("Reply")

MAX_WAITING = 1000  # about as many as can be answered within their clients' patience


class Grouper(Generic[Item, Reply]):
    """Runs a synchronous function over batches of items in a thread of its own, for one event loop.

    `function` gets the items and returns one answer per item, in order; an answer that is an exception is raised to
    its caller. If the function itself raises, `rescue` is asked for the answers of the whole batch. At most `max_waiting`
    items wait; those that come then are refused at once. Where the database is away, all that wait are told so with the
    batch that found it out: none of them would fare better, and each batch would take its time-out again.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Item]], Sequence[Reply | Exception]],
        *,
        rescue: Callable[[Sequence[Item], Exception], Sequence[Reply | Exception]] | None = None,
        after: Callable[[Sequence[Item], Sequence[Reply | Exception]], None] | None = None,
        max_batch: int = 100,
        max_waiting: int = MAX_WAITING,
        name: str = "grouper",
    ) -> None:
        self._function = function
        self._rescue = rescue
        self._after = after
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[Item, asyncio.Future[Reply]]] = []
        self._busy = False
        self._closed = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def ask(self, item: Item) -> Reply:
        """The answer to one item. Raises Overloaded where too many wait already."""
        if self._closed:
            raise Unavailable("this process is stopping; ask again")
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{self._max_waiting} requests wait already; try again soon")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((item, future))
        if not self._busy:
            self._start(loop)
        return await future

    def close(self) -> None:
        """Finish the batch in flight, and refuse what waits behind it."""
        self._closed = True
        self._pool.shutdown(wait=True)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
        self._busy = True
        self._pool.submit(self._run, loop, batch)

    def _run(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Item, asyncio.Future[Reply]]]) -> None:
        items = [item for item, _ in batch]
        away: DatabaseAway | None = None
        answers: Sequence[Reply | Exception]
        try:
            answers = self._function(items)
        except DatabaseAway as error:
            answers, away = [error] * len(items), error
        except Exception as error:  # noqa: BLE001 - every caller must get an answer
            answers = self._saved(items, error)
        if len(answers) != len(items):
            answers = [RuntimeError(f"{len(answers)} answers to {len(items)} items")] * len(items)
        loop.call_soon_threadsafe(self._deliver, batch, answers)
        # After the answers are on their way: what follows a commit must not delay it, nor undo it.
        if self._after is not None:
            try:
                self._after(items, answers)
            except Exception:
                log.exception("what follows a batch failed; its answers stand")
        loop.call_soon_threadsafe(self._next, loop, away)

    def _saved(self, items: list[Item], error: Exception) -> Sequence[Reply | Exception]:
        if self._rescue is None:
            return [error] * len(items)
        try:
            return self._rescue(items, error)
        except Exception as worse:  # noqa: BLE001 - every caller must get an answer
            return [worse] * len(items)

    def _next(self, loop: asyncio.AbstractEventLoop, away: DatabaseAway | None) -> None:
        refusal = Unavailable("this process is stopping; ask again") if self._closed else away
        if refusal is not None:
            waiting, self._waiting = self._waiting, []
            self._deliver(waiting, [refusal] * len(waiting))
        if self._waiting:
            self._start(loop)
        else:
            self._busy = False

    @staticmethod
    def _deliver(batch: list[tuple[Item, asyncio.Future[Reply]]], answers: Sequence[Reply | Exception]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # the client has gone; what was done stays done
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
