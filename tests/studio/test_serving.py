"""What the studio's own server lets through, what it serves, and what the API has of it by itself."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api.main import make_app
from common.settings import WrongSettings
from examples.studio.server import COOKIE, POLICY, Sessions, make_studio
from tests.conftest import environment
from tests.support import almost

STUDIO = Path(__file__).parents[2] / "examples" / "studio"
ID = "0198c0de-0000-7000-8000-000000000000"


class FarApi:
    """An API that answers everything and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, str]] = []
        far = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                far.asked.append((self.command, self.path, self.headers["headrace-account"], body))
                assert self.headers["authorization"] == "Bearer service"
                assert self.headers["cookie"] is None, "the person's cookie is the studio's alone"
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("set-cookie", "not=ours")
                self.end_headers()
                self.wfile.write(b'{"token": "hrt_x"}')

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def far() -> Iterator[FarApi]:
    made = FarApi()
    yield made
    made.close()


def built(folder: Path) -> Path:
    """A page as vite leaves it, and something beside it that is nobody's."""
    dist = folder / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>page</title>")
    (dist / "assets" / "index-a1.js").write_text("1;" * 2000)
    (folder / "secret.txt").write_text("secret")
    (dist / "link.txt").symlink_to(folder / "secret.txt")
    return dist


@contextmanager
def served(far_url: str, folder: Path) -> Iterator[TestClient]:
    made = make_studio({"STUDIO_API": far_url, "STUDIO_KEY": "service"}, built(folder))
    with TestClient(Starlette(routes=[]), base_url="http://studio.example") as client:
        client.app.mount("/studio", made)  # type: ignore[attr-defined]  # as the API does
        yield client


@pytest.fixture
def client(far: FarApi, tmp_path: Path) -> Iterator[TestClient]:
    with served(far.url, tmp_path) as made:
        yield made


def signed_in(client: TestClient) -> TestClient:
    assert client.post("/studio/api/session", json={"email": " Mara@Millpond.example "}).json() == {
        "email": "mara@millpond.example"
    }
    return client


def test_the_page_is_served_at_every_address_of_its_own_and_kept_as_long_as_it_may_be(client: TestClient) -> None:
    for path in ("/studio/", "/studio/gallery", f"/studio/collections/{ID}"):
        page = client.get(path)
        assert (page.status_code, "page" in page.text, page.headers["cache-control"]) == (200, True, "no-cache")
        assert page.headers["content-security-policy"] == POLICY
    script = client.get("/studio/assets/index-a1.js", headers={"accept-encoding": "gzip"})
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-encoding"] == "gzip"
    assert client.get("/studio/", headers={"if-none-match": client.get("/studio/").headers["etag"]}).status_code == 304
    assert client.get("/studio/assets/gone-b2.js").status_code == 404
    assert client.get("/studio/missing.png").status_code == 404
    assert client.get("/studio/api/nothing").status_code == 404
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "assets/..%2f..%2fsecret.txt", "assets/%2e%2e/%2e%2e/secret.txt",
        "..%5csecret.txt", "%252e%252e/secret.txt", "/secret.txt", "//etc/passwd", "link.txt", "assets/../../secret.txt", "%00", "a%00.js",
    ],
)  # fmt: skip
def test_nothing_beside_the_page_is_served(client: TestClient, path: str) -> None:
    answer = client.get(f"/studio/{path}")
    assert "secret" not in answer.text
    assert "root:" not in answer.text
    assert answer.status_code in {200, 404}
    assert answer.status_code == 404 or "page" in answer.text


def test_a_session_is_sealed_and_ends(client: TestClient) -> None:
    assert client.get("/studio/api/session").json() == {"email": None}
    answer = signed_in(client).get("/studio/api/session")
    assert (answer.json(), answer.headers["cache-control"]) == ({"email": "mara@millpond.example"}, "no-store")
    cookie = client.cookies[COOKIE]
    sessions = Sessions("service")
    assert sessions.open(cookie, now=0) == "mara@millpond.example"
    assert sessions.open(cookie, now=9e9) is None
    assert Sessions("another").open(cookie, now=0) is None
    body = cookie.partition(".")[0]
    for forged in ("", ".", body, f"{body}.", almost(cookie), f"x{cookie}", "é.é"):
        assert sessions.open(forged, now=0) is None
    client.delete("/studio/api/session")
    assert client.get("/studio/api/session").json() == {"email": None}


def test_a_cookie_is_kept_from_scripts_and_other_sites(client: TestClient) -> None:
    header = client.post("/studio/api/session", json={"email": "a@b.example"}).headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/studio"} <= set(re.split(r";\s*", header))


