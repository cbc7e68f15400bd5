"""Orders that wait for their jobs' ends: where nobody can listen, and where the process stops in the meantime."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from api.services import services
from models.db import transaction
from models.jobs.ending import Ending, NewAsset, end
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, claimed, eventually, key_of, model, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Asked(NamedTuple):
    """An order that waits, in some dialect; how a job that goes on is told; and where its result's address stands."""

    path: str
    body: dict[str, Any]
    scheme: str
    goes_on: int
    result: tuple[str | int, ...]


ORDERS = {
    "openai": Asked(
        "/compat/openai/v1/images/generations", {"model": "picture", "prompt": "a harbour", "response_format": "url"},
        "Bearer", 503, ("data", 0, "url"),
    ),
    "fal": Asked("/compat/fal/run/headrace/picture", {"prompt": "a harbour"}, "Key", 429, ("images", 0, "url")),
    "replicate": Asked(
        "/compat/replicate/v1/models/headrace/picture/predictions", {"input": {}}, "Bearer", 201, ("output", 0)
    ),
}  # fmt: skip


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    """An API in this process; nobody works."""
    model("picture")
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client
    assert_books_are_clean()


def send(http: TestClient, order: Asked, key: str) -> Any:
    headers = {"authorization": f"{order.scheme} {key}", "prefer": "wait=30"}
    return http.post(order.path, json=order.body, headers=headers)


def under_way(pool: ThreadPoolExecutor, http: TestClient, order: Asked, key: str) -> "Future[Any]":
    """An order that is being waited for."""
    sent = pool.submit(send, http, order, key)
    eventually(lambda: rows("select 1 from jobs") != [], what="the order")
    return sent


def finish() -> None:
    """End the one job with a picture."""
    [(job_id, account_id)] = rows("select id, account_id from jobs")
    claim = claimed(job_id)
    made = NewAsset(uuid4(), 0, "results/x", "image/png", 10, b"0" * 32, width=64, height=64)
    with transaction() as conn:
        assert end(conn, account_id, job_id, Ending("succeeded", cost_credits=1, assets=[made]), token=claim.token)


@pytest.mark.parametrize("dialect", ORDERS)
def test_where_nobody_can_listen_the_job_is_looked_at_until_its_end(http: TestClient, dialect: str) -> None:
    order = ORDERS[dialect]
    with environment({"LISTENERS_MAX": "1"}), ThreadPoolExecutor(1) as pool:
        assert http.portal is not None
        http.portal.call(services(http.app).live.listen, account())  # a stranger has the only place
        sent = under_way(pool, http, order, key_of(account(amount=5)))
        finish()
        answer = sent.result(30)
    assert answer.is_success, answer.text
    found = answer.json()
    for step in order.result:
        found = found[step]
    assert found.startswith("http")


@pytest.mark.parametrize("dialect", ORDERS)
def test_a_process_that_stops_answers_at_once_and_the_order_stays_one_job(http: TestClient, dialect: str) -> None:
    order, key = ORDERS[dialect], key_of(account(amount=5))
    with ThreadPoolExecutor(1) as pool:
        sent = under_way(pool, http, order, key)
        services(http.app).live.stop()
        answer = sent.result(10)
    assert answer.status_code == order.goes_on, answer.text
    assert "x-should-retry" not in answer.headers
    if order.goes_on != 201:  # its library sends it again, and is answered of the same job
        assert send(http, order, key).status_code == order.goes_on
    assert len(rows("select 1 from jobs")) == 1
