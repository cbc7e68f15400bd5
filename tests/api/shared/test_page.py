"""The page of a shared collection: what is on it, for whom, and what never is."""

import json
import re
import threading
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from api.services import services
from api.shared import looks, page
from examples import browser
from models.db import transaction
from models.gallery import collections, links
from storage.s3 import storage
from tests.conftest import environment
from tests.files import picture
from tests.models.gallery.things import collection, indexed, publish, result, somebody
from tests.models.hands import change
from tests.support import System, account, key_of, one

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PUBLIC = "https://media.example.com"


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with environment({"PUBLIC_URL": PUBLIC, "FAILED_AUTH_PER_MINUTE": "6"}):
        with TestClient(make_app(), base_url=PUBLIC, raise_server_exceptions=False, follow_redirects=False) as client:
            yield client


def shared(
    who: UUID, *item_ids: UUID, name: str = "Harbours before six", description: str = "", **link: Any
) -> tuple[UUID, str]:
    """A collection with these items, and the path of a link to it."""
    made = collection(who, *item_ids, name=name, description=description)
    with transaction() as conn:
        return made.id, "/shared/" + links.create(conn, who, made.id, **link)[1]


def seen(html: str) -> list[str]:
    """The descriptions of the pieces on a page, in order."""
    return re.findall(r'<section class="one" id="p\d+" aria-label="([^"]*)"', html)


def test_a_page_shows_what_is_shared_in_its_order_with_all_that_its_link_needs(http: TestClient) -> None:
    who = somebody()
    change("update users set first_name = 'Ines', last_name = 'Marchetti'")
    first, second = result(who, "a harbour"), result(who, "two boats", media="video/mp4")
    _, path = shared(who, second, first, description="Small ports")
    answer = http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    html = answer.text
    assert seen(html) == ["two boats", "a harbour"]
    assert '<meta property="og:title" content="Harbours before six">' in html
    assert '<meta property="og:description" content="Small ports">' in html
    found = re.search(r'property="og:image" content="([^"]*)"', html)
    assert found is not None
    assert found[1].startswith(f"{PUBLIC}/files/")
    assert "Ines Marchetti" in html
    assert ">IM<" in html
    assert "2 pieces" in html
    assert "<script" not in html
    assert "style=" not in html
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "script" not in policy
    assert policy.startswith("default-src 'none'")
    assert answer.headers["referrer-policy"] == "no-referrer"
    style = http.get("/shared/static/shared.css")
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "max-age=3600" in style.headers["cache-control"]
    assert "--accent:" in style.text, "the values that its parts are drawn with"
    assert ".pub-top" in style.text


def test_what_was_made_private_since_has_expired_or_was_removed_is_not_on_it(http: TestClient) -> None:
    who = somebody()
    kept, hidden, expired, back = (result(who, f"picture {n}") for n in range(4))
    made, path = shared(who, hidden, expired, kept, back)
    assert len(seen(http.get(path).text)) == 4
    publish(who, hidden, on=False)
    publish(who, back)
    change("update assets set expires_at = app_now() where id = %s", expired)
    html = http.get(path).text
    assert seen(html) == ["picture 0", "picture 3"]
    assert "picture 1" not in html
    assert str(page.looks.token_of(hidden)) not in html
    with transaction() as conn:
        collections.delete(conn, who, made)
    assert http.get(path).status_code == 404


@pytest.mark.parametrize("what", ["revoked", "expired", "banned", "suspended", "deleted"])
def test_a_link_that_has_ended_is_a_page_that_says_so(http: TestClient, what: str) -> None:
    who = somebody()
    made, path = shared(who, result(who, "a secret harbour"))
    assert http.get(path).status_code == 200
    if what == "revoked":
        with transaction() as conn:
            links.revoke(conn, who, made, one("select id from share_links")[0])
    elif what == "expired":
        change("update share_links set expires_at = app_now()")
    else:
        change({
            "banned": "update users set banned = true", "suspended": "update users set suspended_at = app_now()",
            "deleted": "update users set deleted_at = app_now()",
        }[what])  # fmt: skip
    answer = http.get(path)
    assert answer.status_code == 410
    assert "not shared any more" in answer.text
    assert "harbour" not in answer.text
    assert (answer.headers["cache-control"], answer.headers["content-type"]) == ("no-store", "text/html; charset=utf-8")


@pytest.mark.parametrize("token", ["x", "a" * 32, "a" * 5000, "%00", "..%2f..", "<script>", "é" * 32])
def test_a_link_that_there_never_was_is_a_page_that_says_so(http: TestClient, token: str) -> None:
    answer = http.get(f"/shared/{token}")
    assert answer.status_code in {404, 422}
    assert "<script" not in answer.text


