"""Articles: drafts, dates, slugs, revisions, likes, counts; and what happens at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from common.errors import InvalidInput, NotFound, VersionChanged
from models.content import articles, reading, revisions
from models.content.articles import ArticleRow, Citation, Paper
from models.db import transaction
from scheduler.duties.accounts import clear_deleted
from tests.conftest import environment
from tests.models.content.desk import BY, person, shown, text, written
from tests.support import account, eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")


def do(work: Callable[[Connection[Any]], Any]) -> Any:
    with transaction() as conn:
        return work(conn)


def listed(**which: Any) -> list[str]:
    return [row.slug for row in do(lambda conn: reading.list_shown(conn, limit=100, **which))]


def reads(slug: str) -> bool:
    try:
        do(lambda conn: reading.read_article(conn, slug))
    except NotFound:
        return False
    return True


def test_publishing_sets_the_date_taking_back_keeps_it_and_publishing_again_renews_it() -> None:
    row = written()
    assert (row.state, row.published_at, reads(row.slug)) == ("draft", None, False)
    first = do(lambda conn: articles.publish(conn, BY, row.id))
    assert (first.state, reads(row.slug), listed()) == ("published", True, [row.slug])
    again = do(lambda conn: articles.publish(conn, BY, row.id))
    assert again == first, "what is shown keeps its date, and nothing is changed"
    back = do(lambda conn: articles.take_article_back(conn, BY, row.id))
    assert (back.state, back.published_at, reads(row.slug), listed()) == ("draft", first.published_at, False, [])
    renewed = do(lambda conn: articles.publish(conn, BY, row.id))
    assert renewed.published_at > first.published_at
    assert [act[0] for act in rows("select action from acts where subject = %s order by id", str(row.id))] == [
        "article.create", "article.publish", "article.unpublish", "article.publish",
    ]  # fmt: skip


def test_what_is_published_for_later_is_shown_when_its_time_has_come() -> None:
    row = written()
    at = one("select app_now() + interval '1 hour'")[0]
    waits = do(lambda conn: articles.publish(conn, BY, row.id, at=at))
    assert (waits.state, waits.published_at, reads(row.slug), listed()) == ("published", at, False, [])
    with environment({"CLOCK_OFFSET_SECONDS": "3599"}):
        assert (reads(row.slug), listed()) == (False, [])
    with environment({"CLOCK_OFFSET_SECONDS": "3601"}):
        assert (reads(row.slug), listed()) == (True, [row.slug])


def test_what_is_deleted_is_shown_to_nobody_and_comes_back_as_a_draft() -> None:
    row = shown(tags=["a"])
    gone = do(lambda conn: articles.delete_article(conn, BY, row.id))
    assert (gone.state, reads(row.slug), listed(), listed(tag="a")) == ("deleted", False, [], [])
    with pytest.raises(NotFound, match="restore it first"):
        do(lambda conn: articles.change_article(conn, BY, row.created_by, row.id, gone.version, lambda was: was))
    back = do(lambda conn: articles.restore_article(conn, BY, row.id))
    assert (back.state, back.slug, back.published_at, listed()) == ("draft", row.slug, row.published_at, [])


def test_a_slug_is_the_titles_and_stays_and_the_second_of_one_title_is_numbered() -> None:
    first, second, third = written("Top"), written("Top"), written("Top!")
    assert [each.slug for each in (first, second, third)] == ["top", "top-2", "top-3"]
    assert written("Top 4").slug == "top-4"
    assert written("Top").slug == "top-5", "top-4 is another's title"
    assert written("!!!").slug == "article"
    renamed = do(
        lambda conn: articles.change_article(
            conn, BY, first.created_by, first.id, 1, lambda was: was._replace(title="Bottom")
        )
    )
    assert (renamed.title, renamed.slug) == ("Bottom", "top")
    do(lambda conn: articles.delete_article(conn, BY, first.id))
    assert written("Top").slug == "top-6", "a deleted one may be restored"


def test_fifty_articles_of_one_title_that_begin_at_once_have_fifty_slugs() -> None:
    _, user = person()

    def begin(_number: int) -> str:
        return str(do(lambda conn: articles.create_article(conn, BY, user, text("Same"))).slug)

    with ThreadPoolExecutor(16) as threads:
        slugs = list(threads.map(begin, range(50)))
    assert sorted(slugs) == sorted(["same", *(f"same-{number}" for number in range(2, 51))])


@pytest.mark.parametrize(("first", "second", "slug"), [("Top", "Top 2", "top-2-2"), ("Top 2", "Top", "top-3")])
def test_a_slug_that_is_about_to_be_anothers_is_nobodys_else(first: str, second: str, slug: str) -> None:
    written("Top")
    _, user = person()

    def begin() -> str:
        return str(do(lambda conn: articles.create_article(conn, BY, user, text(second))).slug)

    with ThreadPoolExecutor(1) as threads:
        with transaction() as conn:
            assert articles.create_article(conn, BY, user, text(first)).slug == "top-2"
            waiting = threads.submit(begin)
            eventually(lambda: lock_waits() == 1, what="a wait")
        assert waiting.result(timeout=30) == slug


def test_every_change_keeps_what_was_said_before_and_any_of_it_is_said_again() -> None:
    row = written(
        "One", "First.", section="research", kind=None, tags=["a"], paper=Paper("P", "https://p.example", ["x"], 2020),
        citations=[Citation("C")], implication="So.",
    )  # fmt: skip
    _, other = person()

    def change(version: int, **fields: Any) -> ArticleRow:
        found: ArticleRow = do(
            lambda conn: articles.change_article(conn, BY, other, row.id, version, lambda was: was._replace(**fields))
        )
        return found

    assert change(1, title="One").version == 1, "nothing was changed"
    change(1, title="Two", paper=None, citations=[])
    assert change(2, body="Second.", tags=["b", "A", "a"]).tags == ["b", "a"]
    found = do(lambda conn: revisions.list_revisions(conn, row.id))
    assert [(each.number, each.said["title"], each.said["body"], each.saved_by) for each in found] == [
        (2, "Two", "First.", other), (1, "One", "First.", row.created_by),
    ]  # fmt: skip
    back = do(lambda conn: revisions.restore_revision(conn, BY, other, row.id, 1, 3))
    assert (back.version, back.text()) == (4, row.text())
    assert do(lambda conn: revisions.find_revision(conn, row.id, 3)).said["body"] == "Second."
    with pytest.raises(NotFound):
        do(lambda conn: revisions.find_revision(conn, row.id, 4))
    with pytest.raises(NotFound):
        do(lambda conn: revisions.list_revisions(conn, UUID(int=1)))


@pytest.mark.parametrize(("fields", "param"), [
    ({"kind": None}, "kind"), ({"section": "research"}, "kind"), ({"implication": "x"}, "implication"), ({"paper": Paper("x")}, "paper"),
    ({"citations": [Citation("x")]}, "citations"), ({"title": "\ufffe"}, "title"),
])  # fmt: skip
def test_a_text_that_is_not_of_its_section_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        written(**fields)
    assert refused.value.param == param
    assert rows("select 1 from articles") == []


def test_of_two_editors_of_one_version_the_second_is_told_which_there_is_now() -> None:
    row = written()
    begin = threading.Barrier(2)

    def change(word: str) -> str:
        begin.wait()
        try:
            do(
                lambda conn: articles.change_article(
                    conn, BY, row.created_by, row.id, 1, lambda was: was._replace(body=word)
                )
            )
        except VersionChanged as refused:
            return f"refused, {refused.extra['version']}"
        return word

    with ThreadPoolExecutor(2) as threads:
        said = sorted(threads.map(change, ["first", "second"]))
    now = do(lambda conn: articles.find_article(conn, row.id))
    assert said == sorted([now.body, "refused, 2"])
    assert rows("select number, said->>'body' from article_revisions") == [(1, "Some words.")]


def published_and_deleted_at_once() -> ArticleRow:
    row, begin = written(tags=["t"]), threading.Barrier(2)

    def publish() -> None:
        begin.wait()
        with suppress(NotFound):
            do(lambda conn: articles.publish(conn, BY, row.id))

    def delete() -> None:
        begin.wait()
        do(lambda conn: articles.delete_article(conn, BY, row.id))

    with ThreadPoolExecutor(2) as threads:
        for each in (threads.submit(publish), threads.submit(delete)):
            each.result()
    return row


def test_published_and_deleted_at_once_it_is_gone() -> None:
    for _ in range(10):
        row = published_and_deleted_at_once()
        assert one("select state from articles where id = %s", row.id) == ("deleted",)
        assert (reads(row.slug), listed(), listed(tag="t")) == (False, [], [])
    assert rows("select 1 from article_shelves") == []


def test_fifty_threads_of_ten_people_are_ten_likes() -> None:
    row, people = shown(), [account() for _ in range(10)]

    def like(number: int) -> None:
        do(lambda conn: reading.like(conn, people[number % 10], row.slug, liked=True))

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(like, range(50)))
    assert one("select likes from article_counts") == one("select count(*) from article_likes") == (10,)
    with ThreadPoolExecutor(50) as threads:
        list(
            threads.map(lambda n: do(lambda conn: reading.like(conn, people[n % 5], row.slug, liked=False)), range(50))
        )
    assert one("select likes from article_counts") == one("select count(*) from article_likes") == (5,)


def test_likes_of_one_thing_and_taking_them_back_in_any_mixture_are_counted_right() -> None:
    row, people = shown(), [account() for _ in range(3)]
    with ThreadPoolExecutor(12) as threads:
        list(
            threads.map(
                lambda n: do(lambda conn: reading.like(conn, people[n % 3], row.slug, liked=n % 2 == 0)), range(60)
            )
        )
    assert one("select likes from article_counts") == one("select count(*) from article_likes")


def test_only_what_is_shown_can_be_liked() -> None:
    with pytest.raises(NotFound):
        do(lambda conn: reading.like(conn, account(), written().slug, liked=True))


def test_who_is_deleted_likes_nothing_any_more() -> None:
    found = [shown(f"Article {number}") for number in range(3)]
    gone, stays = account(), account()
    for each in found:
        do(lambda conn, slug=each.slug: reading.like(conn, gone, slug, liked=True))
    do(lambda conn: reading.like(conn, stays, found[0].slug, liked=True))
    assert do(lambda conn: reading.forget_likes(conn, gone, 2)) == 2
    assert do(lambda conn: reading.forget_likes(conn, gone, 2)) == 1
    assert rows("select account_id from article_likes") == [(stays,)]
    assert rows("select likes from article_counts order by article_id") == [(1,), (0,), (0,)]


def test_the_duty_that_clears_who_was_deleted_takes_their_likes_back() -> None:
    row, gone, stays = shown(), account(), account()
    for who in (gone, stays):
        do(lambda conn, who=who: reading.like(conn, who, row.slug, liked=True))
    with transaction() as conn:
        conn.execute(
            "update users set deleted_at = app_now() - interval '2 minutes' where id = (select user_id from accounts where id = %s)",
            [gone],
        )
    assert clear_deleted(10) == 1
    assert rows("select account_id from article_likes") == [(stays,)]
    assert one("select likes from article_counts") == (1,)


def test_who_likes_more_than_one_turn_takes_back_is_not_done_with_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.duties.accounts.MAX_LIKES", 2)
    gone = account()
    for number in range(3):
        slug = shown(f"Article {number}").slug
        do(lambda conn, slug=slug: reading.like(conn, gone, slug, liked=True))
    with transaction() as conn:
        conn.execute(
            "update users set deleted_at = app_now() - interval '2 minutes' where id = (select user_id from accounts where id = %s)",
            [gone],
        )
    assert clear_deleted(10) == 0
    assert clear_deleted(10) == 1
    assert rows("select likes from article_counts") == [(0,)] * 3


def test_views_are_added_to_what_is_there() -> None:
    row = shown()
    for _ in range(2):
        do(lambda conn: reading.add_views(conn, {row.id: 3, UUID(int=7): 5}))
    assert one("select sum(views)::int from article_counts") == (6,)


def test_a_list_is_a_section_a_kind_a_tag_or_a_tag_of_one_newest_first() -> None:
    hours = iter(range(9, 0, -1))

    def made(title: str, **more: Any) -> None:
        shown(title, ago=timedelta(hours=next(hours)), **more)

    made("tool", tags=["x"])
    made("law", kind="regulation", tags=["x", "y"])
    made("paper", section="research", kind=None, tags=["y"])
    written("draft", tags=["x"])
    assert listed() == ["paper", "law", "tool"]
    assert listed(part="news") == ["law", "tool"]
    assert listed(part="research") == ["paper"]
    assert listed(part="regulation") == ["law"]
    assert listed(tag="x") == ["law", "tool"]
    assert listed(part="news", tag="y") == ["law"]
    assert listed(tag="z") == listed(part="tool", tag="y") == []


def test_a_change_of_tags_and_kind_moves_an_article_from_list_to_list() -> None:
    row = shown(tags=["old"])
    do(
        lambda conn: articles.change_article(
            conn, BY, row.created_by, row.id, row.version, lambda was: was._replace(tags=["new"], kind="use_case")
        )
    )
    assert (listed(tag="old"), listed(part="tool"), listed(tag="new"), listed(part="use_case")) == (
        [],
        [],
        ["a-title"],
        ["a-title"],
    )


def test_what_older_rules_made_is_made_anew_when_it_is_read() -> None:
    row = shown(body="*new*", section="research", kind=None, implication="**so**")
    with transaction() as conn:
        conn.execute("update articles set html = '<script>', implication_html = '<script>', rendering = 0")
    found = do(lambda conn: reading.read_article(conn, row.slug))
    assert (found.html, found.implication_html) == ("<p><em>new</em></p>\n", "<p><strong>so</strong></p>\n")


def test_the_database_itself_refuses_what_is_no_article() -> None:
    shown()
    for wrong in (
        "section = 'gossip'",
        "kind = null",
        "section = 'research'",
        "state = 'lost'",
        "published_at = null",
        "slug = ''",
    ):
        with pytest.raises(Exception, match="articles"), transaction() as conn:
            conn.execute(f"update articles set {wrong}")
