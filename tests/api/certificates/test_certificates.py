"""A certificate is a page and a picture that anybody may see who was given its address, and that nothing can be smuggled into."""

import io
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image
from starlette.testclient import TestClient

from api.certificates import pages
from api.certificates.pages import date_of, page_of, wording_of
from api.certificates.picture import HEIGHT, WIDTH, NotDrawable, drawn, plain
from api.main import make_app
from common.tokens import CERTIFICATE, FILE, make_token
from examples.browser import PROGRAM, browser
from models.access.scopes import Caller
from models.db import transaction
from models.learning.certificates import Certificate, certificate_token, certificate_url
from tests.models.learning.school import course, learner, said, seen
from tests.support import almost, one

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AT = datetime(2026, 11, 7, 23, 59, tzinfo=UTC)


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def graduate(
    first: str | None = "Siti", last: str | None = "Wijaya", title: str = "Good pictures"
) -> tuple[Caller, str]:
    """Somebody who has completed a course, and the path of their certificate."""
    course_id, (only,) = course(1, title=title)
    who = learner()
    with transaction() as conn:
        conn.execute("update users set first_name = %s, last_name = %s where id = %s", [first, last, who.user_id])
    said(who, only, completed=True)
    enrolment = seen(who, course_id).enrolment_id
    assert enrolment is not None
    return who, "/certificates/" + certificate_token(enrolment)


def test_anybody_sees_who_has_completed_what_and_when(http: TestClient) -> None:
    _, path = graduate()
    answer = http.get(path)
    (at,) = one("select completed_at from enrolments")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for text in ("Siti Wijaya", "Good pictures", "basic course", f"{at:%-d %B %Y}", path):
        assert text in answer.text, text
    assert "<script" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert (answer.headers["referrer-policy"], answer.headers["x-content-type-options"]) == ("no-referrer", "nosniff")
    assert http.head(path).status_code == 200
    assert at.tzinfo is not None


def test_the_picture_is_a_page_to_print(http: TestClient) -> None:
    _, path = graduate()
    answer = http.get(path + "/certificate.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (WIDTH, HEIGHT)
    other = http.get(graduate("Somebody", "Else")[1] + "/certificate.png").content
    assert other != answer.content, "it does not show whose it is"
    with transaction() as conn:
        conn.execute("update courses set title = 'Another title'")
    assert http.get(path).text.count("Another title") == 0, "it says what was completed, whatever it is called now"


def test_an_address_cannot_be_made_up_and_none_is_there_before_the_end(http: TestClient) -> None:
    course_id, (first, _) = course(2)
    who = learner()
    said(who, first, completed=True)
    enrolment = seen(who, course_id).enrolment_id
    assert enrolment is not None
    _, path = graduate()
    token = path.rpartition("/")[2]
    wrong = [
        certificate_token(enrolment), certificate_token(uuid4()), make_token(FILE, enrolment.bytes), almost(token),
        token[:-1], token + "A", str(enrolment), "x", "%2e%2e", "A" * 5_000,
    ]  # fmt: skip
    for each in wrong:
        for end in ("", "/certificate.png"):
            answer = http.get(f"/certificates/{each}{end}")
            assert (each, answer.status_code) == (each, 404)
    assert len(token) == 43
    assert make_token(CERTIFICATE, enrolment.bytes) != make_token(FILE, enrolment.bytes)


def test_it_shows_the_name_as_it_is_now_and_none_of_who_is_deleted(http: TestClient) -> None:
    who, path = graduate(None, None)
    assert "A learner without a name" in http.get(path).text
    with transaction() as conn:
        conn.execute("update users set first_name = 'Ada' where id = %s", [who.user_id])
    assert ">Ada<" in http.get(path).text
    with transaction() as conn:
        conn.execute("update users set deleted_at = app_now() where id = %s", [who.user_id])
    assert http.get(path).status_code == 404
    assert http.get(path + "/certificate.png").status_code == 404


@pytest.mark.parametrize("text", [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</title><script>x</script>", "' onload='x", "{{7*7}}{% x %}",
    "</style><script>x</script>", "<!--", "&lt;b&gt;", "javascript:x", "\u202eevil",
])  # fmt: skip
def test_what_is_in_a_name_or_a_title_is_shown_as_text(http: TestClient, text: str) -> None:
    _, path = graduate(text, "X", title=text)
    page = http.get(path).text
    assert page.count("<script") == page.count("<img") == page.count(" onload='") == 0
    assert page.count("<style>") == page.count("</style>") == page.count("</title>") == 1
    assert (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;").replace("'", "&#39;")
        in page
    )
    assert "49" not in re.sub(r"[A-Za-z0-9_-]{43}", "", page)
    assert http.get(path + "/certificate.png").status_code == 200


def certificate(**fields: Any) -> Certificate:
    return Certificate("Siti", "Good pictures", "advanced", AT)._replace(**fields)


@pytest.mark.parametrize("fields", [
    {"name": "W" * 2_000}, {"course": "W" * 200}, {"course": "two words " * 20}, {"name": "محمد عبد الله"}, {"name": "Ada 🎉👩‍🚀"},
    {"name": "Łukasz Żółć"}, {"name": "a\u202eb"}, {"course": "i" * 200}, {"name": "🎉"},
])  # fmt: skip
def test_every_name_and_title_fits_on_the_picture(fields: dict[str, Any]) -> None:
    try:
        picture = Image.open(io.BytesIO(drawn(wording_of(certificate(**fields), "x"))))
    except NotDrawable:
        pytest.skip("this machine has no font for these letters")
    margin = picture.convert("L").crop((66, 200, 150, 900))
    assert margin.getextrema()[0] > 200, "text runs into the frame"


def test_letters_that_no_font_has_are_on_the_page_alone(http: TestClient) -> None:
    _, path = graduate("\U00012000\U00012001", None)  # cuneiform
    assert "certificate.png" not in http.get(path).text
    answer = http.get(path + "/certificate.png")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "fonts" in answer.json()["detail"]


def test_dates_are_said_as_people_say_them() -> None:
    assert date_of(certificate()) == "7 November 2026"
    assert 'datetime="2026-11-07"' in page_of(certificate(), "x")
    assert plain("Ada\u200d 🎉 L.") == "Ada L."


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: make tools")
def test_a_browser_shows_it_as_it_is_meant_and_runs_nothing_of_a_name(tmp_path: Path) -> None:
    evil = "<script>document.title='x'</script><b onclick='x'>Siti</b>"
    body = page_of(certificate(name=evil, course="مرحبا بالعالم"), "A" * 43).encode()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in {**pages.HEADERS, "content-type": "text/html; charset=utf-8"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with browser(tmp_path) as page:
            page.go(f"http://127.0.0.1:{server.server_port}/")
            assert page.run("getComputedStyle(document.querySelector('article')).textAlign") == "center", "no style"
            assert page.run("document.querySelector('h1').textContent") == evil
            assert page.run("document.title").startswith("Certificate: ")
            assert page.run("document.scripts.length") == 0
            assert page.run("document.documentElement.scrollWidth <= innerWidth")
            assert page.run("getComputedStyle(document.querySelector('h2')).direction") == "rtl"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_what_the_policy_lets_in_is_the_style_that_the_page_has() -> None:
    assert f"<style>{pages.STYLE}</style>" in page_of(certificate(), "x")
    assert certificate_url(uuid4()).startswith("http://127.0.0.1:8000/certificates/")
