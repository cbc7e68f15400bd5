"""One running system for each test that drives a library of others."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def house(system: System, tmp_path: Path) -> Iterator[SdkHouse]:
    """API, worker and scheduler behind TLS; the books are proved afterwards."""
    with sdk_house(system, tmp_path / "tls") as made:
        yield made
        assert_books_are_clean()
