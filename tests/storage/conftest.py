"""What tests of files share."""

from collections.abc import Callable
from pathlib import Path

import pytest

Writer = Callable[[bytes], Path]


@pytest.fixture
def file(tmp_path: Path) -> Writer:
    """Writes bytes where a result would lie."""

    def write(data: bytes) -> Path:
        path = tmp_path / "result"
        path.write_bytes(data)
        return path

    return write
