"""One running system for all tests of a file that drive a library of others."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.embedded.servers import Addresses
from tests.conftest import environment, fresh_database, new_system
from tests.sdks.house import SdkHouse, sdk_house
from tests.support import System, assert_books_are_clean

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Libraries of others leave connections open; what they leave is no fault of ours."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    """What a library has left open is found in the test that drove it, not in one of ours that comes later."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def house(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SdkHouse]:
    """API, worker and scheduler behind TLS: each program has an account of its own in it. The books are proved at its end."""
    folder = tmp_path_factory.mktemp("house")
    with (
        fresh_database(stack),
        environment({"SKETCH_BOOK": str(folder / "sketch.db")}),
        new_system(folder / "sketch.db", folder / "state") as running,
        sdk_house(running, folder / "tls") as made,
    ):
        yield made
        assert_books_are_clean()


@pytest.fixture
def lone_house(system: System, tmp_path: Path) -> Iterator[SdkHouse]:
    """One for a test that stops its processes or gives them other settings."""
    with sdk_house(system, tmp_path / "tls") as made:
        yield made
        assert_books_are_clean()
