"""What accounts that are banned or suspended have made public is marked, so that nobody's list reads past it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection, sql

from common.errors import NotFound
from models.db import transaction
from models.gallery import collections, items, search
from scheduler.duties.gallery import mark_shut
from tests.models.gallery.things import collection, indexed, publish, result
from tests.models.hands import change
from tests.support import account, eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")

MANY = 300
OUT = ["banned = true", "suspended_at = app_now()"]
IN = "banned = false, suspended_at = null"


def person(who: UUID, changes: str) -> None:
    change(f"update users set {changes} where id = (select user_id from accounts where id = %s)", who)


def marked() -> None:
    """The duty comes by until it has nothing more to do."""
    while mark_shut(100).more:
        pass


def shown(who: UUID, kind: str) -> set[UUID]:
    """What a stranger finds of this account's."""
    with transaction() as conn:
        found: dict[str, Callable[[], list[Any]]] = {
            "newest": lambda: list(items.feed(conn, who, "newest", None)),
            "newest of a kind": lambda: list(items.feed(conn, who, "newest", "image")),
            "liked": lambda: list(items.feed(conn, who, "liked", None)),
            "liked of a kind": lambda: list(items.feed(conn, who, "liked", "image")),
            "search": lambda: [each.item for each in search.search(conn, who, "ocean", public=True)],
            "collections": lambda: list(collections.list_collections(conn, who, "public")),
        }
        return {each.id for each in found[kind]()}


LISTS = ["newest", "newest of a kind", "liked", "liked of a kind", "search", "collections"]


class Explaining:
    """In the place of a connection: counts the rows that each statement reads."""

    def __init__(self, conn: Connection[Any]) -> None:
        self._conn, self.read = conn, 0

    def execute(self, query: Any, values: Any = None) -> Any:
        text = query.as_string(self._conn) if isinstance(query, sql.Composable) else query
        if not text.startswith("explain"):
            found = self._conn.execute("explain (analyze, format json) " + text, values).fetchone()
            assert found is not None
            self.read += _read(found[0][0]["Plan"])
        return self._conn.execute(query, values)


def _read(node: dict[str, Any]) -> int:
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(own * node["Actual Loops"]) + sum(_read(each) for each in node.get("Plans", []))


