"""What the API knows of the catalogue by the names that programs use."""

import pytest

from api.catalogue import Catalogue
from tests.support import model


@pytest.mark.usefixtures("database")
def test_of_two_models_with_one_alias_the_one_that_was_changed_last_has_it() -> None:
    model("b", aliases=["acme/picture"])
    model("a", aliases=["acme/picture"])
    known = Catalogue(lambda _offer: b"")
    known.load()
    assert known.called("acme/picture").entry.id == "a"
    model("b", aliases=["acme/picture"], description="changed")
    known.load()
    assert known.called("acme/picture").entry.id == "b"
