"""Who stands behind an account is asked of the database, under the lock under which people are shut out."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import NotAuthenticated
from models.access.holders import find_current_role
from models.db import transaction
from tests.models.hands import change, while_locked
from tests.support import account

pytestmark = pytest.mark.usefixtures("database")


def role_of(account_id: UUID) -> str:
    with transaction() as conn:
        return find_current_role(conn, account_id)


@pytest.mark.parametrize("role", ["user", "pro", "admin"])
def test_the_role_is_the_one_that_the_user_has_now(role: str) -> None:
    account()
    who = account()
    change("update users set role = %s where id = (select user_id from accounts where id = %s)", role, who)
    assert role_of(who) == role


@pytest.mark.parametrize(("state", "why"), [
    ("banned = true", "banned"), ("deleted_at = app_now()", "deleted"), ("banned = true, deleted_at = app_now()", "deleted"),
])  # fmt: skip
def test_who_is_shut_out_has_no_role(state: str, why: str) -> None:
    who = account()
    change(f"update users set {state}")
    with pytest.raises(NotAuthenticated, match=f"this user is {why}"):
        role_of(who)


def test_an_account_that_is_not_there_has_nobody_behind_it() -> None:
    with pytest.raises(NotAuthenticated, match="this user is gone"):
        role_of(uuid4())


def test_who_is_banned_while_the_lock_is_waited_for_has_no_role() -> None:
    who = account()

    def ban(other: Any) -> None:
        other.execute("update users set banned = true")

    with pytest.raises(NotAuthenticated, match="banned"):
        while_locked("select 1 from accounts where id = %s for no key update", [who], lambda: role_of(who), ban)
