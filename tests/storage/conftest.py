"""What tests of files share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.s3 import Storage
from tests.storage.scripted import Scripted, scripted_s3

Writer = Callable[[bytes], Path]


@pytest.fixture
def file(tmp_path: Path) -> Writer:
    """Writes bytes where a result would lie."""

    def write(data: bytes) -> Path:
        path = tmp_path / "result"
        path.write_bytes(data)
        return path

    return write


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted_s3() as script:
        yield script


@pytest.fixture(scope="module")
def scripted(server: Scripted) -> Iterator[Storage]:
    made = Storage(server.settings())
    yield made
    made.close()
