"""No key is more than its maker: the decisions, in every respect and for every kind of maker, and what the rows say."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from common.errors import Forbidden, NotAuthenticated, NotFound
from models.access import api_keys, minting, scopes
from models.access.api_keys import NewKey, Origin, Standing
from models.access.audit_log import By
from models.access.minting import Maker
from models.access.scopes import SCOPES, Caller, Role
from models.accounts import accounts
from models.credits import audit
from models.db import transaction
from models.identity import people
from tests.models.credits.test_ledger import finish
from tests.support import account, assert_books_are_clean, model, one, order, place, placed, rows

DAY = timedelta(days=1)
NOW = datetime(2031, 3, 1, tzinfo=UTC)

CREDITS = st.none() | st.integers(0, 5)
RATES = st.none() | st.integers(1, 5)
MODELS = st.none() | st.sets(st.sampled_from("abc"), min_size=1)
SOME_SCOPES = st.sets(st.sampled_from(SCOPES), min_size=1)
ENDS = st.none() | st.integers(1, 5).map(lambda days: NOW + days * DAY)
WISHES = st.builds(NewKey, st.just("x"), SOME_SCOPES, MODELS, RATES, CREDITS, ENDS)
ROLES: st.SearchStrategy[Role] = st.sampled_from(scopes.ROLES)


def within(value: Any, limit: Any) -> bool:
    return limit is None or (value is not None and value <= limit)


def is_at_most(key: NewKey, maker: Maker) -> bool:
    """Said a second time, as plainly as can be."""
    if not set(key.scopes) <= scopes.scopes_of(maker.role):
        return False
    if maker.key is None:
        return True
    most = maker.key.may
    return (
        set(key.scopes) <= set(most.scopes)
        and within(None if key.models is None else set(key.models), None if most.models is None else set(most.models))
        and within(key.per_minute, most.per_minute)
        and within(key.monthly_credits, most.monthly_credits)
        and within(key.expires_at, maker.key.ends_at)
    )


ANYWHERE = Origin()


def keyed(role: Role, may: NewKey, origin: Origin = ANYWHERE, retires: datetime | None = None) -> Maker:
    ends = min((each for each in (may.expires_at, retires) if each), default=None)
    return Maker(role, Standing(uuid7(), may, origin, ends))


@given(role=ROLES, may=st.none() | WISHES, wanted=WISHES, retires=ENDS)
def test_whatever_is_asked_for_comes_out_at_most_the_maker_or_not_at_all(
    role: Role, may: NewKey | None, wanted: NewKey, retires: datetime | None
) -> None:
    maker = Maker(role, None) if may is None else keyed(role, may, retires=retires)
    try:
        made = minting.at_most(maker, wanted)
    except Forbidden:
        assert not is_at_most(wanted, maker)
        return
    assert is_at_most(made, maker)
    for asked, got in zip(wanted, made, strict=True):
        assert asked is None or got == asked, "what was asked for is not quietly changed"


@given(role=ROLES, may=WISHES, target=WISHES, related=st.booleans(), retires=ENDS)
def test_a_key_gets_no_secret_by_rotation_of_a_key_that_it_could_not_have_made(
    role: Role, may: NewKey, target: NewKey, related: bool, retires: datetime | None
) -> None:
    maker = keyed(role, may, retires=retires)
    assert maker.key is not None
    origin = Origin([maker.key.id], [maker.key.id]) if related else Origin()
    other = Standing(uuid7(), target, origin, target.expires_at)
    counted = may.monthly_credits is not None or may.per_minute is not None
    allowed = is_at_most(target, maker) and (related or not counted)
    try:
        minting.check_rotation(maker, other)
        assert allowed
    except Forbidden:
        assert not allowed


def test_who_has_signed_in_rotates_all_but_what_is_more_than_their_role() -> None:
    target = Standing(uuid7(), NewKey("x", ["admin"], None, 5, 5, NOW), Origin(), NOW)
    minting.check_rotation(Maker("admin", None), target)
    with pytest.raises(Forbidden):
        minting.check_rotation(Maker("pro", None), target)


# --- in the database ---


@pytest.fixture
def who(database: str) -> UUID:
    return account(amount=100)


def caller(account_id: UUID, key_id: UUID | None) -> Caller:
    """As a process remembers somebody, who may all: what counts is what the database knows."""
    user = one("select user_id from accounts where id = %s", account_id)[0]
    return Caller(account_id, user, key_id, frozenset(SCOPES), "admin")


def made(account_id: UUID, **fields: Any) -> UUID:
    with transaction() as conn:
        return api_keys.create(conn, account_id, NewKey("test", **fields))[0]


def mint(account_id: UUID, maker: UUID | None, **fields: Any) -> UUID:
    with transaction() as conn:
        return minting.mint(conn, caller(account_id, maker), NewKey("child", **fields))[0]


def rotate(account_id: UUID, maker: UUID | None, target: UUID, hours: int = 24) -> UUID:
    with transaction() as conn:
        return minting.rotate(conn, caller(account_id, maker), target, hours)[0]


def revoke(key_id: UUID) -> None:
    with transaction() as conn:
        api_keys.revoke(conn, key_id)


def works(*key_ids: UUID) -> list[bool]:
    with transaction() as conn:
        hashes = [bytes(one("select hash from api_keys where id = %s", each)[0]) for each in key_ids]
        return [each is not None for each in api_keys.callers(conn, hashes)]


LIMITED: dict[str, Any] = {
    "scopes": ["read", "write", "generate"], "models": ["one"], "per_minute": 10, "monthly_credits": 10,
}  # fmt: skip
COLUMNS = "models, per_minute, monthly_credits, expires_at"


def test_a_child_that_asks_for_nothing_has_its_makers_limits(who: UUID) -> None:
    ends = datetime.now(UTC) + DAY
    parent = made(who, **LIMITED, expires_at=ends)
    child = mint(who, parent, scopes=["read"])
    assert one(f"select {COLUMNS} from api_keys where id = %s", child) == (["one"], 10, 10, ends)
    grandchild = mint(who, parent, scopes=["write", "read"])
    assert one(f"select {COLUMNS} from api_keys where id = %s", grandchild) == (["one"], 10, 10, ends)


@pytest.mark.parametrize(("more", "param"), [
    ({"scopes": ["delete"]}, "scopes"), ({"scopes": ["admin"]}, "scopes"), ({"models": ["two"]}, "models"),
    ({"models": ["one", "two"]}, "models"), ({"per_minute": 11}, "per_minute"),
    ({"monthly_credits": 11}, "monthly_credits"), ({"expires_at": datetime(2099, 1, 1, tzinfo=UTC)}, "expires_at"),
])  # fmt: skip
def test_a_child_that_asks_for_more_is_refused_and_not_made(who: UUID, more: dict[str, Any], param: str) -> None:
    parent = made(who, **LIMITED, expires_at=datetime.now(UTC) + DAY)
    with pytest.raises(Forbidden) as refused:
        mint(who, parent, **{"scopes": ["read"], **more})
    assert refused.value.param == param
    assert rows("select id from api_keys") == [(parent,)]


@pytest.mark.parametrize("how", ["revoked", "expired", "retired"])
def test_a_key_that_a_process_still_remembers_makes_none_once_it_does_not_work(who: UUID, how: str) -> None:
    parent = made(who)
    with transaction() as conn:
        column = {"revoked": "revoked_at", "expired": "expires_at", "retired": "retires_at"}[how]
        conn.execute(f"update api_keys set {column} = app_now()")
    for work in (lambda: mint(who, parent, scopes=["read"]), lambda: rotate(who, parent, parent)):
        with pytest.raises(NotAuthenticated):
            work()


@pytest.mark.parametrize("state", ["banned = true", "deleted_at = app_now()"])
@pytest.mark.parametrize("by_key", [True, False])
def test_who_was_banned_or_deleted_a_moment_ago_makes_no_key(who: UUID, state: str, by_key: bool) -> None:
    parent = made(who)
    with transaction() as conn:
        conn.execute(f"update users set {state}")
    with pytest.raises(NotAuthenticated):
        mint(who, parent if by_key else None, scopes=["read"])


def test_a_key_makes_no_endless_line_of_keys(who: UUID) -> None:
    key_id = made(who)
    for _ in range(minting.MAX_MAKERS):
        key_id = mint(who, key_id)
    with pytest.raises(Forbidden, match="times over"):
        mint(who, key_id)


# --- budgets and rates of a line ---


def test_rotation_brings_no_fresh_budget_and_keeps_the_end(who: UUID) -> None:
    offer = model(price={"credits": 4})
    ends = datetime.now(UTC) + 9 * DAY
    old = made(who, monthly_credits=10, expires_at=ends)
    placed(who, offer, api_key_id=old, key_budget=10)
    new = rotate(who, old, old)
    newest = rotate(who, new, new)
    answers = place(*(order(who, offer, api_key_id=each, key_budget=10) for each in (new, newest, old)))
    assert [type(each).__name__ for each in answers] == ["Accepted", "BudgetExceeded", "BudgetExceeded"]
    assert rows("select key_id, credits from key_spending") == [(old, 8)]
    assert {row[0] for row in rows("select expires_at from api_keys")} == {ends}
    with transaction() as conn:
        assert {each.spent_this_month for each in api_keys.list_keys(conn, who)} == {8}
    assert_books_are_clean()


def test_what_a_child_spends_counts_for_every_key_above_it_and_comes_back_to_them(who: UUID) -> None:
    offer = model(price={"credits": 4})
    top = made(who, monthly_credits=13)
    middle = mint(who, top, monthly_credits=9)
    low = mint(who, middle)
    job = placed(who, offer, api_key_id=low, key_budget=9)
    placed(who, offer, api_key_id=middle, key_budget=9)
    assert dict(rows("select key_id, credits from key_spending")) == {top: 8, middle: 8, low: 4}
    answers = place(*(order(who, offer, api_key_id=each, key_budget=9) for each in (low, middle, top, top)))
    assert [type(each).__name__ for each in answers] == [
        "BudgetExceeded",
        "BudgetExceeded",
        "Accepted",
        "BudgetExceeded",
    ]
    assert "the key that made this one" in str(answers[0])
    finish(job, cost=1)
    assert dict(rows("select key_id, credits from key_spending")) == {top: 9, middle: 5, low: 1}
    assert_books_are_clean()


def test_a_child_of_a_rotated_key_counts_for_the_line(who: UUID) -> None:
    offer = model(price={"credits": 4})
    old = made(who, monthly_credits=10)
    child = mint(who, old)
    new = rotate(who, old, old)
    other = mint(who, new)
    for each in (child, other):
        placed(who, offer, api_key_id=each, key_budget=10)
    answers = place(*(order(who, offer, api_key_id=each, key_budget=10) for each in (new, child, other)))
    assert {type(each).__name__ for each in answers} == {"BudgetExceeded"}
    assert_books_are_clean()


def test_the_audit_finds_a_child_that_was_not_counted_for_its_maker(who: UUID) -> None:
    offer = model(price={"credits": 4})
    parent = made(who, monthly_credits=10)
    placed(who, offer, api_key_id=mint(who, parent), key_budget=10)
    with transaction() as conn:
        conn.execute("update key_spending set credits = 0 where key_id = %s", [parent])
    with transaction() as conn:
        assert [each.rule for each in audit.audit(conn)] == ["keys_spend_what_their_jobs_hold_or_cost"]


def test_a_keys_rate_is_that_of_its_line_and_of_those_above_it(who: UUID) -> None:
    top = made(who, per_minute=10)
    child = mint(who, top, per_minute=3)
    new = rotate(who, child, child)
    with transaction() as conn:
        found = api_keys.callers(conn, [bytes(one("select hash from api_keys where id = %s", new)[0])])[0]
    assert found is not None
    assert sorted(found.rates) == sorted([scopes.Rate(top, 10), scopes.Rate(child, 3)])


def test_the_first_key_of_a_line_and_keys_whose_lines_have_paid_are_not_forgotten(who: UUID) -> None:
    offer = model(price={"credits": 4})
    plain, spender = made(who), made(who, monthly_credits=10)
    successor, later = rotate(who, plain, plain, 0), rotate(who, spender, spender, 0)
    last = rotate(who, later, later, 0)
    finish(placed(who, offer, api_key_id=later, key_budget=10), cost=4)
    with transaction() as conn:
        conn.execute("update api_keys set retires_at = app_now() - interval '1 year' where retires_at is not null")
        assert api_keys.forget(conn, 100) == 0
    revoke(successor)
    with transaction() as conn:
        conn.execute("update api_keys set revoked_at = app_now() - interval '1 year' where revoked_at is not null")
        assert api_keys.forget(conn, 100) == 2  # the successor, and then nothing needs the root
        assert {row[0] for row in conn.execute("select id from api_keys").fetchall()} == {spender, later, last}
    assert_books_are_clean()


# --- who may rotate, and what ends with what ---


def test_rotation_of_a_better_key_is_refused_and_changes_nothing(who: UUID) -> None:
    little, big = made(who, scopes=["read", "write"]), made(who)
    with pytest.raises(Forbidden):
        rotate(who, little, big)
    assert one("select count(*), count(retires_at) from api_keys") == (2, 0)
    with pytest.raises(NotFound):
        rotate(who, big, uuid7())
    assert works(rotate(who, big, little), rotate(who, None, big)) == [True, True]


def test_a_rotated_key_that_rotates_itself_again_lives_no_longer_by_it(who: UUID) -> None:
    leaked = made(who)
    assert works(rotate(who, leaked, leaked, 1)) == [True]
    again = rotate(who, leaked, leaked, 1)
    left = one("select expires_at - app_now() from api_keys where id = %s", again)[0]
    assert left <= timedelta(hours=1)
    assert one("select expires_at - app_now() from api_keys where id = %s", mint(who, leaked))[0] <= timedelta(hours=1)
    assert one("select expires_at from api_keys where id = %s", rotate(who, None, leaked)) == (None,)


def test_what_a_revoked_key_has_made_ends_with_it_and_what_it_was_rotated_into_does_not(who: UUID) -> None:
    parent = made(who)
    child = mint(who, parent)
    grandchild = mint(who, child)
    turned = rotate(who, child, child)
    successor, other = rotate(who, parent, parent), made(who)
    revoke(parent)
    assert works(parent, child, grandchild, turned, successor, other) == [False] * 4 + [True] * 2
    before = rows("select id, revoked_at from api_keys where revoked_at is not null order by id")
    revoke(parent)
    assert rows("select id, revoked_at from api_keys where revoked_at is not null order by id") == before


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
def test_a_key_ends_with_its_maker_however_that_came_to_its_end(who: UUID, column: str) -> None:
    parent = made(who)
    child = mint(who, mint(who, parent))
    with transaction() as conn:
        conn.execute(f"update api_keys set {column} = app_now() where id = %s", [parent])
    assert works(child) == [False]


def test_what_a_rotated_key_has_made_lives_on_with_the_line(who: UUID) -> None:
    parent = made(who)
    child = mint(who, parent)
    rotate(who, parent, parent, 0)
    assert works(parent, child) == [False, True]


def test_demotion_ends_the_keys_that_are_more_than_the_new_role(who: UUID) -> None:
    user = one("select user_id from accounts where id = %s", who)[0]
    with transaction() as conn:
        accounts.change_role(conn, By("tester"), user, "admin")
    boss, plain = mint(who, None, scopes=SCOPES), mint(who, None)
    child = mint(who, boss, scopes=["read"])
    with transaction() as conn:
        accounts.change_role(conn, By("tester"), user, "pro")
    assert works(boss, child, plain) == [False, False, True]
    with pytest.raises(Forbidden):
        mint(who, None, scopes=["admin"])
    with transaction() as conn:
        accounts.change_role(conn, By("tester"), user, "admin")
    assert works(boss, child) == [False, False]


def test_a_visitor_is_let_in_again_only_as_what_they_were(who: UUID) -> None:
    key = made(who, scopes=["generate"])  # may wait for what it orders
    other = account()
    signed_in = people.Visitor(who, None, "user")
    inside = {signed_in, people.Visitor(who, key, "user"), people.Visitor(other, None, "user")}
    outside = {
        people.Visitor(who, None, "pro"),
        people.Visitor(other, key, "user"),
        people.Visitor(who, uuid7(), "user"),
    }
    with transaction() as conn:
        assert people.still_let_in(conn, list(inside | outside)) == inside
        assert people.still_let_in(conn, []) == set()
    revoke(key)
    with transaction() as conn:
        assert people.still_let_in(conn, list(inside)) == inside - {people.Visitor(who, key, "user")}
        conn.execute("update users set banned = true where id = (select user_id from accounts where id = %s)", [who])
        assert people.still_let_in(conn, list(inside)) == {people.Visitor(other, None, "user")}


def test_a_list_shows_every_key_that_works_however_many_were_revoked_since(who: UUID) -> None:
    old = made(who)
    plant_revoked(who, 30)
    with transaction() as conn:
        shown = api_keys.list_keys(conn, who, limit=10)
        assert (len(shown), shown[0].id) == (10, old)
        rest = api_keys.list_keys(conn, who, after=(True, shown[-1].id))
    assert len(rest) == 21
    assert all(each.revoked_at is not None for each in rest)


def plant_revoked(account_id: UUID, count: int) -> None:
    """As many keys that were revoked, newer than all others."""
    with transaction() as conn:
        conn.execute(
            """insert into api_keys (id, account_id, name, prefix, hash, revoked_at)
               select id, %s, 'planted', 'hr_', sha256(id::text::bytea), app_now() from unnest(%s::uuid[]) as x(id)""",
            [account_id, [uuid7() for _ in range(count)]],
        )