def test_a_password_is_asked_for_and_nothing_is_told_before(http: TestClient) -> None:
    who = somebody()
    _, path = shared(who, result(who, "a harbour"), password="open sesame", name="My secret")
    form = http.get(path)
    assert form.status_code == 200
    assert 'type="password"' in form.text
    assert "My secret" not in form.text
    assert "og:" not in form.text
    wrong = http.post(path, data={"password": "sesame"})
    assert (wrong.status_code, "not the password" in wrong.text, "set-cookie" in wrong.headers) == (403, True, False)
    right = http.post(path, data={"password": "open sesame"})
    assert (right.status_code, right.headers["location"]) == (303, PUBLIC + path)
    cookie = right.headers["set-cookie"].lower()
    for word in ("httponly", "secure", "samesite=lax", f"path={path.lower()}", "max-age=3600"):
        assert word in cookie, cookie
    inside = http.get(path)
    assert "My secret" in inside.text
    assert "og:" not in inside.text
    _, other = shared(who, password="another")
    value = http.cookies["headrace_shared"]
    http.cookies.clear()
    assert 'type="password"' in http.get(other, headers={"cookie": f"headrace_shared={value}"}).text
    for bad in ("", "x", value[:40] + value[41:] + "x", value[::-1]):
        assert 'type="password"' in http.get(path, headers={"cookie": f"headrace_shared={bad}"}).text