@pytest.mark.parametrize("out", OUT)
def test_no_list_reads_past_what_a_shut_account_made_public(monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    who, shut, other = account(amount=50, plan="enterprise"), account(amount=9000, plan="enterprise"), account()
    mine = result(who, "an ocean", count=MANY)
    result(shut, "a whale", count=MANY)
    indexed()
    for each, likes in ((who, 0), (shut, 1)):
        change(
            "update gallery_items set public = true, published_at = app_now(), likes = %s where account_id = %s",
            likes,
            each,
        )
    collection(who, mine, public=True)
    change(
        f"""insert into collections (id, account_id, name, public)
            select ('ffffffff' || substr(gen_random_uuid()::text, 9))::uuid, %s, 'x', true from generate_series(1, {MANY})""",
        shut,
    )
    person(shut, out)
    marked()
    with transaction() as conn:
        conn.execute(
            "analyze assets, jobs, gallery_items, collections, accounts, users, plans"
        )  # as autovacuum does it

    def looks(conn: Any) -> dict[str, Callable[[], Any]]:
        return {
            "newest": lambda: items.feed(conn, other, "newest", None),
            "liked": lambda: items.feed(conn, other, "liked", "image"),
            "collections": lambda: collections.list_collections(conn, other, "public"),
        }

    with transaction() as conn:
        for name in looks(conn):
            counted = Explaining(conn)
            looks(counted)[name]()
            assert 0 < counted.read < MANY, (name, counted.read)
        monkeypatch.setattr(search, "MAX_LOOKED_AT", 5)  # of which none are theirs
        assert len(search.search(conn, other, "oceen", public=True)) == 20


@pytest.mark.parametrize("kind", LISTS)
def test_what_was_marked_comes_back_with_its_owner(kind: str) -> None:
    who, other = account(amount=50, plan="enterprise"), account()
    mine = result(who, "an ocean", count=3)
    indexed(mine)
    change("update gallery_items set public = true, published_at = app_now() where account_id = %s", who)
    collection(who, mine, public=True)
    before = shown(other, kind)
    assert len(before) == (1 if kind == "collections" else 3)
    for out in OUT:
        person(who, out)
        assert shown(other, kind) == set(), "at once"
        marked()
        assert shown(other, kind) == set()
        person(who, IN)
        marked()
        assert shown(other, kind) == before
    assert one("select count(*) from users where shut_marked") == (0,)


def test_marks_are_made_in_batches_and_a_turn_that_stops_loses_nothing() -> None:
    who, other = account(amount=50), account(amount=50)
    mine = result(who, count=5)
    publish(other, result(other))
    indexed(mine)
    change("update gallery_items set public = true, published_at = app_now() where account_id = %s", who)
    assert int(mark_shut(2)) == 0
    person(who, OUT[0])
    counts = list[int]()
    while (did := mark_shut(2)).more:
        counts.append(int(did))
        if len(counts) == 2:  # let in while the duty is at it
            assert one("select count(*) from gallery_items where shut") == (4,)
            person(who, IN)
            assert int(mark_shut(2)) == 0, "nobody is to be marked"
            person(who, OUT[1])
    assert counts == [2, 2, 2]
    assert rows("select shut, count(*) from gallery_items group by 1 order by 1") == [(False, 1), (True, 5)]
    person(who, IN)
    marked()
    assert rows("select shut, count(*) from gallery_items group by 1") == [(False, 6)]


@pytest.mark.parametrize("out", [True, False], ids=["shut out", "let in"])
@pytest.mark.parametrize("change_of_it", [
    "delete from gallery_items where id = %s", "update gallery_items set public = false, published_at = null, shut = false where id = %s",
])  # fmt: skip
def test_a_thing_that_goes_while_its_batch_is_marked_leaves_none_of_the_others_behind(
    out: bool, change_of_it: str
) -> None:
    who = account(amount=50)
    result(who, count=6)
    indexed()
    change("update gallery_items set public = true, published_at = app_now() where account_id = %s", who)
    if not out:
        person(who, OUT[0])
        marked()
    person(who, OUT[0] if out else IN)
    going = rows("select id from gallery_items order by id desc limit 2")  # of six, of which five are a batch
    with ThreadPoolExecutor(1) as pool, transaction() as conn:
        for each in going:
            conn.execute(change_of_it, each)
        turn = pool.submit(mark_shut, 5)
        eventually(lambda: lock_waits() > 0, what="the duty at the row that changes")
        conn.commit()
        turn.result()
    marked()
    assert rows("select shut, count(*) from gallery_items where public group by 1") == [(out, 4)]
    assert one("select shut_marked from users where id = (select user_id from accounts where id = %s)", who) == (out,)


def test_what_is_made_private_has_no_mark() -> None:
    who = account(amount=50, plan="enterprise")
    mine = result(who)
    publish(who, mine)
    made = collection(who, mine, public=True)
    person(who, OUT[0])
    marked()
    assert rows("select shut from gallery_items union all select shut from collections") == [(True,), (True,)]
    person(who, IN)  # and the duty has not come by when they make it private, and public again
    publish(who, mine, on=False)
    with transaction() as conn:
        collections.change(conn, who, made.id, {"public": False})
    assert rows("select shut from gallery_items union all select shut from collections") == [(False,), (False,)]
    publish(who, mine)
    marked()
    with transaction() as conn:
        assert [each.id for each in items.feed(conn, account(), "newest", None)] == [mine]
        with pytest.raises(NotFound):
            collections.find(conn, account(), made.id)
