"""Content over HTTP: editors write it, readers read it, programs follow it."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from api.services import services
from common.settings import settings
from models.content import articles, reading
from models.db import transaction
from tests.models.content.desk import BY, head_of, key_with_all, person, shown, written
from tests.support import account, key_of, one, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

DESK = "/v1/content/desk/articles"
NEWS = {"section": "news", "kind": "tool", "title": "A new tool", "body": "It *draws*.", "tags": ["Draw", "free"]}
LONG = "Everybody may read the beginning of this. " * 20 + "The secret is a walrus."


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def editor(database: str) -> dict[str, str]:
    return head_of("editor")


def free() -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(account())}"}


def test_an_editor_writes_publishes_and_everybody_reads(http: TestClient, editor: dict[str, str]) -> None:
    made = http.post(DESK, json=NEWS, headers=editor)
    assert made.status_code == 201, made.text
    draft = made.json()
    assert made.headers["location"] == f"{DESK}/{draft['id']}"
    assert (draft["slug"], draft["state"], draft["version"], draft["tags"]) == (
        "a-new-tool",
        "draft",
        1,
        ["draw", "free"],
    )
    assert http.get("/v1/content/articles/a-new-tool").status_code == 404
    published = http.post(f"{DESK}/{draft['id']}/publish", json={}, headers=editor)
    assert (published.status_code, published.headers["etag"], published.json()["state"]) == (200, '"2"', "published")
    read = http.get("/v1/content/articles/a-new-tool").json()
    assert (read["html"], read["may_read"], read["premium"]) == ("<p>It <em>draws</em>.</p>\n", True, False)
    assert read["url"] == f"{settings().public_url}/v1/content/articles/a-new-tool"
    assert [each["slug"] for each in http.get("/v1/content/articles").json()["data"]] == ["a-new-tool"]
    for which, count in (
        ({"tag": "DRAW"}, 1),
        ({"section": "research"}, 0),
        ({"kind": "tool", "tag": "free"}, 1),
        ({"tag": "x"}, 0),
    ):
        assert len(http.get("/v1/content/articles", params=which).json()["data"]) == count
    changed = http.patch(f"{DESK}/{draft['id']}", json={"title": "Another"}, headers={**editor, "if-match": '"2"'})
    assert (changed.json()["slug"], changed.json()["title"], changed.headers["etag"]) == (
        "a-new-tool",
        "Another",
        '"3"',
    )
    earlier = http.get(f"{DESK}/{draft['id']}/revisions", headers=editor).json()["data"]
    assert [(each["number"], each["title"]) for each in earlier] == [(2, "A new tool")]
    whole = http.get(f"{DESK}/{draft['id']}/revisions/2", headers=editor).json()
    assert (whole["body"], whole["tags"]) == ("It *draws*.", ["draw", "free"])
    back = http.post(f"{DESK}/{draft['id']}/revisions/2/restore", headers={**editor, "if-match": '"3"'})
    assert (back.json()["title"], back.json()["version"]) == ("A new tool", 4)
    assert (
        http.post(f"{DESK}/{draft['id']}/unpublish", headers=editor).json()["published_at"]
        == published.json()["published_at"]
    )
    assert http.get("/v1/content/articles/a-new-tool").status_code == 404
    assert http.request("DELETE", f"{DESK}/{draft['id']}", headers=editor).json()["state"] == "deleted"
    assert http.post(f"{DESK}/{draft['id']}/restore", headers=editor).json()["state"] == "draft"


def test_the_same_request_begins_one_article(http: TestClient, editor: dict[str, str]) -> None:
    first, again = (http.post(DESK, json=NEWS, headers={**editor, "idempotency-key": "a"}) for _ in range(2))
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert one("select count(*) from articles") == (1,)


def test_of_two_editors_the_second_is_told_the_version_that_there_is(http: TestClient, editor: dict[str, str]) -> None:
    place, other = f"{DESK}/{written().id}", head_of("editor")
    for head, word, status in ((editor, "first", 200), (other, "second", 412)):
        answer = http.patch(place, json={"body": word}, headers={**head, "if-match": '"1"'})
        assert answer.status_code == status
    assert (answer.json()["code"], answer.json()["version"], answer.json()["param"], answer.json()["retryable"]) == (
        "version_changed", 2, "If-Match", False,
    )  # fmt: skip
    assert http.patch(place, json={"body": "x"}, headers=other).json()["param"] == "If-Match"
    assert http.patch(place, json={"body": "x"}, headers={**other, "if-match": "*"}).status_code == 400
    for act in ("publish", "unpublish", "restore"):
        stale = http.post(f"{place}/{act}", json={} if act == "publish" else None, headers={**other, "if-match": '"1"'})
        assert (act, stale.status_code) == (act, 412)
    assert http.request("DELETE", place, headers={**other, "if-match": '"1"'}).status_code == 412
    assert http.post(f"{place}/revisions/1/restore", headers={**other, "if-match": '"1"'}).status_code == 412
    assert one("select body, state, version from articles") == ("first", "draft", 2)
    assert http.patch(place, json={"body": "second"}, headers={**other, "if-match": 'W/"2"'}).status_code == 200


@pytest.mark.parametrize("version", ["x", "-1", '"1', "9" * 30, "1.0", "", '""', "99999999999"])
def test_what_is_no_version_is_refused(http: TestClient, editor: dict[str, str], version: str) -> None:
    answer = http.patch(f"{DESK}/{written().id}", json={"body": "x"}, headers={**editor, "if-match": version})
    assert (answer.status_code, answer.json()["param"]) == (422, "If-Match")
    assert one("select body from articles") == ("Some words.",)


@pytest.mark.parametrize(("fields", "param"), [
    ({"title": ""}, "title"), ({"title": "x" * 10_000}, "title"), ({"title": " "}, "title"), ({"title": "a\nb"}, "title"), ({"title": 1}, "title"),
    ({"title": None}, "title"), ({"body": ""}, "body"), ({"body": "x" * 100_001}, "body"), ({"body": "a\0"}, None), ({"title": "a\0"}, None),
    ({"kind": None}, "kind"), ({"kind": "gossip"}, "kind"), ({"section": "sport"}, "section"), ({"section": "research"}, "kind"),
    ({"tags": ["a b"]}, "tags.0"), ({"tags": ["a/b"]}, "tags.0"), ({"tags": ["x" * 41]}, "tags.0"), ({"tags": ["x"] * 11}, "tags"), ({"tags": "x"}, "tags"),
    ({"premium": "yes"}, "premium"), ({"teaser": "x" * 1001}, "teaser"), ({"implication": "x"}, "implication"), ({"paper": {"title": "x"}}, "paper"),
    ({"citations": [{"title": "x"}]}, "citations"), ({"paper": {"title": "x", "url": "javascript:alert(1)"}}, "paper.url"),
    ({"citations": [{"title": "x", "url": "http://a b"}]}, "citations.0.url"), ({"slug": "mine"}, "slug"), ({"state": "published"}, "state"),
])  # fmt: skip
def test_what_is_no_article_is_refused_by_its_field(
    http: TestClient, editor: dict[str, str], fields: dict[str, Any], param: str | None
) -> None:
    answer = http.post(DESK, json={**NEWS, **fields}, headers=editor)
    assert answer.status_code == 422, answer.text
    assert param is None or answer.json()["param"] == param
    assert len(answer.text) < 1000
    assert rows("select 1 from articles") == []


@pytest.mark.parametrize(
    "title", ["😀😀", "مرحبا بالعالم", "\u202eabc", "<script>alert(1)</script>", "日本語", "a" * 300, "& < > \" '"]
)
def test_a_title_of_any_script_is_a_page_a_feed_and_an_address(
    http: TestClient, editor: dict[str, str], title: str
) -> None:
    made = http.post(DESK, json={**NEWS, "title": title}, headers=editor)
    assert made.status_code == 201, made.text
    http.post(f"{DESK}/{made.json()['id']}/publish", json={}, headers=editor)
    assert http.get(f"/v1/content/articles/{made.json()['slug']}").json()["title"] == title
    for feed in ("feed.rss", "feed.atom"):
        root = ET.fromstring(http.get(f"/v1/content/{feed}").content)
        assert title in [each.text for each in root.iter() if each.tag.endswith("title")]
        assert not any(each.tag.endswith("script") for each in root.iter())


def test_who_may_not_read_on_gets_the_teaser_and_is_told_so(http: TestClient, editor: dict[str, str]) -> None:
    body = {**NEWS, "section": "research", "kind": None, "title": "Deep", "body": LONG, "premium": True, "implication": "Buy a *walrus*.",
            "paper": {"title": "P", "url": "https://p.example", "authors": ["A"], "year": 2024}, "citations": [{"title": "C", "url": None}]}  # fmt: skip
    made = http.post(DESK, json=body, headers=editor).json()
    http.post(f"{DESK}/{made['id']}/publish", json={}, headers=editor)
    for head in (None, free()):
        answer = http.get("/v1/content/articles/deep", headers=head)
        read = answer.json()
        assert (read["premium"], read["may_read"], read["html"], read["implication"]) == (True, False, None, None)
        assert read["teaser"].startswith("Everybody may read")
        assert read["paper"]["authors"] == ["A"]
        assert "walrus" not in answer.text
        assert http.get("/v1/content/search", params={"q": "walrus"}, headers=head).json()["data"] == []
        assert "walrus" not in http.get("/v1/content/search", params={"q": "deep"}, headers=head).text
    for role in ("pro", "editor", "admin"):
        read = http.get("/v1/content/articles/deep", headers=head_of(role)).json()
        assert (read["may_read"], "walrus" in read["html"], read["implication"]) == (
            True,
            True,
            "<p>Buy a <em>walrus</em>.</p>\n",
        )
        found = http.get("/v1/content/search", params={"q": "walrus"}, headers=head_of(role)).json()["data"]
        assert "<mark>walrus</mark>" in found[0]["excerpt"]
    for path in ("articles", "feed.rss", "feed.atom", "sitemap.xml"):
        assert (
            "walrus"
            not in http.get(f"/v1/content/{path}", headers=head_of("admin") if path == "articles" else None).text
        )


def test_a_key_that_is_no_good_is_refused_rather_than_answered_as_nobodys(http: TestClient) -> None:
    shown()
    for path in ("articles", "articles/a-title", "search?q=words"):
        assert http.get(f"/v1/content/{path}", headers={"authorization": "Bearer hr_nonsense"}).status_code == 401
        assert http.get(f"/v1/content/{path}").status_code == 200


def test_likes_are_counted_once_per_user(http: TestClient) -> None:
    shown()
    heads, place = [free() for _ in range(5)], "/v1/content/articles/a-title/like"
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda n: http.put(place, headers=heads[n % 5]), range(50)))
    assert {each.status_code for each in answers} == {200}
    assert max(each.json()["likes"] for each in answers) == 5
    assert http.get("/v1/content/articles/a-title", headers=heads[0]).json()["liked"] is True
    assert http.get("/v1/content/articles/a-title").json()["liked"] is False
    assert http.delete(place, headers=heads[0]).json() == {"liked": False, "likes": 4}
    assert http.delete(place, headers=heads[0]).json() == {"liked": False, "likes": 4}
    assert http.put("/v1/content/articles/none/like", headers=heads[0]).status_code == 404


def test_views_are_written_together_and_none_of_a_clean_stop_is_lost(database: str) -> None:
    row = shown()
    before = one("select pg_current_xact_id()::text::bigint")[0]
    with TestClient(make_app()) as http:
        for _ in range(30):
            assert http.get(f"/v1/content/articles/{row.slug}").json()["views"] == 0
        assert http.get("/v1/content/articles/nothing").status_code == 404
        services(http.app).reads.write()
        assert http.get(f"/v1/content/articles/{row.slug}").json()["views"] == 30
        assert one("select count(*) from article_counts where xmin::text::bigint > %s", before) == (1,)
    assert one("select views from article_counts") == (31,)


def test_a_count_that_cannot_be_written_is_lost_and_harms_nobody(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = shown()
    http.get(f"/v1/content/articles/{row.slug}")
    with transaction() as conn:
        conn.execute("alter table article_counts add constraint full_up check (views < 1) not valid")
    services(http.app).reads.write()
    with transaction() as conn:
        conn.execute("alter table article_counts drop constraint full_up")
    services(http.app).reads.write()
    assert one("select views from article_counts") == (0,)
    assert http.get(f"/v1/content/articles/{row.slug}").status_code == 200


def test_what_is_published_for_later_is_nowhere_until_then(http: TestClient, editor: dict[str, str]) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    made = http.post(DESK, json=NEWS, headers=editor).json()
    waits = http.post(f"{DESK}/{made['id']}/publish", json={"at": at.isoformat()}, headers=editor).json()
    assert (waits["state"], datetime.fromisoformat(waits["published_at"])) == ("published", at)
    assert http.get("/v1/content/articles/a-new-tool").status_code == 404
    assert http.put("/v1/content/articles/a-new-tool/like", headers=editor).status_code == 404
    for path in ("articles", "search?q=draws", "feed.rss", "feed.atom", "sitemap.xml", f"sitemaps/{at:%Y-%m}.xml"):
        assert "a-new-tool" not in http.get(f"/v1/content/{path}").text
    assert http.get("/v1/content/sitemap.xml").text.count("<sitemap>") == 0
    for wrong in ("1969-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "soon"):
        refused = http.post(f"{DESK}/{made['id']}/publish", json={"at": wrong}, headers=editor)
        assert (refused.status_code, refused.json()["param"]) == (422, "at")
    assert http.post(f"{DESK}/{made['id']}/publish", json={}, headers=editor).status_code == 200
    assert http.get("/v1/content/articles/a-new-tool").status_code == 200


def test_feeds_and_sitemaps_name_what_is_published_and_only_that(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTENT_URL", "https://news.example/{slug}?a=1&b=2")
    settings.cache_clear()
    shown("First & <best>", "One.", tags=["t"], ago=timedelta(days=70))
    shown("Second", "Two \x0b\x1f three four five.", teaser="A ]]> teaser & more", ago=timedelta(days=1))
    written("Draft")
    answer = http.get("/v1/content/feed.rss")
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
        "application/rss+xml",
        "public, max-age=300",
    )
    items = ET.fromstring(answer.content).findall("channel/item")
    assert [(item.findtext("title"), item.findtext("link")) for item in items] == [
        ("Second", "https://news.example/second?a=1&b=2"), ("First & <best>", "https://news.example/first-best?a=1&b=2"),
    ]  # fmt: skip
    assert items[0].findtext("description") == "A ]]> teaser & more"
    assert len(ET.fromstring(http.get("/v1/content/feed.rss?tag=t").content).findall("channel/item")) == 1
    atom = ET.fromstring(http.get("/v1/content/feed.atom?section=news").content)
    space = {"a": "http://www.w3.org/2005/Atom"}
    assert len(atom.findall("a:entry", space)) == 2
    assert atom.findtext("a:id", namespaces=space) == f"{settings().public_url}/v1/content/feed.atom?section=news"
    assert ET.fromstring(http.get("/v1/content/feed.atom?section=research").content).findall("a:entry", space) == []
    found = re.findall("<loc>(.*?)</loc>", http.get("/v1/content/sitemap.xml").text)
    assert len(found) == 2
    assert "lastmod" not in http.get("/v1/content/sitemap.xml").text, "it would miss what changes later"
    pages = [re.findall("<loc>(.*?)</loc>", http.get(each.removeprefix(settings().public_url)).text) for each in found]
    assert pages == [["https://news.example/second?a=1&amp;b=2"], ["https://news.example/first-best?a=1&amp;b=2"]]
    for month in ("2026-13", "2026", "x", "2026-1", "٢٠٢٦-٠١", "0000-01", "%00"):
        assert http.get(f"/v1/content/sitemaps/{month}.xml").status_code in (404, 422)


def test_lists_go_on_page_by_page_newest_first_also_at_one_moment(http: TestClient) -> None:
    shown("One")
    for number in range(2, 6):
        shown(str(number))
    with transaction() as conn:  # all of one moment: the id decides
        conn.execute("update articles set published_at = '2026-01-01'")
        conn.execute("update article_shelves set published_at = '2026-01-01'")
    walked, asked = [], {"limit": 2}
    while True:
        page = http.get("/v1/content/articles", params=asked).json()
        walked += [each["id"] for each in page["data"]]
        if page["next"] is None:
            break
        asked = {"limit": 2, "cursor": page["next"]}
    assert walked == [str(row[0]) for row in rows("select id from articles order by id desc")]


def test_an_editor_sees_drafts_and_deleted_ones_and_a_reader_does_not(http: TestClient, editor: dict[str, str]) -> None:
    ids = [str(written("Draft").id), str(shown("Published").id), str(written("Deleted").id)]
    http.request("DELETE", f"{DESK}/{ids[2]}", headers=editor)
    assert [each["id"] for each in http.get(DESK, headers=editor).json()["data"]] == ids[::-1]
    for state, which in (("draft", 0), ("published", 1), ("deleted", 2)):
        found = http.get(DESK, params={"state": state}, headers=editor).json()["data"]
        assert [each["id"] for each in found] == [ids[which]]
    refused = http.patch(f"{DESK}/{ids[2]}", json={"body": "x"}, headers={**editor, "if-match": '"2"'})
    assert (refused.status_code, "restore it first" in refused.json()["detail"]) == (404, True)
    assert [each["slug"] for each in http.get("/v1/content/articles").json()["data"]] == ["published"]


def test_an_admin_sees_how_many_articles_there_are_and_how_often_they_were_read(http: TestClient) -> None:
    read, old = shown(), shown("Old", ago=timedelta(days=40))
    written("Draft")
    shown("Law", kind="regulation")
    shown("Paper", section="research", kind=None)
    with transaction() as conn:
        articles.delete_article(conn, BY, shown("Gone").id)
        reading.like(conn, account(), old.slug, liked=True)
    http.get(f"/v1/content/articles/{read.slug}")
    services(http.app).reads.write()
    found = http.get("/v1/admin/stats", headers=head_of("admin")).json()["content"]
    assert [tuple(each.values()) for each in found] == [
        ("news", "regulation", 0, 1, 1, 0, 0), ("news", "tool", 1, 2, 1, 1, 1), ("research", None, 0, 1, 1, 0, 0),
    ]  # fmt: skip
    assert list(found[0]) == ["section", "kind", "drafts", "published", "new", "views", "likes"]


def test_each_act_of_an_editor_is_in_the_audit_log_with_who_did_it(http: TestClient) -> None:
    who, user = person("editor")
    head = {"authorization": f"Bearer {key_of(who)}"}
    assert http.post(DESK, json=NEWS, headers=head).json()["needed"] == "edit", "a key has what it was given"
    head = key_with_all(who)
    made = http.post(DESK, json=NEWS, headers=head).json()["id"]
    http.patch(f"{DESK}/{made}", json={"premium": True}, headers={**head, "if-match": "1"})
    for act in ("publish", "unpublish"):
        http.post(f"{DESK}/{made}/{act}", json={} if act == "publish" else None, headers=head)
    http.request("DELETE", f"{DESK}/{made}", headers=head)
    http.post(f"{DESK}/{made}/restore", headers=head)
    found = rows("select action, actor, details->>'version' from acts where subject = %s order by id", made)
    assert found == [
        (f"article.{act}", str(user), version)
        for act, version in (
            ("create", None), ("change", "2"), ("publish", "3"), ("unpublish", "4"), ("delete", "5"), ("restore", "6"),
        )
    ]  # fmt: skip
    assert str(BY.actor) not in {row[1] for row in found}
