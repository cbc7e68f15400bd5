"""Who may do what, decided without a database."""

from uuid import uuid4

import pytest

from common.errors import Forbidden
from models.access.scopes import ROLES, SCOPES, Caller, Role, Scope, below, check, daily_texts_left


def caller(*scopes: str, role: Role = "user", **fields: object) -> Caller:
    return Caller(uuid4(), uuid4(), uuid4(), frozenset(scopes), role, **fields)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_is_needed_and_admin_needs_the_role_as_well(scope: Scope) -> None:
    with pytest.raises(Forbidden):
        check(caller(*(set(SCOPES) - {scope}), role="admin"), scope)
    check(caller(scope, role="admin"), scope)
    if scope == "admin":
        with pytest.raises(Forbidden):
            check(caller(scope, role="pro"), scope)


@pytest.mark.parametrize(("limit", "used", "left"), [(None, 99, None), (5, 0, 5), (5, 4, 1), (5, 5, 0), (5, 9, 0)])
def test_the_playgrounds_day_has_so_many_texts_left(limit: int | None, used: int, left: int | None) -> None:
    assert daily_texts_left(limit, used) == left


def test_a_role_is_below_those_that_come_after_it() -> None:
    assert [below(role, "pro") for role in ROLES] == [True, False, False, False]
    assert [below(role, "editor") for role in ROLES] == [True, True, False, False]
