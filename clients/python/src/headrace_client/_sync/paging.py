"""Lists that go on by themselves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from pydantic import BaseModel

from headrace_client._calls import Call

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)


class Pager(Generic[T, P]):
    """A list. Go through it, and the pages that follow are fetched when their turn comes.

    for job in client.jobs.list(status="failed"):
        print(job.id, job.error)

    page = client.jobs.list(limit=20).first()
    for page in client.jobs.list().pages():
        print(len(page.data))
    """

    def __init__(
        self,
        ask: Callable[[Call, type[P]], P],
        call: Call,
        kind: type[P],
        items: Callable[[P], Sequence[T]],
    ) -> None:
        self._ask, self._call, self._kind, self._items = ask, call, kind, items

    def first(self) -> P:
        """The first page alone."""
        return self._ask(self._call, self._kind)

    def after(self, cursor: str) -> P:
        """The page after one whose `next` this is."""
        return self._ask(self._at(cursor), self._kind)

    def pages(self) -> Iterator[P]:
        """All pages, one after the other."""
        page = self.first()
        yield page
        while cursor := getattr(page, "next", None):
            page = self.after(cursor)
            yield page

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            for item in self._items(page):
                yield item

    def _at(self, cursor: str) -> Call:
        return replace(self._call, query={**self._call.query, "cursor": cursor})
