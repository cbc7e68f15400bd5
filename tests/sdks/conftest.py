"""One running system for each test that drives a library of others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdks.house import SdkHouse, sdk_house
from tests.support import System, assert_books_are_clean


@pytest.fixture
def house(system: System, tmp_path: Path) -> Iterator[SdkHouse]:
    """API, worker and scheduler behind TLS; the books are proved afterwards."""
    with sdk_house(system, tmp_path / "tls") as made:
        yield made
        assert_books_are_clean()
