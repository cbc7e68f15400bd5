"""Far sides and providers that more than one file of tests needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import wait_fixed

from tests.far_side.callbacks import Listener
from tests.far_side.fal import FalFarSide
from tests.far_side.queue_faults import Book
from workers.providers import fetching
from workers.providers.base import Endpoint
from workers.providers.fal import Fal


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of a fetch, where its address does not say how long they are to be."""
    monkeypatch.setattr(fetching, "_grows", wait_fixed(0.02))


@pytest.fixture
def fal_side(tmp_path: Path) -> Iterator[FalFarSide]:
    book = Book(tmp_path / "book.db")
    with FalFarSide(book).running() as side:
        yield side
    book.close()


@pytest.fixture
def fal(fal_side: FalFarSide) -> Iterator[Fal]:
    provider = Fal(Endpoint("fal", fal_side.url, "id:secret", {"jwks_url": f"{fal_side.url}/.well-known/jwks.json"}))
    yield provider
    provider.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener().running() as running:
        yield running
