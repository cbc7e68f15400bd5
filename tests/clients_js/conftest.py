"""One running system for all tests of a file."""

from collections.abc import Iterator

import pytest

from cli.embedded.servers import Addresses
from tests.clients_js.house import ClientHouse, client_house
from tests.conftest import environment, fresh_database, new_system
from tests.support import assert_books_are_clean


@pytest.fixture(scope="module")
def house(
    request: pytest.FixtureRequest, stack: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClientHouse]:
    """API, worker and scheduler; the books are proved at the end. A module's `page_script` makes what its site serves."""
    folder = tmp_path_factory.mktemp("house")
    script = getattr(request.module, "page_script", bytes)()
    with (
        fresh_database(stack),
        environment({"SKETCH_BOOK": str(folder / "sketch.db")}),
        new_system(folder / "sketch.db", folder / "state") as running,
        client_house(running, script) as made,
    ):
        yield made
        assert_books_are_clean()
