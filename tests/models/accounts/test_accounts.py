"""Users and their accounts: opened once, listed, and what a change of role takes away."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import NotFound
from models.access import api_keys, audit_log
from models.access.api_keys import NewKey
from models.access.audit_log import By
from models.accounts import accounts
from models.accounts.accounts import UserRow
from models.db import transaction
from tests.models.hands import change, while_locked
from tests.support import assert_books_are_clean, eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")

BOSS = By("boss")


def opened(subject: str, plan: str = "free", **fields: Any) -> tuple[UUID, bool]:
    with transaction() as conn:
        return accounts.open_account(conn, issuer="https://issuer", subject=subject, default_plan=plan, **fields)


def user_of(account_id: UUID) -> UUID:
    found: UUID = one("select user_id from accounts where id = %s", account_id)[0]
    return found


def given(user_id: UUID, role: Any) -> None:
    with transaction() as conn:
        accounts.change_role(conn, BOSS, user_id, role)


def listed(**fields: Any) -> list[UserRow]:
    with transaction() as conn:
        return accounts.users(conn, **fields)


# Opening


@pytest.mark.parametrize(("plan", "credits_given"), [("free", [10]), ("pro", [])])
def test_credits_for_a_start_come_with_the_plan_that_gives_them_once(plan: str, credits_given: list[int]) -> None:
    account_id, is_new = opened("ada", plan)
    assert is_new
    assert opened("ada", plan) == (account_id, False)
    assert [row[0] for row in rows("select amount from grants")] == credits_given
    assert one("select available, plan_id from accounts") == (sum(credits_given), plan)
    assert_books_are_clean()


def test_a_plan_that_gives_nothing_writes_no_grant() -> None:
    change("update plans set credits = 0 where id = 'free'")
    opened("ada")
    assert rows("select 1 from grants") == []


def test_a_plan_that_is_not_there_opens_nothing_and_a_later_try_does() -> None:
    with pytest.raises(NotFound):
        opened("ada", "gold")
    assert rows("select 1 from users") == []
    assert opened("ada")[1]


def test_whoever_is_opened_at_the_same_moment_is_found() -> None:
    with ThreadPoolExecutor(1) as thread:
        with transaction() as other:
            first, _ = accounts.open_account(other, issuer="https://issuer", subject="ada", default_plan="free")
            asked = thread.submit(opened, "ada")
            eventually(lambda: lock_waits() == 1, what="the wait for the first")
        assert asked.result(timeout=10) == (first, False)
    assert_books_are_clean()


# Listing


def test_users_are_listed_newest_first_page_by_page_and_found_by_their_address() -> None:
    ids = [user_of(opened(name, email=f"{name}@example.com")[0]) for name in ("ada", "bob", "eve")]
    assert [each.id for each in listed()] == ids[::-1]
    assert [each.id for each in listed(limit=2)] == ids[:0:-1]
    assert [each.id for each in listed(before=ids[1])] == ids[:1]
    [bob] = listed(email="bob@example.com")
    assert (bob.id, bob.subject, bob.role, bob.plan) == (ids[1], "bob", "user", "free")
    assert listed(email="BOB@example.com") == []
    assert listed(email="bob@example.com", before=ids[1]) == []
    with transaction() as conn:
        assert accounts.user(conn, ids[1]) == bob
        with pytest.raises(NotFound):
            accounts.user(conn, uuid4())


# Roles


def test_a_change_of_role_is_written_down_and_the_same_role_again_is_not() -> None:
    user_id = user_of(opened("ada")[0])
    given(user_id, "pro")
    given(user_id, "pro")
    with transaction() as conn:
        acts = audit_log.list_acts(conn, subject=str(user_id))
    assert [(act.actor, act.action, act.details) for act in acts] == [
        ("boss", "user.role", {"before": "user", "after": "pro"})
    ]
    with pytest.raises(NotFound):
        given(uuid4(), "admin")
    assert len(rows("select 1 from acts")) == 1


def test_whoever_becomes_less_loses_the_keys_that_are_more_and_whoever_becomes_more_loses_none() -> None:
    account_id, other = opened("ada")[0], opened("bob")[0]
    user_id = user_of(account_id)
    given(user_id, "admin")
    with transaction() as conn:
        small, _ = api_keys.create(conn, account_id, NewKey("small"))
        large, _ = api_keys.create(conn, account_id, NewKey("large", ["read", "admin"]))
        theirs, _ = api_keys.create(conn, other, NewKey("theirs", ["admin"]))

    def living() -> set[UUID]:
        return {row[0] for row in rows("select id from api_keys where revoked_at is null")}

    given(user_id, "admin")
    assert living() == {small, large, theirs}
    given(user_id, "pro")
    assert living() == {small, theirs}
    given(user_id, "admin")
    assert living() == {small, theirs}, "what was revoked does not come to life again"


def test_a_key_that_is_made_while_its_maker_becomes_less_is_revoked() -> None:
    account_id, _ = opened("ada")
    user_id = user_of(account_id)
    given(user_id, "admin")
    lock = "select 1 from accounts where id = %s for no key update"

    def make(other: Any) -> None:
        api_keys.create(other, account_id, NewKey("large", ["admin"]))

    while_locked(lock, [account_id], lambda: given(user_id, "user"), make)
    assert rows("select name from api_keys where revoked_at is null") == []