def test_a_cookie_is_over_after_an_hour(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    who = somebody()
    _, path = shared(who, password="open sesame", name="My secret")
    http.post(path, data={"password": "open sesame"})
    assert "My secret" in http.get(path).text
    now = page.time.time()
    monkeypatch.setattr(page.time, "time", lambda: now + 3601)
    assert "My secret" not in http.get(path).text


@pytest.mark.parametrize("body", [
    {"content": b""}, {"json": {"password": "open sesame"}}, {"data": {"password": "x" * 5000}}, {"files": {"password": b"x"}},
    {"data": {"other": "open sesame"}}, {"content": b"password=%00", "headers": {"content-type": "application/x-www-form-urlencoded"}},
    {"content": b"\xff\xfe=%zz", "headers": {"content-type": "application/x-www-form-urlencoded"}},
])  # fmt: skip
def test_what_is_no_password_opens_nothing(http: TestClient, body: dict[str, Any]) -> None:
    _, path = shared(somebody(), password="open sesame")
    answer = http.post(path, **body)
    assert answer.status_code in {403, 404}, answer.text
    assert "set-cookie" not in answer.headers


def test_passwords_are_not_guessed_for_long_and_who_has_the_link_still_sees_the_form(http: TestClient) -> None:
    _, path = shared(somebody(), password="open sesame")
    answers = [http.post(path, data={"password": f"guess {n}"}) for n in range(8)]
    assert [each.status_code for each in answers] == [403] * 6 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    assert "Too many attempts" in answers[-1].text
    assert http.post(path, data={"password": "open sesame"}).status_code == 429
    assert http.get(path).status_code == 200


def test_views_are_counted_without_a_write_each(http: TestClient) -> None:
    who = somebody()
    made, path = shared(who, result(who))
    for _ in range(3):
        http.get(path)
    http.get("/shared/" + "a" * 32)
    assert one("select views from share_links") == (0,)
    services(http.app).views.write()  # type: ignore[arg-type]  # a Starlette, as TestClient holds it
    assert one("select views from share_links") == (3,)
    head = {"authorization": f"Bearer {key_of(who)}"}
    (shown,) = http.get(f"/v1/collections/{made}/links", headers=head).json()["data"]
    assert shown["views"] == 3


def test_views_of_many_processes_add_up() -> None:
    who = somebody()
    shared(who)
    shared(who)
    both = [
        row[0]
        for row in (
            one("select min(id::text)::uuid from share_links"),
            one("select max(id::text)::uuid from share_links"),
        )
    ]
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        with transaction() as conn:
            links.record_views(conn, dict.fromkeys(both if number % 2 else both[::-1], 5))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert one("select sum(views) from share_links") == (80,)


NASTY = [
    "<b>bold</b>", "<script>alert(1)</script>", "<svg onload=alert(1)>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)",
    "</title><script>alert(1)</script>", "</section></main>", "' onmouseover='alert(1)", "{{ 7 * 7 }}{% raw %}", "&lt;script&gt;", "\U0001f98a fox \U0001f468‍\U0001f469‍\U0001f467",
    "שלום <b>עולם</b>", "<!-- -->", "]]>", "\\u003cscript>",
]  # fmt: skip


class Tags(HTMLParser):
    """The tags of a page, and whatever of an attribute could run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name.startswith("on") or (
                name in {"href", "src", "action"} and re.match(r"\s*(javascript|data:text)", value or "", re.IGNORECASE)
            ):
                self.wrong.append(f"{tag} {name}={value}")


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    return parser


def test_whatever_is_in_prompts_titles_and_names_is_only_text(http: TestClient) -> None:
    who = somebody()
    _, path = shared(who, result(who, "plain"), name="plain", description="plain")
    plain = tags(http.get(path).text).tags
    head = {"authorization": f"Bearer {key_of(who)}"}
    change("update users set first_name = '<script>x', last_name = '\"><b>'")
    for text in [*NASTY, "x" * 200]:
        nasty = result(who, text)
        made, path = shared(who, nasty)
        assert http.patch(f"/v1/images/{nasty}", json={"title": text}, headers=head).json()["title"] == text
        body = {"name": text, "description": text}
        assert http.patch(f"/v1/collections/{made}", json=body, headers=head).json()["name"] == text
        page_of_it = http.get(path).text
        found = tags(page_of_it)
        assert found.wrong == []
        # The page of plain words, with its owner's name, and a title above the prompt: no tag comes from a text.
        more = {name: count - plain.get(name, 0) for name, count in found.tags.items() if count != plain.get(name, 0)}
        assert more == {"span": 2, "bdi": 1, "b": 1}, text
        assert looks.shortened(text) in unescape(page_of_it)
    _, path = shared(who, result(who, "ab " * 3333 + "!"))
    assert http.get(path).text.count("ab ") > 3333


@pytest.mark.parametrize("field", ["name", "description"])
@pytest.mark.parametrize(("text", "status"), [
    ("a\0b", 422), ("x" * 10_000, 422), ("a\u202eb", 422), ("\ud800", 422), (" ", None), (7, 422), (None, 422), (["x"], 422),
])  # fmt: skip
def test_what_cannot_be_a_name_is_refused_by_its_field(
    http: TestClient, field: str, text: Any, status: int | None
) -> None:
    who = somebody()
    made = collection(who)
    head = {"authorization": f"Bearer {key_of(who)}", "content-type": "application/json"}
    body = json.dumps({"name": "x", field: text}).encode()
    for answer in (
        http.post("/v1/collections", content=body, headers=head),
        http.patch(f"/v1/collections/{made.id}", content=body, headers=head),
    ):
        expected = status or (422 if field == "name" else 200)
        assert answer.status_code in {expected, 201 if expected == 200 else expected}, answer.text
        if answer.status_code == 422:
            assert answer.json()["param"] in {field, "body"}


def test_a_long_collection_has_several_pages_that_meet_each_piece_once(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE_ITEMS", 2)
    who = somebody()
    ids = [result(who, f"picture {n}") for n in range(5)]
    _, path = shared(who, *ids)
    found, place = list[str](), path
    while True:
        html = http.get(place).text
        found += seen(html)
        more = re.search(r'class="btn" href="([^"]*)">More<', html)
        if more is None:
            break
        place = "/shared/" + more[1].replace("&amp;", "&")
    assert found == [f"picture {n}" for n in range(5)]
    assert http.get(path + "?cursor=nonsense").status_code == 404


def test_large_tiles_show_a_picture_whole_unless_it_is_heavy_and_a_film_has_its_size_before_it_plays(
    http: TestClient,
) -> None:
    who = somebody()
    big, small, film, unmeasured = (
        result(who, "big"), result(who, "small"), result(who, media="video/mp4"), result(who, media="video/mp4"),
    )  # fmt: skip
    change("update assets set width = 1920, height = 1080 where id = %s", film)
    change("update assets set width = null, height = null where id = %s", unmeasured)
    _, path = shared(who, big, small, film, unmeasured)

    def tiles() -> list[tuple[str, bool]]:
        found = re.findall(r'<li(?: class="(\w+)")?><a [^>]*><img src="([^"]*)"', http.get(path).text)
        return [(shape, address.endswith("?thumbnail=1")) for shape, address in found]

    assert tiles() == [("big", False), ("", True), ("wide", True), ("", True)]
    assert re.findall(r'<video src="[^"]*" width="(\d+)" height="(\d+)"', http.get(path).text) == [
        ("1920", "1080"), ("640", "480"),
    ]  # fmt: skip
    change("update assets set size_bytes = %s where id = %s", looks.LARGE_TILE_BYTES + 1, big)
    assert tiles()[0] == ("big", True)


def test_an_empty_collection_says_so(http: TestClient) -> None:
    _, path = shared(somebody())
    assert "There is nothing here now" in http.get(path).text


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium: make tools")
def test_a_browser_shows_the_pictures_and_reports_no_broken_rule(system: System, tmp_path: Path) -> None:
    system.start("api")
    who = account(amount=50)
    ids = [result(who, f"a harbour <b>{n}</b>") for n in range(3)]
    for key in one("select array_agg(key) || array_agg(thumbnail_key) from assets")[0]:
        storage().put_bytes(key, picture(size=(64, 48)), "image/png")
    change("update assets set size_bytes = %s", len(picture(size=(64, 48))))
    _, path = shared(who, *ids)
    with browser.browser(tmp_path) as window:
        window.go(system.url + path)
        assert window.run("[...document.images].slice(0, 3).map(i => i.naturalWidth)") == [64] * 3
        assert window.run("getComputedStyle(document.querySelector('.wall')).display") == "grid"
        assert window.run("document.documentElement.scrollWidth <= innerWidth") is True
        assert window.run("document.querySelectorAll('.wall b').length") == 0
        window.run("location.hash = 'p2'")
        assert window.run("getComputedStyle(document.getElementById('p2')).display") == "grid"
    indexed(*ids)
