"""Stored results as items: found, published, liked; gone with their results."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from models.catalogue.switches import switch
from models.db import transaction
from models.files import keeping
from models.gallery import clearing, indexing, items, words
from models.gallery.items import WantedItems
from scheduler.duties.gallery import forget_items, index_results
from tests.conftest import environment
from tests.models.gallery.things import indexed, offer, publish, result
from tests.models.hands import change
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")


def listed(who: UUID, kind: Any = "image", **wanted: Any) -> list[UUID]:
    with transaction() as conn:
        return [each.id for each in items.list_items(conn, who, WantedItems(kind, **wanted), limit=1000)]


def feed(viewer: UUID, order: Any = "newest", kind: Any = None) -> list[UUID]:
    with transaction() as conn:
        return [each.id for each in items.feed(conn, viewer, order, kind, limit=1000)]


@pytest.mark.parametrize("duty_came", [False, True])
def test_results_are_items_of_their_kind_at_once_and_newest_first(duty_came: bool) -> None:
    who, other = account(amount=50), account(amount=50)
    first, second = result(who, "one"), result(who, "two", count=3)
    film, sound = result(who, media="video/mp4"), result(who, media="audio/mpeg")
    text = result(who, media="text/plain")
    result(other)
    if duty_came:
        indexed(first, second, film, sound)
    assert len(listed(who)) == 4
    assert (listed(who)[0], listed(who)[-1]) != (first, second)
    assert listed(who)[-1] == first
    assert (listed(who, "video"), listed(who, "sound")) == ([film], [sound])
    with transaction() as conn:
        row = items.find(conn, who, first)
        assert (row.prompt, row.public, row.likes, row.liked, row.width) == ("one", None, 0, False, 64)
        with pytest.raises(NotFound):
            items.find(conn, other, first)
        with pytest.raises(NotFound):
            items.find(conn, who, text)
        with pytest.raises(NotFound):
            items.find(conn, who, film, "image")


@pytest.mark.parametrize("duty_came", [False, True])
def test_a_walk_in_pages_meets_each_item_once_half_of_them_not_indexed_yet(duty_came: bool) -> None:
    who = account(amount=50)
    result(who, count=4)
    indexed()
    result(who, count=4)
    result(who, count=3)
    if duty_came:
        indexed()
    whole, found, before = listed(who), list[UUID](), None
    while True:
        with transaction() as conn:
            page = items.list_items(conn, who, WantedItems("image"), before=before, limit=3)
        if not page:
            break
        found += [each.id for each in page]
        before = page[-1].created_at, page[-1].id
    assert (found, len(set(found))) == (whole, 11)


@pytest.mark.parametrize("duty_came", [False, True])
def test_items_are_found_by_day_model_job_and_whether_they_are_public(duty_came: bool) -> None:
    who = account(amount=50)
    old, new, other = result(who), result(who), result(who, made_by=offer("other"))
    change("update assets set created_at = created_at - interval '3 days' where id = %s", old)
    if duty_came:
        indexed(old, new, other)
    today = datetime.now(UTC).date()
    assert listed(who, first_day=today - timedelta(days=1)) == [other, new]
    assert listed(who, last_day=today - timedelta(days=2)) == [old]
    assert listed(who, first_day=today + timedelta(days=1)) == []
    assert listed(who, model_id="other") == [other]
    job = one("select job_id from assets where id = %s", new)[0]
    assert listed(who, job_id=job) == [new]
    assert listed(who, job_id=uuid7()) == []
    publish(who, new)
    assert (listed(who, public=True), listed(who, public=False)) == ([new], [other, old])


@pytest.mark.parametrize("gone", [
    "update assets set expires_at = app_now() - interval '1 second' where id = %s",
    "update assets set status = 'deleted', expired_at = app_now() where id = %s",
    "update assets set status = 'expired', expired_at = app_now() where id = %s",
])  # fmt: skip
def test_a_result_that_is_gone_leaves_lists_and_feeds_at_once(gone: str) -> None:
    who, fan = account(amount=50), account()
    item, other = result(who), result(who)
    for each in (item, other):
        publish(who, each)
    change(gone, item)
    assert (listed(who), feed(fan), feed(fan, "liked", "image")) == ([other], [other], [other])
    with transaction() as conn:
        for act in (
            lambda: items.find(conn, who, item),
            lambda: items.like(conn, fan, item, "image"),
            lambda: items.change(conn, who, item, "image", {"public": True}),
        ):
            with pytest.raises(NotFound):
                act()


def test_what_is_public_is_seen_by_all_and_what_was_made_private_by_none() -> None:
    who, fan = account(amount=50), account()
    item = result(who)
    assert publish(who, item).public is True
    with transaction() as conn:
        assert items.find(conn, fan, item).account_id == who
    at = one("select published_at from gallery_items where id = %s", item)
    publish(who, item)
    assert one("select published_at from gallery_items where id = %s", item) == at, "again changes nothing"
    assert publish(who, item, on=False).published_at is None
    assert (feed(fan), listed(who)) == ([], [item])
    with transaction() as conn, pytest.raises(NotFound):
        items.find(conn, fan, item)


@pytest.mark.parametrize("column", ["deleted_at = app_now()", "banned = true", "suspended_at = app_now()"])
def test_nobody_sees_the_public_items_of_who_was_shut_out(column: str) -> None:
    who, fan = account(amount=50), account()
    item = result(who)
    publish(who, item)
    change(f"update users set {column} where id = (select user_id from accounts where id = %s)", who)
    assert feed(fan) == []
    with transaction() as conn, pytest.raises(NotFound):
        items.find(conn, fan, item)


def test_only_its_owner_changes_an_item() -> None:
    who, fan = account(amount=50), account()
    item = result(who)
    publish(who, item)
    with transaction() as conn, pytest.raises(NotFound):
        items.change(conn, fan, item, "image", {"title": "mine"})
    with transaction() as conn, pytest.raises(NotFound):
        items.change(conn, who, item, "video", {"title": "a film"})
    with transaction() as conn:
        assert items.change(conn, who, item, "image", {"title": "  Dawn  "}).title == "Dawn"
        assert items.change(conn, who, item, "image", {"public": False}).title == "Dawn"
        assert items.change(conn, who, item, "image", {"title": " "}).title is None


@pytest.mark.parametrize(("title", "word"), [
    ("x" * 201, "201 characters"), ("a\nb", "U\\+000A"), ("a\u202eb", "U\\+202E"), ("a\x7fb", "U\\+007F"), ("\u2066x", "U\\+2066"),
])  # fmt: skip
def test_a_title_that_is_too_long_or_hides_something_is_refused(title: str, word: str) -> None:
    who = account(amount=50)
    item = result(who)
    with transaction() as conn, pytest.raises(InvalidInput, match=word):
        items.change(conn, who, item, "image", {"title": title})


def test_the_feed_has_the_newest_or_the_most_liked_first() -> None:
    who, fans = account(amount=50), [account() for _ in range(3)]
    first, second, film = result(who), result(who), result(who, media="video/mp4")
    for each, kind in ((second, "image"), (first, "image"), (film, "video")):
        publish(who, each, kind=kind)  # type: ignore[arg-type]  # one of the three, as the table says
    with transaction() as conn:
        for fan in fans:
            items.like(conn, fan, second, "image")
        items.like(conn, fans[0], film, "video")
    assert feed(who) == [film, first, second]
    assert feed(who, "liked") == [second, film, first]
    assert feed(who, "liked", "video") == [film]
    assert feed(who, kind="image") == [first, second]


def at_once(count: int, act: Any) -> list[Any]:
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        start.wait()
        try:
            return act(number)
        except NotFound as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_likes_of_fifty_threads_count_once_per_user() -> None:
    who, fans = account(amount=50), [account() for _ in range(5)]
    item = result(who)
    publish(who, item)

    def like(number: int) -> None:
        with transaction() as conn:
            items.like(conn, fans[number % 5], item, "image")

    at_once(50, like)
    assert one("select likes, (select count(*) from item_likes) from gallery_items where id = %s", item) == (5, 5)

    def change_mind(number: int) -> None:
        with transaction() as conn:
            if number % 2:
                items.unlike(conn, fans[number % 5], item)
            else:
                items.like(conn, fans[number % 5], item, "image")

    at_once(50, change_mind)
    likes, counted = one("select likes, (select count(*) from item_likes) from gallery_items where id = %s", item)
    assert likes == counted
    with transaction() as conn:
        for fan in fans:
            items.unlike(conn, fan, item)
            items.unlike(conn, fan, item)
    assert one("select likes from gallery_items where id = %s", item) == (0,)


@pytest.mark.parametrize("attempt", range(5))
def test_what_is_published_while_it_expires_is_never_in_the_feed_after(attempt: int) -> None:
    who, fan = account(amount=50), account()
    item = result(who)
    indexed(item)
    change("update assets set expires_at = app_now() + interval '20 ms' where id = %s", item)
    change("update gallery_items set expires_at = app_now() + interval '20 ms'")

    def act(number: int) -> None:
        if number == 0:
            with transaction() as conn:
                items.like(conn, fan, item, "image")
        elif number == 1:
            forget_items(10)
        else:
            publish(who, item)

    refused = at_once(6, act)
    assert {type(each) for each in refused} <= {type(None), NotFound}
    change("update assets set expires_at = least(expires_at, app_now()) where id = %s", item)
    assert (feed(fan), feed(fan, "liked"), listed(who)) == ([], [], [])
    change("update gallery_items set expires_at = app_now()") if rows("select 1 from gallery_items") else None
    forget_items(10)
    assert rows("select 1 from gallery_items union all select 1 from item_likes") == []
    del attempt


def test_a_result_that_is_kept_past_its_plans_time_stays_an_item_with_all_that_was_said_of_it_until_it_goes() -> None:
    who, fan = account(amount=50), account()
    item, other = result(who), result(who)
    indexed(item, other)
    publish(who, item)
    job_id, index = one("select job_id, index from assets where id = %s", item)
    with transaction() as conn:
        items.like(conn, fan, item, "image")
        items.change(conn, who, item, "image", {"title": "Dawn"})
        keeping.keep(conn, who, job_id, index)
    change("update assets set expires_at = app_now() where id = %s", other)  # its plan's time is over
    change("update gallery_items set expires_at = app_now()")
    assert (forget_items(10), forget_items(10)) == (2, 0)
    assert (feed(fan), listed(who)) == ([item], [item])
    assert one("select id, title, likes, public from gallery_items") == (item, "Dawn", 1, True)
    # Left to its plan again it goes with its time, when the duty looks at it the next time.
    with transaction() as conn:
        keeping.let_go(conn, who, job_id, index)
    change("update assets set expires_at = app_now() where id = %s", item)
    assert (feed(fan), listed(who)) == ([], [])
    assert one(
        "select expires_at <= app_now() + make_interval(days => %s) from gallery_items", indexing.LOOK_AGAIN_DAYS
    ) == (True,)
    change("update gallery_items set expires_at = app_now()")
    assert (forget_items(10), rows("select 1 from gallery_items")) == (1, [])


def test_a_result_that_was_kept_before_it_had_a_row_is_looked_at_when_its_plans_time_is_over() -> None:
    who = account(amount=50)
    item = result(who)
    job_id, index = one("select job_id, index from assets where id = %s", item)
    (ends,) = one("select expires_at from assets where id = %s", item)
    with transaction() as conn:
        keeping.keep(conn, who, job_id, index)
    indexed(item)
    assert one("select expires_at from gallery_items") == (ends,)
    change("update gallery_items set expires_at = app_now()")
    assert (forget_items(10), listed(who)) == (1, [item])
    assert one("select expires_at < app_now() + interval '8 days' from gallery_items") == (True,)


def test_what_its_owner_has_deleted_and_erased_users_have_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    who, leaver = account(amount=50), account(amount=50)
    kept, gone, theirs = result(who), result(who), result(leaver)
    change("update users set deleted_at = app_now() where id = (select user_id from accounts where id = %s)", leaver)
    indexed(kept, gone)
    assert rows("select 1 from gallery_items where id = %s", theirs) == []
    (job_id,) = one("select job_id from assets where id = %s", gone)
    with transaction() as conn:
        keeping.delete(conn, who, job_id)
        indexing.forget_deleted(conn, job_id)
    monkeypatch.setattr(indexing, "DISTANCES", (0, 0, 0, 0))
    index_results(100)
    assert rows("select id from gallery_items") == [(kept,)]


def test_the_duty_writes_each_result_once_in_batches_and_goes_on_after_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    who = account(amount=50)
    result(who, count=7)
    with transaction() as conn:
        conn.execute("insert into duties (name, next_at) values ('index_results', app_now())")
    first = index_results(3)
    assert (first, first.more) == (3, True)
    with pytest.raises(KeyboardInterrupt), transaction() as conn:  # killed before its commit
        assert indexing.follow(conn, 3).written == 3
        raise KeyboardInterrupt
    assert one("select count(*) from gallery_items") == (3,)
    assert (int(index_results(3)), int(index_results(3)), int(index_results(3))) == (3, 1, 0)
    assert one("select count(*) from gallery_items") == (7,)


def test_what_is_switched_off_is_not_indexed_until_it_is_on_again() -> None:
    result(account(amount=50), count=2)
    with transaction() as conn:
        switch(conn, ["content"])
    assert index_results(10) == 0
    assert one("select count(*) from gallery_items") == (0,)
    with transaction() as conn:
        switch(conn, ["collections"])
    assert index_results(10) == 2


def test_a_result_whose_commit_came_late_is_found_by_a_later_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    who = account(amount=50)
    with transaction() as conn:
        conn.execute("insert into duties (name, next_at) values ('index_results', app_now())")
    late, early = result(who), result(who)
    later_id = uuid7()
    change("update assets set id = %s where id = %s", later_id, early)
    with transaction() as conn:  # the first walk has come past an id whose row was not there yet
        indexing.processes.set_cursor(
            conn,
            indexing.NAME,
            f'["english/{words.FOLDING}", "{later_id}", "{UUID(int=0)}", "{UUID(int=0)}", "{UUID(int=0)}"]',
        )
    assert int(index_results(100)) == 0
    assert listed(who) == [later_id, late], "its own account sees it all the same"
    monkeypatch.setattr(indexing, "DISTANCES", (0, 0, 600, 3600))
    assert int(index_results(100)) == 2
    assert one("select count(*) from gallery_items") == (2,)


def test_with_another_language_all_prompts_are_read_again() -> None:
    who = account(amount=50)
    item = result(who, "running harbours")
    with transaction() as conn:
        conn.execute("insert into duties (name, next_at) values ('index_results', app_now())")
    indexed(item)
    publish(who, item)
    assert "'harbour'" in one("select words::text from gallery_items")[0]
    with environment({"SEARCH_LANGUAGE": "simple"}):
        assert int(index_results(10)) == 1
        assert int(index_results(10)) == 0
    assert "'harbours'" in one("select words::text from gallery_items")[0]
    assert one("select public, language from gallery_items") == (True, f"simple/{words.FOLDING}")


def test_a_user_who_leaves_leaves_nothing_in_the_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "MAX_ROWS", 2)
    who, other = account(amount=50), account(amount=50)
    mine, theirs = [result(who) for _ in range(3)], [result(other) for _ in range(3)]
    for each in theirs:
        publish(other, each)
        with transaction() as conn:
            items.like(conn, who, each, "image")
    indexed(*mine)
    done = []
    while not done or not done[-1]:
        with transaction() as conn:
            done.append(clearing.erase(conn, who))
    assert done == [False, True]
    assert one("select count(*) from gallery_items where account_id = %s", who) == (0,)
    assert rows("select likes from gallery_items") == [(0,)] * 3
    assert rows("select 1 from item_likes") == []
