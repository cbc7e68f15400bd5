"""One running studio for all tests of a file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cli.embedded.servers import Addresses
from examples.browser import browser
from tests.conftest import environment, fresh_database, new_system
from tests.studio.house import Somebody, StudioHouse, studio_house
from tests.support import assert_books_are_clean


@pytest.fixture(scope="module")
def studio(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioHouse]:
    """The studio; the books are proved at the end."""
    folder = tmp_path_factory.mktemp("studio")
    with (
        fresh_database(stack),
        environment({"SKETCH_BOOK": str(folder / "sketch.db"), "DEFAULT_PLAN": "guest"}),
        new_system(folder / "sketch.db", folder / "state") as running,
        studio_house(running) as made,
    ):
        yield made
        assert_books_are_clean()


@pytest.fixture
def arrive(studio: StudioHouse, tmp_path: Path) -> Iterator[Callable[[], Somebody]]:
    """Somebody new at a browser of their own."""
    with browser(tmp_path) as tab:
        tab.resize(1440, 1000)
        yield lambda: Somebody(studio, tab, f"{uuid4().hex[:12]}@millpond.example")
