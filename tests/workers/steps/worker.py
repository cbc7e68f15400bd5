"""A worker in the test's own process, whose steps are done one by one, and far sides that do something of the test's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.server import Answer, Ask, FarSide
from workers.leases import Keeper
from workers.providers.base import Endpoint
from workers.providers.registry import ADAPTERS
from workers.steps.advance import Advance

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1mYXItc2lkZSEh"
SETTINGS = {
    deployment.KEY_VARIABLE: deployment.KEY, "WEBHOOK_SECRET": SECRET, "CALLBACK_URL": "http://127.0.0.1:1",
    "CATALOGUE_REFRESH_SECONDS": "0.01", "STRAY_SECONDS": "0",
}  # fmt: skip
HOUR = 3600


def with_hook(kind: type[FarSide], folder: Path) -> Any:
    """A far side that does something of the test's, `hook`, when its work is done and before it answers."""

    class Hooked(kind):
        hook: Callable[[Ask], None] = staticmethod(lambda _ask: None)

        def answer(self, ask: Ask) -> Answer:
            answer = super().answer(ask)
            self.hook(ask)
            return answer

    return Hooked(Book(folder / f"{kind.__name__}.db"))


@contextmanager
def worker() -> Iterator[Advance]:
    """A worker in this process: call it with a job's id, and it does the job's next step."""
    keeper = Keeper("tester", "interactive", 1)
    keeper.start()
    made: list[Any] = []

    def remembered(adapter: Callable[[Endpoint], Any]) -> Callable[[Endpoint], Any]:
        def make(endpoint: Endpoint) -> Any:
            made.append(adapter(endpoint))
            return made[-1]

        return make

    with patch.dict(ADAPTERS, {name: remembered(adapter) for name, adapter in ADAPTERS.items()}):
        try:
            yield Advance(keeper)
        finally:
            keeper.stop()
            for each in made:
                if hasattr(each, "close"):  # sketch has no connections
                    each.close()  # a process's end closes its connections; here the process goes on
