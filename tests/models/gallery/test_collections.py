"""Collections: what is in them, in which order, who may do what and who sees which item."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from common.errors import DomainError, Forbidden, InvalidInput, LinkGone, NotFound
from models.db import transaction
from models.gallery import clearing, collections, contents, links, members, rights
from models.gallery.contents import Changed, moved
from models.gallery.rights import Deed, Footing, MemberRole
from scheduler.duties import accounts
from scheduler.duties.gallery import forget_items
from tests.depth import examples
from tests.models.gallery.things import collection, indexed, publish, result, shown, somebody
from tests.models.hands import change
from tests.support import account, eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")


def joined(owner: UUID, collection_id: UUID, role: MemberRole, email: str) -> UUID:
    """A collaborator, invited and in."""
    who = somebody(email, plan="free")
    with transaction() as conn:
        invitation = members.invite(conn, owner, collection_id, email.upper(), role)
        assert members.accept(conn, who, invitation.id) == collection_id
    return who


def added(who: UUID, collection_id: UUID, *item_ids: UUID) -> Changed:
    with transaction() as conn:
        return contents.add(conn, who, collection_id, item_ids)


def removed(who: UUID, collection_id: UUID, *item_ids: UUID) -> Changed:
    with transaction() as conn:
        return contents.remove(conn, who, collection_id, item_ids)


def ordered(who: UUID, collection_id: UUID, after: UUID | None, *item_ids: UUID) -> Changed:
    with transaction() as conn:
        return contents.move(conn, who, collection_id, item_ids, after)


def test_items_are_added_once_ordered_and_removed() -> None:
    who = account(amount=50)
    a, b, c, d = (result(who) for _ in range(4))
    made = collection(who, a, b).id
    assert added(who, made, c, a, c, d) == (2, 4)
    assert shown(who, made) == [a, b, c, d]
    assert ordered(who, made, None, d, b) == (2, 4)
    assert shown(who, made) == [d, b, a, c]
    ordered(who, made, a, d)
    assert shown(who, made) == [b, a, d, c]
    assert removed(who, made, a, a, uuid7()) == (1, 3)
    assert added(who, made, a) == (1, 4)
    assert shown(who, made) == [b, d, c, a]


def test_all_of_what_is_added_is_there_or_nothing_is() -> None:
    who, other = account(amount=50), account(amount=50)
    mine, secret, public = result(who), result(other), result(other)
    publish(other, public)
    made = collection(who).id
    for lacking in (secret, uuid7(), result(who, media="text/plain")):
        with pytest.raises(NotFound, match=str(lacking)):
            added(who, made, mine, lacking)
    assert shown(who, made) == []
    assert added(who, made, public, mine).changed == 2
    publish(other, public, on=False)
    assert shown(who, made) == [mine]


def test_a_collection_has_so_many_items_and_an_account_so_many_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_ITEMS", 3)
    monkeypatch.setattr(collections, "MAX_COLLECTIONS", 2)
    who = account(amount=50)
    items = [result(who) for _ in range(4)]
    made = collection(who, *items[:2]).id
    with pytest.raises(InvalidInput, match="2 are in this collection and 2 would be added; the limit is 3"):
        added(who, made, *items[2:])
    assert added(who, made, items[0], items[2]) == (1, 3)
    collection(who)
    with pytest.raises(InvalidInput, match="at most 2"):
        collection(who)


def test_what_is_not_in_it_is_not_moved() -> None:
    who = account(amount=50)
    a, b, stranger = (result(who) for _ in range(3))
    made = collection(who, a, b).id
    for after, chosen in ((None, [stranger]), (stranger, [a]), (a, [a, b])):
        with pytest.raises(InvalidInput):
            ordered(who, made, after, *chosen)
    assert shown(who, made) == [a, b]


def test_the_cover_is_the_chosen_one_while_it_may_be_seen_and_else_the_first() -> None:
    who = account(amount=50)
    a, b = result(who), result(who)
    made = collection(who, a, b).id

    def cover() -> UUID | None:
        with transaction() as conn:
            return collections.find(conn, who, made).shown_cover

    assert cover() == a
    with transaction() as conn:
        collections.change(conn, who, made, {"cover_id": b})
    assert cover() == b
    change("update assets set expires_at = app_now() where id = %s", b)
    assert cover() == a
    removed(who, made, a)
    assert cover() is None
    with transaction() as conn, pytest.raises(InvalidInput, match="not in this collection"):
        collections.change(conn, who, made, {"cover_id": a})


def test_a_cover_is_looked_for_in_the_first_places_alone_and_not_by_who_changes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who, fan = account(amount=50), account()
    hidden = [result(who) for _ in range(3)]
    shown_ = result(who)
    made = collection(who, *hidden, shown_, public=True).id
    publish(who, shown_)
    for item in hidden:
        publish(who, item, on=False)
    monkeypatch.setattr(collections, "MAX_COVER_PLACES", 3)
    with transaction() as conn:
        assert collections.find(conn, fan, made).shown_cover is None
        monkeypatch.setattr(collections, "MAX_COVER_PLACES", 4)
        assert collections.find(conn, fan, made).shown_cover == shown_
        assert collections.find(conn, who, made, Deed.FILL, locked=True).shown_cover is None
        assert collections.change(conn, who, made, {"name": "Another"}).shown_cover == hidden[0]


def test_a_result_that_expires_leaves_its_collections_at_once_and_for_good() -> None:
    who = account(amount=50)
    a, b = result(who), result(who)
    made = collection(who, a, b).id
    change("update assets set expires_at = app_now() where id = %s", a)
    assert shown(who, made) == [b]
    change("update gallery_items set expires_at = app_now() where id = %s", a)
    assert forget_items(10) == 1
    assert rows("select item_id from collection_items") == [(b,)]


# --- who may do what ---

DEEDS: dict[Deed, Callable[[Any, UUID, UUID, UUID], object]] = {
    Deed.LOOK: lambda conn, who, made, item: collections.find(conn, who, made),
    Deed.DESCRIBE: lambda conn, who, made, item: collections.change(conn, who, made, {"name": "x"}),
    Deed.FILL: lambda conn, who, made, item: contents.remove(conn, who, made, [item]),
    Deed.PUBLISH: lambda conn, who, made, item: collections.change(conn, who, made, {"public": True}),
    Deed.SHARE: lambda conn, who, made, item: links.create(conn, who, made),
    Deed.INVITE: lambda conn, who, made, item: members.list_members(conn, who, made),
    Deed.LEAVE: lambda conn, who, made, item: members.leave(conn, who, made),
    Deed.DELETE: lambda conn, who, made, item: collections.delete(conn, who, made),
}
MAY = {
    "owner": set(Deed) - {Deed.LEAVE},
    "editor": {Deed.LOOK, Deed.DESCRIBE, Deed.FILL, Deed.LEAVE},
    "viewer": {Deed.LOOK, Deed.LEAVE},
    "stranger": set[Deed](),
    "admin": set[Deed](),
    "invited": set[Deed](),
}


@pytest.mark.parametrize("public", [False, True])
def test_each_deed_is_for_those_who_may_and_for_the_others_it_is_not_there(public: bool) -> None:
    owner = somebody("owner@example.com")
    item = result(owner)
    made = collection(owner, item, public=public).id
    who = {
        "owner": owner, "editor": joined(owner, made, "editor", "e@example.com"),
        "viewer": joined(owner, made, "viewer", "v@example.com"), "stranger": account(), "admin": account(),
        "invited": somebody("i@example.com"),
    }  # fmt: skip
    change("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", who["admin"])
    with transaction() as conn:
        members.invite(conn, owner, made, "i@example.com", "editor")
    for name, deed in product(who, DEEDS):
        looks = {Deed.LOOK} if public else set[Deed]()
        outcome: type[BaseException] | None = None
        try:
            with transaction() as conn:
                DEEDS[deed](conn, who[name], made, uuid7())
                conn.rollback()  # done, and undone
        except DomainError as refused:
            outcome = type(refused)
        may = MAY[name] | looks
        expected = None if deed in may else Forbidden if may else NotFound
        assert outcome is expected, (name, deed)


def test_every_standing_says_of_every_deed_whether_it_may() -> None:
    assert {standing: {deed for deed in Deed if rights.may(standing, deed)} for standing in Footing} == {
        Footing.OWNER: MAY["owner"], Footing.EDITOR: MAY["editor"], Footing.VIEWER: MAY["viewer"],
        Footing.LINK: {Deed.LOOK}, Footing.PUBLIC: {Deed.LOOK}, Footing.NOBODY: set(),
    }  # fmt: skip


def test_the_query_of_what_is_seen_says_what_the_rule_says() -> None:
    owner, other = somebody("owner@example.com"), account(amount=50)
    made = collection(owner, public=True).id
    editor = joined(owner, made, "editor", "e@example.com")
    viewer = joined(owner, made, "viewer", "v@example.com")
    items: dict[UUID, tuple[UUID, bool | None, UUID]] = {}
    for whose, public, by in product((owner, other), (None, True, False), (owner, editor)):
        item = result(whose)
        publish(whose, item)
        added(by, made, item)
        if public is not True:
            publish(whose, item, on=False)
        if public is None:
            change("update gallery_items set public = null where id = %s", item)
        items[item] = (whose, public, by)
    for who, standing in (
        (owner, Footing.OWNER), (editor, Footing.EDITOR), (viewer, Footing.VIEWER), (other, Footing.PUBLIC), (account(), Footing.PUBLIC),
    ):  # fmt: skip
        wanted = [
            item
            for item, (whose, public, by) in items.items()
            if rights.sees(standing, own=whose == who, public=public, added_by_owner=by == whose)
        ]
        assert shown(who, made) == wanted, standing
    with transaction() as conn:
        linked = collections.of_link(conn, made)
        assert linked is not None
        seen = [each.item.id for each in contents.list_items(conn, None, linked, limit=100)]
    assert seen == [
        item
        for item, (whose, public, by) in items.items()
        if rights.sees(Footing.LINK, own=False, public=public, added_by_owner=by == whose)
    ]
    assert 0 < len(seen) < len(items)


@pytest.mark.parametrize("column", ["deleted_at = app_now()", "banned = true", "suspended_at = app_now()"])
def test_who_is_shut_out_shares_nothing(column: str) -> None:
    owner = somebody("owner@example.com")
    made = collection(owner, result(owner), public=True).id
    viewer = joined(owner, made, "viewer", "v@example.com")
    change(f"update users set {column} where id = (select user_id from accounts where id = %s)", owner)
    for who in (viewer, account()):
        with pytest.raises(NotFound):
            shown(who, made)
    with transaction() as conn:
        assert collections.of_link(conn, made) is None
        assert collections.list_collections(conn, viewer, "shared") == []
        assert collections.list_collections(conn, viewer, "public") == []


# --- collaborators ---


def test_only_a_plan_with_collaborators_has_them_and_they_pause_with_it() -> None:
    owner = somebody("owner@example.com", plan="pro")
    item = result(owner)
    made = collection(owner, item).id
    with transaction() as conn, pytest.raises(Forbidden, match="no collaborators"):
        members.invite(conn, owner, made, "v@example.com", "viewer")
    change("update accounts set plan_id = 'enterprise' where id = %s", owner)
    viewer = joined(owner, made, "viewer", "v@example.com")
    assert shown(viewer, made) == [item]
    change("update accounts set plan_id = 'pro' where id = %s", owner)
    with pytest.raises(NotFound):
        shown(viewer, made)
    change("update accounts set plan_id = 'enterprise' where id = %s", owner)
    assert shown(viewer, made) == [item]


def test_an_invitation_is_accepted_once_by_who_has_its_address() -> None:
    owner, other, invited = somebody("owner@example.com"), somebody("x@example.com"), somebody("V@Example.com")
    nameless = account()
    made = collection(owner, result(owner)).id
    with transaction() as conn:
        invitation = members.invite(conn, owner, made, " v@example.COM ", "viewer").id
        assert [each.id for each in members.invitations(conn, invited)] == [invitation]
        for who in (other, nameless, owner):
            assert members.invitations(conn, who) == []
            with pytest.raises(NotFound):
                members.accept(conn, who, invitation)
            with pytest.raises(NotFound):
                members.decline(conn, who, invitation)
        with pytest.raises(InvalidInput, match="invited already"):
            members.invite(conn, owner, made, "v@example.com", "editor")
        with pytest.raises(InvalidInput, match="your own"):
            members.invite(conn, owner, made, "OWNER@example.com", "editor")
        members.accept(conn, invited, invitation)
        for act in (members.accept, members.decline):
            with pytest.raises(NotFound):
                act(conn, invited, invitation)
        assert [each.id for each in collections.list_collections(conn, invited, "shared")] == [made]
        assert collections.list_collections(conn, invited, "own") == []


@pytest.mark.parametrize(
    "email",
    ["", "x", "a@b", "a b@example.com", "@example.com", "a@exam\nple.com", "x" * 400 + "@example.com", "a@b@c.com"],
)
def test_what_is_no_address_is_not_invited(email: str) -> None:
    owner = somebody("owner@example.com")
    made = collection(owner).id
    with transaction() as conn, pytest.raises(InvalidInput) as refused:
        members.invite(conn, owner, made, email, "viewer")
    assert refused.value.param == "email"


def test_a_collaborator_who_goes_takes_their_own_along() -> None:
    owner = somebody("owner@example.com")
    mine = result(owner)
    made = collection(owner, mine).id
    editor = joined(owner, made, "editor", "e@example.com")
    theirs, public = result(editor), result(owner)
    publish(owner, public)
    added(editor, made, theirs, public)
    assert shown(owner, made) == [mine, theirs, public]
    with transaction() as conn:
        members.leave(conn, editor, made)
    assert shown(owner, made) == [mine, public]
    with pytest.raises(NotFound):
        shown(editor, made)
    with transaction() as conn, pytest.raises(NotFound):
        members.leave(conn, editor, made)


def test_a_demoted_collaborator_looks_and_a_removed_one_does_not() -> None:
    owner = somebody("owner@example.com")
    item = result(owner)
    made = collection(owner, item).id
    editor = joined(owner, made, "editor", "e@example.com")
    member = one("select id from collection_members")[0]
    ordered(editor, made, None, item)
    with transaction() as conn:
        members.set_role(conn, owner, made, member, "viewer")
    with pytest.raises(Forbidden):
        ordered(editor, made, None, item)
    assert shown(editor, made) == [item]
    with transaction() as conn:
        members.remove(conn, owner, made, member)
    with pytest.raises(NotFound):
        shown(editor, made)
    with transaction() as conn, pytest.raises(NotFound):
        members.remove(conn, owner, made, member)


def test_what_an_editor_does_while_they_are_demoted_is_decided_by_the_new_role() -> None:
    owner = somebody("owner@example.com")
    item = result(owner)
    made = collection(owner, item).id
    editor = joined(owner, made, "editor", "e@example.com")
    member = one("select id from collection_members")[0]
    begun = threading.Event()

    def try_it() -> object:
        begun.set()
        try:
            return removed(editor, made, item)
        except Forbidden as refused:
            return refused

    with ThreadPoolExecutor(1) as thread:
        with transaction() as conn:
            members.set_role(conn, owner, made, member, "viewer")
            late = thread.submit(try_it)
            begun.wait()
            _until_somebody_waits()
        assert isinstance(late.result(), Forbidden)
    assert shown(owner, made) == [item]


def _until_somebody_waits() -> None:
    eventually(lambda: lock_waits() > 0, what="a wait")


# --- links ---


def test_a_link_is_known_by_its_hash_alone_and_ends_when_it_is_told_to() -> None:
    owner = account()
    made = collection(owner).id
    with transaction() as conn:
        row, token = links.create(conn, owner, made)
        other = links.create(conn, owner, made)[1]
    assert (len(token), token != other) == (links.TOKEN_CHARACTERS, True)
    assert token not in str(rows("select to_jsonb(l)::text from share_links l"))
    with transaction() as conn:
        assert links.opened(conn, token).collection_id == made
        for wrong in ("", token[:-1], token + "x", token.swapcase(), "x" * 32, "é" * 32):
            with pytest.raises(NotFound):
                links.opened(conn, wrong)
        links.revoke(conn, owner, made, row.id)
        at = conn.execute("select revoked_at from share_links where id = %s", [row.id]).fetchone()
        links.revoke(conn, owner, made, row.id)
        assert conn.execute("select revoked_at from share_links where id = %s", [row.id]).fetchone() == at
        with pytest.raises(LinkGone):
            links.opened(conn, token)
        links.opened(conn, other)
        with pytest.raises(NotFound):
            links.revoke(conn, owner, made, uuid7())


def test_a_password_is_kept_as_a_slow_hash_with_a_salt_of_its_own() -> None:
    owner = account()
    made = collection(owner).id
    with transaction() as conn:
        tokens = [links.create(conn, owner, made, password="open sesame")[1] for _ in range(2)]
        opened = [links.opened(conn, each) for each in tokens]
        open_to_all = links.opened(conn, links.create(conn, owner, made)[1])
    assert opened[0].hashed != opened[1].hashed
    assert [each.opens("open sesame") for each in opened] == [True, True]
    assert [opened[0].opens(each) for each in ("", "open sesamE", "open sesame ", "é")] == [False] * 4
    assert open_to_all.opens("")


@pytest.mark.parametrize("fields", [{"password": ""}, {"password": "x" * 201}])
def test_a_link_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    owner = account()
    made = collection(owner).id
    with transaction() as conn, pytest.raises(InvalidInput):
        links.create(conn, owner, made, **fields)


# --- races ---


def at_once(count: int, act: Callable[[int], object]) -> list[object]:
    start = threading.Barrier(count)

    def run(number: int) -> object:
        start.wait()
        try:
            return act(number)
        except DomainError as refused:
            return refused

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_the_same_item_added_by_twenty_at_once_is_in_it_once() -> None:
    owner = somebody("owner@example.com")
    a, b = result(owner), result(owner)
    indexed(a, b)  # else whoever writes their rows first is waited for, and there is no race
    for _ in range(5):
        made = collection(owner).id
        found = at_once(20, lambda number, made=made: added(owner, made, *((a, b) if number % 2 else (b, a))))
        assert all(isinstance(each, Changed) for each in found)
        assert sum(each.changed for each in found if isinstance(each, Changed)) == 2
        assert sorted(shown(owner, made)) == sorted([a, b])
        assert rows("select position from collection_items where collection_id = %s order by 1", made) == [(1,), (2,)]


@pytest.mark.parametrize("attempt", range(3))
def test_two_editors_who_order_at_once_leave_an_order_that_one_after_the_other_would(attempt: int) -> None:
    owner = somebody("owner@example.com")
    ids = [result(owner) for _ in range(4)]
    made = collection(owner, *ids).id
    editors = [joined(owner, made, "editor", f"e{n}@example.com") for n in range(2)]
    acts = [(None, [ids[3], ids[1]]), (ids[2], [ids[0]])]
    at_once(2, lambda number: ordered(editors[number], made, acts[number][0], *acts[number][1]))
    one_way = moved(moved(ids, acts[0][1], acts[0][0]), acts[1][1], acts[1][0])
    other_way = moved(moved(ids, acts[1][1], acts[1][0]), acts[0][1], acts[0][0])
    assert shown(owner, made) in (one_way, other_way)
    del attempt


def test_an_item_that_expires_while_it_is_added_is_not_in_it() -> None:
    owner = account(amount=50)
    items = [result(owner) for _ in range(6)]
    made = collection(owner, *items[:3]).id
    change("update gallery_items set expires_at = app_now()")
    change("update assets set expires_at = app_now() + interval '10 ms'")
    found = at_once(6, lambda number: forget_items(10) if number == 0 else added(owner, made, items[number]))
    assert {type(each) for each in found} <= {int, Changed, NotFound}
    change("update assets set expires_at = least(expires_at, app_now())")
    assert shown(owner, made) == []


# --- a plain model ---

NAMES = range(5)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)),
        st.tuples(st.just("remove"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)),
        st.tuples(st.just("move"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.none() | st.sampled_from(NAMES)),
        st.tuples(st.just("publish"), st.sampled_from(NAMES), st.booleans()),
        st.tuples(st.just("expire"), st.sampled_from(NAMES)),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_whatever_is_done_a_collection_is_what_a_plain_list_would_be(database: str, operations: list[Any]) -> None:
    owner, anybody = account(amount=50), account()
    ids = [result(owner, count=1) for _ in NAMES]
    made = collection(owner, public=True).id
    model, said, gone = list[int](), dict[int, bool](), set[int]()
    for operation in operations:
        kind, chosen = operation[0], operation[1]
        try:
            if kind == "add":
                new = [each for each in dict.fromkeys(chosen) if each not in model]
                assert added(owner, made, *(ids[each] for each in chosen)) == (len(new), len(model) + len(new))
                assert not gone & set(chosen)
                model += new
            elif kind == "remove":
                removed(owner, made, *(ids[each] for each in chosen))
                model = [each for each in model if each not in chosen]
            elif kind == "move":
                after = operation[2]
                wrong = not set(chosen) <= set(model) or (after is not None and (after not in model or after in chosen))
                ordered(owner, made, None if after is None else ids[after], *(ids[each] for each in chosen))
                assert not wrong
                rest = [each for each in model if each not in chosen]
                place = 0 if after is None else rest.index(after) + 1
                model = rest[:place] + list(dict.fromkeys(chosen)) + rest[place:]
            elif kind == "publish":
                publish(owner, ids[chosen], on=operation[2])
                assert chosen not in gone
                said[chosen] = operation[2]
            else:
                change("update assets set expires_at = app_now() where id = %s", ids[chosen])
                gone.add(chosen)
        except NotFound:
            assert gone & (set(chosen) if isinstance(chosen, list) else {chosen})
        except InvalidInput:
            assert kind == "move"
            assert wrong
        assert shown(owner, made) == [ids[each] for each in model if each not in gone]
        assert shown(anybody, made) == [ids[each] for each in model if each not in gone and said.get(each)]


def test_who_leaves_leaves_no_collection_and_no_membership(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "MAX_COLLECTIONS", 1)
    owner = somebody("owner@example.com")
    for _ in range(2):
        collection(owner, result(owner))
    made = collection(owner).id
    viewer = joined(owner, made, "viewer", "v@example.com")
    with transaction() as conn:
        links.create(conn, owner, made)
        assert clearing.erase(conn, viewer)
    assert rows("select 1 from collection_members") == []
    done = False
    while not done:
        with transaction() as conn:
            done = clearing.erase(conn, owner)
    assert (
        rows("select 1 from collections union all select 1 from share_links union all select 1 from collection_items")
        == []
    )


def test_who_is_deleted_is_not_done_with_before_their_gallery_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "MAX_COLLECTIONS", 1)
    owner = somebody("owner@example.com")
    for _ in range(2):
        collection(owner, result(owner))
    change(
        "update users set deleted_at = app_now() - interval '1 day' where id = (select user_id from accounts where id = %s)",
        owner,
    )
    assert [int(accounts.clear_deleted(10)) for _ in range(3)] == [0, 0, 1]
    assert rows("select 1 from collections union all select 1 from gallery_items") == []
