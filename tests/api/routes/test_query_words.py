"""A filter that is misspelled is refused, and so is a value that it does not have: asked of every route of the document."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from api.main import make_app
from api.routes.query_words import CHECKED, MAX_NAME_SHOWN, PREFIX, refuse_unknown
from common.errors import InvalidParameter
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from tests import documents
from tests.conftest import environment
from tests.support import account

PATHS: dict[str, dict[str, Any]] = documents.openapi()["paths"]
ROUTES = [
    (method, path, [each for each in operation.get("parameters", []) if each["in"] == "query"])
    for path, operations in PATHS.items()
    for method, operation in operations.items()
    if path.startswith(PREFIX) and method.upper() in CHECKED
]
# What has one of a few values, or one of a form; what else there is is a text of the client's own.
CLOSED = ("enum", "format", "minimum", "maximum")
NEEDED = {"q": "word", "name": "customer", "value": "acme"}  # what is asked for without a default


def forms(parameter: dict[str, Any]) -> list[dict[str, Any]]:
    schema = parameter["schema"]
    return [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]


def is_closed(parameter: dict[str, Any]) -> bool:
    return any(each["type"] == "boolean" or set(CLOSED) & each.keys() for each in forms(parameter))


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    who = account(plan="studio")
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [who])
        key = api_keys.create(conn, who, api_keys.NewKey("asks", scopes=SCOPES))[1]
    with environment({"FAILED_AUTH_PER_MINUTE": "100000"}), TestClient(make_app()) as client:
        client.headers["authorization"] = f"Bearer {key}"
        yield client


def words_of(path: str, method: str) -> set[str]:
    return {each["name"] for each in PATHS[path][method].get("parameters", []) if each["in"] == "query"}


def filled(path: str) -> str:
    """An address of a path: any id will do."""
    return re.sub(r"\{\w+\}", str(uuid4()), path)


def asked(http: TestClient, method: str, path: str, given: dict[str, str]) -> dict[str, Any]:
    answer = http.request(method, filled(path), params=given)
    assert answer.status_code in {400, 422}, (method, path, answer.text[:500])
    body: dict[str, Any] = answer.json()
    return body


def test_a_word_that_a_route_does_not_know_is_refused_by_every_route_with_those_that_it_knows(http: TestClient) -> None:
    assert len(ROUTES) > 90
    for method, path, parameters in ROUTES:
        words = sorted(each["name"] for each in parameters)
        needed = {name: value for name, value in NEEDED.items() if name in words}
        body = asked(http, method, path, {**needed, "stauts": "queued"})
        assert (body["param"], body["code"]) == ("stauts", "invalid_request")
        assert (", ".join(words) or "none") in body["detail"]
        assert ("did you mean status?" in body["detail"]) == ("status" in words)


def test_a_value_that_a_filter_does_not_have_is_refused_by_every_route_with_those_that_it_has(http: TestClient) -> None:
    closed = [(*route[:2], each, route[2]) for route in ROUTES for each in route[2] if is_closed(each)]
    assert len(closed) > 70
    for method, path, parameter, all_of_it in closed:
        needed = {each["name"]: NEEDED[each["name"]] for each in all_of_it if each["name"] in NEEDED}
        body = asked(http, method, path, {**needed, parameter["name"]: "nonsense"})
        assert body["param"] == parameter["name"], (method, path, body)
        for form in forms(parameter):
            assert [value for value in form.get("enum", []) if f"'{value}'" not in body["detail"]] == [], (path, body)


def test_a_stranger_is_not_told_what_there_is(http: TestClient) -> None:
    del http.headers["authorization"]
    for method, path, _ in ROUTES:
        if "x-scope" in PATHS[path][method] and "token" not in words_of(path, method):
            answer = http.request(method, filled(path), params={"stauts": "queued", "token": "st_x"})
            assert answer.status_code == 401, (path, answer.text)


def test_filters_that_sound_like_a_choice_have_one() -> None:
    choices = {"status", "state", "kind", "order", "of", "section", "level", "format"}
    free = {
        (path, each["name"])
        for _, path, parameters in ROUTES
        for each in parameters
        if each["name"] in choices and not any("enum" in form for form in forms(each))
    }
    assert free == set()


def test_a_page_for_people_takes_what_others_have_added_to_its_address(http: TestClient) -> None:
    assert http.get("/healthz", params={"utm_source": "letter"}).status_code == 200


def test_a_word_is_named_with_its_length_where_it_is_long() -> None:
    request = Request({"type": "http", "query_string": b"x" * 5000 + b"=1"})
    refuse_unknown(request, None)
    with pytest.raises(InvalidParameter) as refused:
        refuse_unknown(request, ["limit"])
    assert refused.value.param == "x" * MAX_NAME_SHOWN
    assert "… (5000 characters)" in refused.value.detail
    assert len(refused.value.detail) < 150
