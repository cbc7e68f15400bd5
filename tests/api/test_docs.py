"""The documentation's pages load nothing from elsewhere, redirects lead to PUBLIC_URL, and a 500 has every header."""

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api import docs
from api.edge.request_limits import DOCS_PATHS
from api.main import make_app
from examples import browser
from examples.browser import Page
from tests import documents
from tests.conftest import environment
from tests.support import System

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PUBLIC = "https://api.example.com"
ORIGIN = "https://app.example.com"


@pytest.fixture
def http() -> Iterator[TestClient]:
    with environment({"PUBLIC_URL": PUBLIC, "CORS_ORIGINS": ORIGIN}):
        app = make_app()

        async def broken(_request: Any) -> None:
            raise RuntimeError("sk-marked-secret and a path")

        app.add_route("/v1/broken", broken)
        app.add_route("/broken", broken)
        with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
            yield client


def test_the_document_is_not_made_while_somebody_waits(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.app, "openapi", lambda: pytest.fail("four seconds in which nobody else has an answer"))
    docs._document.cache_clear()
    assert http.get("/openapi.json").json() == documents.openapi()


@pytest.mark.parametrize("path", ["/v1/broken", "/broken"])
def test_an_unexpected_error_carries_the_headers_of_every_other_answer(http: TestClient, path: str) -> None:
    origin = {"origin": ORIGIN}
    good, bad = http.get("/v1/models", headers=origin), http.get(path, headers=origin)
    assert (bad.status_code, bad.json()["code"]) == (500, "internal_error")
    assert "marked" not in bad.text
    assert bad.json()["request_id"] == bad.headers["x-request-id"]
    expected = set(good.headers) - ({"cache-control"} if path == "/broken" else set())
    assert expected <= set(bad.headers) | {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}
    for name in ("x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy",
                 "strict-transport-security", "access-control-allow-origin", "access-control-expose-headers"):  # fmt: skip
        assert bad.headers[name] == good.headers[name]


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:81", "api.example.com", "127.0.0.1:8000", "", "a b.example", "[::1", "x@evil.example",
])  # fmt: skip
def test_a_redirect_leads_to_the_public_address_whatever_host_was_asked_for(http: TestClient, host: str) -> None:
    for path in ("/v1/jobs/?limit=3", "/healthz/", "/docs/", "/redoc/", "/v1/plans/", "/v1/files/"):
        answer = http.get(path, headers={"host": host, "x-forwarded-host": "evil.example"})
        assert answer.status_code in {307, 308}
        place = answer.headers["location"]
        assert place.startswith(f"{PUBLIC}/")
        assert "evil" not in place
        if host in {"evil.example", "evil.example:81", "127.0.0.1:8000"}:
            assert place == PUBLIC + path.replace("/?", "?").rstrip("/")


def test_a_redirect_does_not_leave_for_a_path_that_looks_like_a_host(http: TestClient) -> None:
    for path in ("//evil.example/", "//evil.example/%2e%2e/", "/\\evil.example/"):
        place = http.get(path).headers.get("location", f"{PUBLIC}/")
        assert place.startswith(f"{PUBLIC}/")


@pytest.mark.parametrize("path", DOCS_PATHS)
def test_the_pages_have_a_policy_that_allows_only_their_own_files(http: TestClient, path: str) -> None:
    page = http.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy.replace("'self'", "")
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page.text)
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page.text)
    for name in re.findall(r'(?:src|href)="docs/([^"]+)"', page.text):
        file = http.get(f"/docs/{name}")
        assert file.status_code == 200
        assert len(file.content) > 100
        assert docs.MAKERS_LOGO not in file.content
        assert file.headers["x-content-type-options"] == "nosniff"
    assert http.head(path).status_code == 200


@pytest.mark.parametrize("name", ["README.md", "..%2fdocs.py", "%2e%2e/main.py", "LICENSE.redoc", "nothing.js", ""])
def test_no_other_file_is_served(http: TestClient, name: str) -> None:
    assert http.get(f"/docs/{name}").status_code in {404, 307}


def test_the_files_are_those_of_the_packages_that_they_are_said_to_be_from() -> None:
    said = dict(re.findall(r"\| `([\w.-]+)` \|.*`([0-9a-f]{64})` \|", (docs.FOLDER / "README.md").read_text()))
    assert {*said, "start.js", "pages.css"} == set(docs.FILES)
    assert {name: hashlib.sha256((docs.FOLDER / name).read_bytes()).hexdigest() for name in said} == said


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium on this machine: make tools")
def test_a_browser_shows_the_pages_and_asks_no_other_server(system: System, tmp_path: Path) -> None:
    system.start("api")
    with browser.browser(tmp_path) as page:
        page.resize(1280, 4000)  # Swagger draws what is in the window
        for path, shown in (("/docs", "#swagger-ui .opblock-summary-path"), ("/redoc", "redoc [data-section-id]")):
            page.go(system.url + path)
            _until(page, f"document.querySelectorAll({shown!r}).length > 10")
            asked = page.run("performance.getEntriesByType('resource').map((each) => each.name)")
            assert f"{system.url}/openapi.json" in asked
            assert {each.startswith((system.url + "/", "data:", "blob:")) for each in asked} == {True}, asked
            assert "/v1/jobs" in page.run("document.body.innerText")


def _until(page: Page, expression: str) -> None:
    end = time.monotonic() + 30
    while not page.run(expression):
        assert time.monotonic() < end, page.run("document.body.innerHTML.slice(0, 2000)")
        time.sleep(0.1)
