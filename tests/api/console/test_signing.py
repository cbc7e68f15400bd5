"""Who comes in to the console, for how long, and what a stranger sees of it."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.console.site import CONSOLE_SITE
from api.main import PUBLIC, make_app, needs_of
from api.sites import sessions
from api.sites.rendering import POLICY
from models.access import api_keys
from models.access.audit_log import By
from models.access.scopes import Role
from models.accounts import accounts, standing
from models.db import transaction
from tests.api.auth.issuer import Issuer
from tests.api.console.house import console, operator, send, sign_in, token_in
from tests.conftest import environment
from tests.support import account, key_of, one, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PAGES = sorted(
    (path, method) for path, method, need in needs_of(make_app()) if path.startswith("/console") and need != PUBLIC
)


@pytest.fixture
def http() -> Iterator[TestClient]:
    with environment({"FAILED_AUTH_PER_MINUTE": "100"}), console() as client:
        yield client


def filled(path: str) -> str:
    return path.replace("{rest:path}", "nothing").replace("{", "").replace("}", "")


def test_an_admin_key_opens_a_session_and_signing_out_ends_it(http: TestClient) -> None:
    who, secret = operator()
    came = sign_in(http, secret, next="/jobs?status=failed")
    assert (came.status_code, came.headers["location"]) == (303, "/console/jobs?status=failed")
    cookie = came.headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=strict", "Path=/console"):
        assert word in cookie
    assert secret not in cookie
    page = http.get("/console/jobs")
    assert (page.status_code, page.headers["content-security-policy"]) == (200, POLICY)
    assert page.headers["cache-control"] == "no-store"
    assert "mara@example.com" in page.text
    assert secret not in page.text
    out = send(http, "/console/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/console/sign-in")
    assert http.get("/console/jobs").headers["location"] == "/console/sign-in?next=%2Fjobs"
    user, key = one(
        "select u.id, k.id from users u join accounts a on a.user_id = u.id join api_keys k on k.account_id = a.id where a.id = %s",
        who,
    )
    assert rows("select action, actor, key_id, subject, address from acts order by id") == [
        ("console.sign_in", str(user), key, str(user), "testclient"), ("console.sign_out", str(user), key, str(user), "testclient"),
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "method"), PAGES)
def test_who_has_not_signed_in_is_led_to_the_sign_in(http: TestClient, path: str, method: str) -> None:
    answer = http.request(method, filled(path))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in")
    assert answer.text == ""


@pytest.mark.parametrize(("path", "method"), [each for each in PAGES if each[1] == "post"])
def test_a_form_without_its_sessions_token_changes_nothing(http: TestClient, path: str, method: str) -> None:
    sign_in(http, operator()[1])
    before = one("select count(*) from acts")
    with console() as other:
        sign_in(other, operator()[1])
        foreign = token_in(other.get("/console/jobs"))
    mine = sessions.form_token(CONSOLE_SITE, b"x" * 16)
    for token in ("", "x", foreign, mine, token_in(http.get("/console/jobs"))[:-1], "\u00e9" * 60):
        answer = http.request(method, filled(path), data={"form_token": token, "amount": "5", "reason": "why"})
        assert (answer.status_code, "You may not do this" in answer.text) == (403, True), answer.text
    assert one("select count(*) from acts where action not like 'console.%%'") == (0,)
    assert one("select count(*) from acts")[0] == before[0] + 1


@pytest.mark.parametrize("what", ["revoked", "demoted", "suspended", "banned", "deleted", "expired"])
def test_a_session_ends_at_once_with_what_it_rests_on(http: TestClient, what: str) -> None:
    who, secret = operator()
    sign_in(http, secret)
    assert http.get("/console/jobs").status_code == 200
    with transaction() as conn:
        user = accounts.user_of_account(conn, who).id
        match what:
            case "revoked":
                key = conn.execute("select id from api_keys where account_id = %s", [who]).fetchone()
                assert key is not None
                api_keys.revoke(conn, key[0])
            case "demoted":
                accounts.change_role(conn, By("test"), user, "pro")
            case "suspended":
                standing.suspend(conn, By("test"), user, "why")
            case "banned":
                conn.execute("update users set banned = true where id = %s", [user])
            case "deleted":
                conn.execute("update users set deleted_at = app_now() where id = %s", [user])
            case _:
                conn.execute("update api_keys set expires_at = app_now()")
    assert http.get("/console/jobs").headers["location"].startswith("/console/sign-in")
    assert "headrace_console" not in http.cookies


def test_only_keys_with_the_scope_and_the_role_come_in(http: TestClient) -> None:
    who, _ = operator()
    with transaction() as conn:
        reads = api_keys.create(conn, who, api_keys.NewKey("reads", scopes=("read", "write")))[1]
    customer = account()
    with transaction() as conn:
        claims = api_keys.create(conn, customer, api_keys.NewKey("claims", scopes=("read", "admin")))[1]
    for secret, status in (
        (reads, 403),
        (claims, 403),
        (key_of(customer), 403),
        (api_keys.make_secret(), 401),
        ("x", 401),
        ("", 401),
        ("é\U0001f600" * 1000, 401),
        ("é\U0001f600" * 5000, 413),
    ):
        answer = sign_in(http, secret)
        assert answer.status_code == status, secret[:20]
        assert status == 413 or 'role="alert"' in answer.text
        assert "headrace_console" not in http.cookies
        if secret:
            assert f'value="{secret[:20]}' not in answer.text
    assert one("select count(*) from acts") == (0,)


def test_a_person_comes_in_by_a_token_as_long_as_they_are_an_admin(http: TestClient) -> None:
    with Issuer() as issuer, environment({"OIDC_ISSUERS": issuer.url, "KEY_CACHE_SECONDS": "0"}), console() as site:
        assert sign_in(site, issuer.token("boss")).status_code == 403
        set_role("admin")
        assert sign_in(site, issuer.token("boss")[:-3]).status_code == 401
        assert sign_in(site, issuer.token("boss")).status_code == 303
        assert site.get("/console/jobs").status_code == 200
        assert rows("select action, key_id from acts where action like 'console.%%'") == [("console.sign_in", None)]
        set_role("pro")
        assert site.get("/console/jobs").status_code == 303


def set_role(role: Role) -> None:
    with transaction() as conn:
        accounts.change_role(conn, By("test"), one("select id from users where subject = 'boss'")[0], role)


def test_guessing_is_slowed_down_for_its_address() -> None:
    with environment({"FAILED_AUTH_PER_MINUTE": "3"}), console() as http:
        found = [sign_in(http, api_keys.make_secret()).status_code for _ in range(5)]
        assert found[:3] == [401, 401, 401]
        assert found[-1] == 429


def test_a_sign_in_from_elsewhere_is_refused_and_nobody_is_led_away(http: TestClient) -> None:
    _, secret = operator()
    with console() as other:
        stolen = token_in(other.get("/console/sign-in"))
    assert http.post("/console/sign-in", data={"form_token": stolen, "secret": secret}).status_code == 403
    http.get("/console/sign-in")
    assert http.post("/console/sign-in", data={"form_token": stolen, "secret": secret}).status_code == 403
    assert http.post("/console/sign-in", json={"secret": secret}).status_code == 400
    for elsewhere in (
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        "/\n/evil.example",
        "\u202e",
        "/" + "x" * 3000,
    ):
        came = sign_in(http, secret, next=elsewhere)
        assert (came.status_code, came.headers["location"]) == (303, "/console"), elsewhere
        http.cookies.clear()


def test_a_session_lasts_an_hour_after_its_last_page_and_twelve_in_all() -> None:
    begun = sessions.begin_session(UUID(int=7), None, 1000.4)
    assert sessions.read_session(CONSOLE_SITE, sessions.session_token(CONSOLE_SITE, begun), 1000 + 3599) == begun
    assert sessions.read_session(CONSOLE_SITE, sessions.session_token(CONSOLE_SITE, begun), 1000 + 3600) is None
    assert sessions.renewed(begun, 1000 + 299) is None
    later = sessions.renewed(begun, 1000 + 300)
    assert later is not None
    assert (later.ends_at, later.number, later.began_at) == (1000 + 3900, begun.number, 1000)
    last = begun._replace(ends_at=1000 + 43_000)
    kept = sessions.renewed(last, 1000 + 42_990)
    assert kept is None or kept.ends_at <= 1000 + 43_200
    assert sessions.renewed(begun._replace(ends_at=1000 + 43_200), 1000 + 43_100) is None
    for made_up in (
        "",
        "x",
        sessions.session_token(CONSOLE_SITE, begun)[:-1],
        sessions.form_token(CONSOLE_SITE, b"x" * 16),
        "é",
        "A" * 128,
    ):
        assert sessions.read_session(CONSOLE_SITE, made_up, 1000) is None


def test_the_theme_is_a_choice_that_stays(http: TestClient) -> None:
    sign_in(http, operator()[1])
    assert "data-theme" not in http.get("/console/jobs").text.split("<body")[0]
    there = send(http, "/console/theme", theme="dark", here="/jobs?status=failed")
    assert (there.status_code, there.headers["location"]) == (303, "/console/jobs?status=failed")
    assert '<html lang="en" data-theme="dark">' in http.get("/console/jobs").text
    assert send(http, "/console/theme", theme="dark", here="//evil.example").headers["location"] == "/console"
    http.cookies.set("headrace_console_theme", '"><script>', path="/console")
    assert "<script>" not in http.get("/console/sign-in").text


def test_what_is_no_page_is_a_page_that_says_so(http: TestClient) -> None:
    sign_in(http, operator()[1])
    for path in ("/console/nothing", "/console/jobs/none", f"/console/jobs/{UUID(int=5)}", "/console/%3Cscript%3E"):
        answer = http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is nothing here" in answer.text
        assert answer.headers["x-request-id"] in answer.text
        assert "<script>" not in answer.text
    assert http.get("/console/").headers["location"] == "/console"


def test_files_of_the_pages_are_ours_and_kept(http: TestClient) -> None:
    page = http.get("/console/sign-in").text
    assert "style=" not in page
    assert "<style" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    for name, kind in (("console.js", "text/javascript"), ("tokens.css", "text/css"), ("icons.svg", "image/svg+xml")):
        assert f"/console/static/{name}?v=" in page or name == "icons.svg"
        file = http.get(f"/console/static/{name}")
        assert (file.status_code, file.headers["content-type"].split(";")[0]) == (200, kind)
        assert "immutable" in file.headers["cache-control"]
    for name in ("../rendering.py", "..%2frendering.py", "nothing.js"):
        assert http.get(f"/console/static/{name}").status_code in {303, 404}
