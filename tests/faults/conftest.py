"""Outages for the fault tests."""

from collections.abc import Iterator

import pytest

from cli.embedded.servers import Addresses
from tests.conftest import FAST
from tests.faults.outages import Outages


@pytest.fixture(scope="session")
def outages(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """The servers of all tests, which can be restarted."""
    state = max(tmp_path_factory.getbasetemp().glob("servers*"))
    made = Outages(state, stack, FAST)
    yield made
    made.close()
