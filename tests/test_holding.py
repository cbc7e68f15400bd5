"""That a second connection is refused to whoever holds one: `tests.holding` sees it, whoever does it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models import db
from models.db import single, transaction

PRODUCT = """
def hold(act):
    with transaction():
        return act()

def ask():
    with single() as conn:
        return conn.execute("select 1").fetchone()
"""


@pytest.fixture
def product(database: str) -> dict[str, Callable[..., Any]]:
    """Code that is not in the tests' folder."""
    made: dict[str, Any] = {"transaction": transaction, "single": single}
    exec(compile(PRODUCT, "/elsewhere/product.py", "exec"), made)
    return made


def test_the_product_is_refused_a_second_connection(product: dict[str, Callable[..., Any]]) -> None:
    with pytest.raises(AssertionError, match=r"/elsewhere/product.py:3 holds a connection, and .*product.py:7 asks"):
        product["hold"](product["ask"])
    assert product["ask"]() == (1,)


def test_a_test_is_refused_one_in_a_thread_and_may_have_one_in_its_own(product: dict[str, Callable[..., Any]]) -> None:
    def asked() -> Any:
        return product["ask"]()

    def twice() -> Any:
        with transaction():
            return asked()

    with ThreadPoolExecutor(1) as threads, pytest.raises(AssertionError, match="asks for another"):
        threads.submit(twice).result()
    assert twice() == (1,)
    assert product["hold"](asked) == (1,), "what a test has done in the midst of it is the test's"


def test_a_connection_that_was_given_back_is_held_no_more(product: dict[str, Callable[..., Any]]) -> None:
    for _ in range(3):
        assert product["hold"](lambda: 1) == 1
        assert product["ask"]() == (1,)
    with pytest.raises(ZeroDivisionError):
        product["hold"](lambda: 1 / 0)
    assert product["ask"]() == (1,)
    db.close()
    assert product["ask"]() == (1,)
