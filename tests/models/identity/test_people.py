"""People: first seen by token or by event, described in any order, deleted once and for all."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import NotFound
from models.access import api_keys
from models.access.api_keys import NewKey
from models.access.scopes import ROLES
from models.db import transaction
from models.identity import people
from models.identity.people import Identity, Person, Profile, Visitor
from tests.models.hands import change
from tests.support import assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")

ADA, BOB = Identity("https://issuer", "ada", "ada@example.com"), Identity("https://issuer", "bob")
AT = datetime(2031, 3, 1, tzinfo=UTC)


def signed_up(identity: Identity = ADA, plan: str = "free") -> Person:
    with transaction() as conn:
        return people.sign_up(conn, identity, plan)


def described(profile: Profile, identity: Identity = ADA) -> Person:
    with transaction() as conn:
        return people.describe(conn, identity, profile, "free")


def buried(identity: Identity = ADA) -> UUID:
    with transaction() as conn:
        return people.bury(conn, identity, "free")


def profile(seconds: int = 0, **fields: Any) -> Profile:
    given = {"banned": False, "email": "new@example.com", "first_name": "Ada", "last_name": "L", **fields}
    return Profile(AT + timedelta(seconds=seconds), **given)


def user() -> tuple[Any, ...]:
    return one("select email, first_name, last_name, banned, updated_at_provider, deleted_at is not null from users")


# First sight


def test_a_first_sight_makes_a_user_an_account_and_its_credits_and_a_second_finds_them() -> None:
    first = signed_up()
    assert (first.role, first.refused) == ("user", None)
    assert signed_up(ADA._replace(email="other@example.com")) == first
    assert one("select email from users") == ("ada@example.com",), "only a first sight writes it"
    assert one("select plan_id, available from accounts") == ("free", 10)
    assert_books_are_clean()


def test_somebody_is_known_by_issuer_and_subject_together() -> None:
    seen = {signed_up(each).account_id for each in (ADA, BOB, ADA._replace(issuer="https://other"))}
    assert len(seen) == 3


def test_a_plan_that_is_not_there_makes_nobody() -> None:
    with pytest.raises(NotFound):
        signed_up(plan="gold")
    assert rows("select 1 from users") == []


def test_many_first_sights_at_once_make_one_user_and_one_grant() -> None:
    with ThreadPoolExecutor(6) as pool:
        seen = {person.account_id for person in pool.map(lambda _: signed_up(), range(12))}
    assert len(seen) == 1
    assert rows("select count(*) from grants") == [(1,)]
    assert_books_are_clean()


def test_people_are_found_in_the_order_asked_for_and_strangers_are_nobody() -> None:
    ada, bob = signed_up(), signed_up(BOB)
    with transaction() as conn:
        found = people.known(conn, [BOB, Identity("https://issuer", "eve"), ADA, BOB, ADA._replace(issuer="x")])
        assert people.known(conn, []) == []
    assert found == [bob, None, ada, bob, None]


# Profiles


def test_a_newer_profile_is_taken_over_and_an_older_one_is_not() -> None:
    signed_up()
    described(profile(10))
    assert user()[:4] == ("new@example.com", "Ada", "L", False)
    described(profile(9, email="older@example.com", first_name=None))
    assert user()[:2] == ("new@example.com", "Ada")
    described(profile(11, email=None, first_name=None, last_name=None))
    assert user()[:3] == (None, None, None), "what is not said any more is forgotten"


def test_profiles_of_the_same_moment_come_to_the_same_end_in_any_order() -> None:
    same = [
        profile(email="a@example.com"), profile(email="b@example.com"), profile(email=None, first_name="Z"),
        profile(email=None, banned=True), profile(-1, email="z@example.com", banned=True),
    ]  # fmt: skip
    ends = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(same), 0, None, 12)):
        identity = Identity("https://issuer", str(number))
        for each in order:
            described(each, identity)
        ends.add(one("select email, first_name, banned from users where subject = %s", str(number)))
    assert ends == {(None, "Ada", True)}, "and a ban wins"


def test_somebody_who_is_banned_is_refused_until_a_newer_profile_says_otherwise() -> None:
    assert described(profile(1, banned=True)).refused == "banned"
    assert signed_up().refused == "banned"
    assert described(profile(0)).refused == "banned"
    assert described(profile(2)).refused is None


# Deletion


def test_a_tombstone_names_nobody_and_no_later_word_brings_anybody_back() -> None:
    described(profile(5, banned=True))
    account_id = buried()
    assert user() == (None, None, None, False, None, True)
    when = one("select deleted_at from users")
    assert described(profile(99)) == signed_up()
    assert signed_up().refused == "deleted"
    assert buried() == account_id
    assert user() == (None, None, None, False, None, True)
    assert one("select deleted_at from users") == when
    with transaction() as conn:
        assert people.is_deleted(conn, ADA)
        assert not people.is_deleted(conn, BOB)


def test_somebody_never_seen_is_buried_all_the_same() -> None:
    account_id = buried()
    assert signed_up().account_id == account_id
    assert signed_up().refused == "deleted"
    assert_books_are_clean()


# Who is still let in


def let_in(*visitors: Visitor) -> set[Visitor]:
    with transaction() as conn:
        return people.still_let_in(conn, visitors)


def test_who_signed_in_is_let_in_as_what_they_were_or_less() -> None:
    who = signed_up().account_id
    for role in ROLES:
        change("update users set role = %s", role)
        visitors = {each: Visitor(who, None, each) for each in ROLES}
        allowed = {visitors[each] for each in ROLES[: ROLES.index(role) + 1]}
        assert let_in(*visitors.values()) == allowed
    assert let_in() == set()
    assert let_in(Visitor(uuid4(), None, "user")) == set()


@pytest.mark.parametrize("state", [
    "update users set banned = true", "update users set deleted_at = app_now()",
    "update api_keys set revoked_at = app_now()", "update api_keys set expires_at = app_now()",
])  # fmt: skip
def test_who_came_by_a_key_is_let_in_while_it_works_and_its_user_may(state: str) -> None:
    who, other = signed_up().account_id, signed_up(BOB).account_id
    with transaction() as conn:
        key_id, _ = api_keys.create(conn, who, NewKey("x"))
    mine, borrowed = Visitor(who, key_id, "user"), Visitor(other, key_id, "user")
    assert let_in(mine, borrowed, Visitor(who, uuid4(), "user")) == {mine}
    change(state)
    assert let_in(mine) == set()
