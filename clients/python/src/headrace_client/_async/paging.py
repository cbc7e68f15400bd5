"""Lists that go on by themselves."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from headrace_client._calls import Call

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)


class AsyncPager(Generic[T, P]):
    """A list. Go through it, and the pages that follow are fetched when their turn comes.

    async for job in client.jobs.list(status="failed"):
        print(job.id, job.error)

    page = await client.jobs.list(limit=20).first()
    async for page in client.jobs.list().pages():
        print(len(page.data))
    """

    def __init__(
        self,
        ask: Callable[[Call, type[P]], Coroutine[Any, Any, P]],
        call: Call,
        kind: type[P],
        items: Callable[[P], Sequence[T]],
    ) -> None:
        self._ask, self._call, self._kind, self._items = ask, call, kind, items

    async def first(self) -> P:
        """The first page alone."""
        return await self._ask(self._call, self._kind)

    async def after(self, cursor: str) -> P:
        """The page after one whose `next` this is."""
        return await self._ask(self._at(cursor), self._kind)

    async def pages(self) -> AsyncIterator[P]:
        """All pages, one after the other."""
        page = await self.first()
        yield page
        while cursor := getattr(page, "next", None):
            page = await self.after(cursor)
            yield page

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in self._items(page):
                yield item

    def _at(self, cursor: str) -> Call:
        return replace(self._call, query={**self._call.query, "cursor": cursor})
