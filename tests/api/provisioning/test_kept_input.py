"""What may be written is kept as it was sent, up to its limits."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from api.provisioning.shapes import MAX_METADATA_BYTES
from tests.api.provisioning.test_bad_input import USUAL, sent, whole
from tests.support import one

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RECORD = USUAL["/api/provisioning/saveCredential"]["record"]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def test_metadata_has_a_limit_of_its_own(http: TestClient) -> None:
    def saved(size: int) -> Any:
        metadata = {"a": "x" * (size - len('{"a":""}'))}
        return sent(http, "/api/provisioning/saveCredential", {"record": {**RECORD, "metadata": metadata}})

    assert saved(MAX_METADATA_BYTES).status_code == 200
    answer = saved(MAX_METADATA_BYTES + 1)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["param"]) == (413, "body_too_large", "record.metadata")
    assert (problem["limit"], problem["size"]) == (MAX_METADATA_BYTES, MAX_METADATA_BYTES + 1)


@pytest.mark.parametrize("deep", [100, 240, 250, 251, 252, 253, 254, 255, 260])
def test_deep_metadata_is_kept_and_found_again_or_refused(http: TestClient, deep: int) -> None:
    value: Any = 1
    for _ in range(deep):
        value = {"a": value}
    saved = sent(http, "/api/provisioning/saveCredential", {"record": {**RECORD, "metadata": value}})
    assert saved.status_code in {200, 422}, saved.text
    assert saved.status_code == 200 or deep > 240
    found = sent(http, "/api/provisioning/listCredentials", {})
    assert found.status_code == 200
    assert [each["metadata"] for each in found.json()["credentials"]] == [value] * (saved.status_code == 200)


@pytest.mark.parametrize("time_", [0, 1, 253_402_300_799_999])
def test_every_time_that_is_taken_is_answered_as_it_was_sent(http: TestClient, time_: int) -> None:
    record = {**RECORD, "issuedAt": time_, "expiresAt": time_, "lastRotatedAt": time_}
    assert sent(http, "/api/provisioning/saveCredential", {"record": record}).status_code == 200
    assert sent(http, "/api/provisioning/listCredentials", {}).json() == {"credentials": [record]}
    over = sent(http, "/api/provisioning/saveCredential", {"record": {**RECORD, "issuedAt": 253_402_300_800_000}})
    assert over.status_code == 422
    assert one("select count(*) from web_credentials") == (1,)


@pytest.mark.parametrize("path", USUAL)
def test_a_body_that_would_do_is_taken(http: TestClient, path: str) -> None:
    """Or else the refusals of test_bad_input would prove nothing; a credential that is nowhere, and a cursor of none, are refused later."""
    found = [sent(http, path, body) for body in (USUAL[path], whole(path))]
    assert {(each.status_code, each.json().get("code")) for each in found} <= {
        (200, None), (404, "not_found"), (422, "invalid_cursor"), (422, "id_taken"),
    }  # fmt: skip
