"""Parts that are switched off: 404 on each of their routes, whoever asks and whatever they send, and on no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.features import PARTS, part_of
from api.main import make_app, needs_of
from api.services import services
from common.features import FEATURES, Feature
from models import db
from models.catalogue import entries, switches
from models.db import transaction
from tests.models.content.desk import head_of, shown
from tests.support import eventually

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ROUTES = sorted({(path, method) for path, method, _ in needs_of(make_app()) if method != "head"})


def switched(*on: Feature) -> None:
    with transaction() as conn:
        switches.switch(conn, on)


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def is_off(http: TestClient, path: str, method: str) -> bool:
    address = re.sub(r"\{\w+(:path)?\}", str(uuid4()), path)
    answer = http.request(method, address, **({} if method in {"get", "delete"} else {"json": {}}))
    said = answer.headers["content-type"].endswith("json") and answer.json().get("code") == "feature_off"
    assert not said or answer.status_code == 404
    return bool(said)


def test_each_part_that_has_paths_has_routes_and_each_route_of_a_part_is_known() -> None:
    assert set(PARTS.values()) <= set(FEATURES)
    of_parts = {path: part_of(path) for path, _ in ROUTES if part_of(path)}
    assert set(of_parts.values()) == set(PARTS.values())
    assert [prefix for prefix in PARTS if not any(path.startswith(prefix) for path in of_parts)] == []


def test_a_part_that_is_off_answers_404_on_every_route_of_its_own_and_on_no_other(http: TestClient) -> None:
    for turn, feature in enumerate(dict.fromkeys(PARTS.values())):
        switched(*(each for each in FEATURES if each != feature))
        services(http.app).catalogue.load()
        others = [each for each in ROUTES if part_of(each[0]) != feature]
        # All of its own; of the others each at one turn.
        for path, method in [*(set(ROUTES) - set(others)), *others[turn :: len(set(PARTS.values()))]]:
            assert is_off(http, path, method) == (part_of(path) == feature), f"{method} {path}"


def test_nobody_is_looked_up_for_what_is_off(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    row, head = shown(), head_of("admin")
    switched()
    services(http.app).catalogue.load()

    def away(*_args: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(db, "pool", away)
    for path in (
        f"/v1/content/articles/{row.slug}",
        "/v1/content/desk/articles",
        "/v1/content",
        "/v1/content/",
        "/v1/content/x",
    ):
        for headers in (None, head, {"authorization": "Bearer hr_wrong"}):
            answer = http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"], answer.json()["feature"]) == (
                404,
                "feature_off",
                "content",
            )
            assert answer.headers["x-request-id"]
            assert answer.headers["cache-control"] == "no-store"
    assert http.post("/v1/content/desk/articles", content=b"{" * 1000).json()["code"] == "feature_off"


@pytest.mark.parametrize(("path", "feature"), [
    ("/v1/content", "content"), ("/v1/content/", "content"), ("/v1/content/articles", "content"), ("/v1/contents", None), ("/v1/conten", None),
    ("/V1/content", None), ("/v1//content", None), ("", None),
])  # fmt: skip
def test_a_path_belongs_to_a_part_by_whole_segments(path: str, feature: Feature | None) -> None:
    assert part_of(path) == feature


def test_a_process_that_runs_sees_the_switch_by_itself(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.settings import settings

    monkeypatch.setenv("CATALOGUE_REFRESH_SECONDS", "0.05")
    settings.cache_clear()
    with TestClient(make_app()) as http:
        assert http.get("/v1/content/articles").status_code == 200
        switched("gallery")
        eventually(lambda: http.get("/v1/content/articles").status_code == 404, what="off")
        switched(*FEATURES)
        eventually(lambda: http.get("/v1/content/articles").status_code == 200, what="on")


def test_the_document_lists_routes_of_parts_that_are_off(http: TestClient) -> None:
    before = http.get("/openapi.json").json()["paths"]
    switched()
    services(http.app).catalogue.load()
    assert http.get("/openapi.json").json()["paths"] == before
    assert "/v1/content/articles" in before


def test_all_are_on_until_a_file_says_which(tmp_path: Path) -> None:
    with transaction() as conn:
        assert switches.features_on(conn) == set(FEATURES)
        assert entries.read_file(entries.STANDARD_FILE).features is None
        assert switches.switch(conn, None) == {}
        assert switches.switch(conn, ("content",)) == {each: "off" for each in FEATURES if each != "content"}
        assert switches.switch(conn, None) == {}, "a file that does not say leaves them"
        conn.execute("update features set names = names || '{newer}'")
        assert switches.features_on(conn) == {"content"}, "what only a newer release knows is none of ours"