@pytest.mark.parametrize(
    "email",
    ["", "mara", "a@b", "a@b.c,d@e.f", "a b@c.example", "clerk:user@x.example", "a@" + "b" * 200 + ".example", None, 5],
)
def test_what_is_no_address_does_not_come_in(client: TestClient, far: FarApi, email: Any) -> None:
    answer = client.post("/studio/api/session", json={"email": email})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_address")
    assert far.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"email": ["a@b.example"]}'])
def test_what_is_no_sign_in_is_refused_as_one(client: TestClient, body: bytes) -> None:
    assert client.post("/studio/api/session", content=body).status_code == 422


def test_tokens_and_what_is_passed_on_are_for_who_has_signed_in(client: TestClient, far: FarApi) -> None:
    for method, path in (("POST", "token"), ("GET", "v1/images"), ("POST", f"v1/jobs/{ID}/retry")):
        assert client.request(method, f"/studio/api/{path}").status_code == 401
    assert far.asked == []
    signed_in(client)
    assert client.post("/studio/api/token").json() == {"token": "hrt_x"}
    answer = client.get("/studio/api/v1/search/images?q=a%26b&limit=5")
    assert (answer.headers["cache-control"], "set-cookie" in answer.headers) == ("no-store", False)
    assert {who for _, _, who, _ in far.asked} == {"email:mara@millpond.example"}
    assert [path for _, path, _, _ in far.asked] == ["/v1/me", "/v1/tokens", "/v1/search/images?q=a%26b&limit=5"]
    assert json.loads(far.asked[1][3]) == {"may": ["read", "stream", "generate"], "credits": 1000, "seconds": 900}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "v1/me"), ("POST", "v1/keys"), ("GET", "v1/admin/accounts"), ("POST", "v1/tokens"), ("POST", "v1/jobs"), ("DELETE", "v1/payments"),
        ("POST", f"v1/jobs/{ID}/retry/x"), ("POST", f"v1/jobs/{ID}%2f..%2f..%2fkeys/retry"), ("GET", "v1/images/../keys"), ("GET", "v1/images%3fx"),
        ("GET", "v1//images"), ("DELETE", "v1/collections"),
    ],
)  # fmt: skip
def test_nothing_else_is_passed_on(client: TestClient, far: FarApi, method: str, path: str) -> None:
    signed_in(client)
    assert client.request(method, f"/studio/api/{path}").status_code in {404, 405}
    assert [asked[1] for asked in far.asked] == ["/v1/me"]


def test_other_sites_pages_send_nothing_with_the_cookie(client: TestClient, far: FarApi) -> None:
    signed_in(client)
    for site in ("cross-site", "same-site", "none"):
        answer = client.post("/studio/api/token", headers={"sec-fetch-site": site})
        assert (answer.status_code, answer.json()["code"]) == (403, "other_site")
    assert client.post("/studio/api/token", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_an_api_that_is_away_is_said_so(tmp_path: Path) -> None:
    with served("http://127.0.0.1:9", tmp_path) as client:
        answer = client.post("/studio/api/session", json={"email": "a@b.example"})
        assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "unavailable", True)


def test_it_is_not_for_production() -> None:
    with pytest.raises(RuntimeError, match="not for production"):
        make_studio({"ENVIRONMENT": "production", "STUDIO_API": "http://x", "STUDIO_KEY": "k"})


def small_app() -> Starlette:
    """A product's application that STUDIO_APP names below."""
    return make_studio({"STUDIO_API": "http://127.0.0.1:9", "STUDIO_KEY": "k"}, Path(__file__).parent / "none")


def test_the_api_has_a_studio_only_where_a_setting_names_one() -> None:
    assert TestClient(make_app()).get("/studio/api/session").status_code == 404
    with environment({"STUDIO_APP": "tests.studio.test_serving:small_app"}):
        answer = TestClient(make_app()).get("/studio/api/session")
    assert (answer.status_code, answer.json()) == (200, {"email": None})
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_its_packages_are_pinned_and_no_registry_is_named() -> None:
    lock = json.loads((STUDIO / "package-lock.json").read_text())["packages"]
    wanted = json.loads((STUDIO / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in each and "resolved" not in each for name, each in lock.items() if name)


@pytest.mark.parametrize(
    "name", ["nowhere.at_all:make", "examples.studio.server:nothing", "examples.studio.server:COOKIE", "no name"]
)
def test_a_studio_that_is_not_there_is_said_in_one_sentence(name: str) -> None:
    with (
        environment({"STUDIO_APP": name}),
        pytest.raises(WrongSettings, match="STUDIO_APP names nothing that can be called"),
    ):
        make_app()
