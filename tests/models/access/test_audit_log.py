"""The audit log: what was done by whom, unchangeable, and kept for as long as is said."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from models.access import audit_log
from models.access.audit_log import AuditRow, By
from models.db import transaction
from tests.conftest import environment
from tests.support import rows

pytestmark = pytest.mark.usefixtures("database")


def record(action: str, subject: str = "somebody", by: By | None = None, **details: Any) -> None:
    with transaction() as conn:
        audit_log.record(conn, by or By("tester"), action, subject, **details)


def listed(**fields: Any) -> list[AuditRow]:
    with transaction() as conn:
        return audit_log.list_acts(conn, **fields)


def age(days: int, where: str) -> None:
    """Only a test may disarm the guard of the table."""
    with transaction() as conn:
        conn.execute("set local session_replication_role = replica")
        conn.execute(f"update acts set at = at - make_interval(days => %s) where {where}", [days])


def test_an_act_says_who_did_what_to_whom_from_where() -> None:
    key_id, plan = uuid7(), UUID(int=1)
    record("grant", "account 1", By("user 1", key_id, "192.0.2.1"), amount=5, plan=plan, keys=[key_id])
    [act] = listed()
    assert act[2:] == (
        "user 1", key_id, "grant", "account 1", {"amount": 5, "plan": str(plan), "keys": [str(key_id)]}, "192.0.2.1",
    )  # fmt: skip


def test_an_act_that_was_undone_was_not_done() -> None:
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        audit_log.record(conn, By("tester"), "grant", "account 1")
        raise ZeroDivisionError
    assert listed() == []


def test_acts_are_listed_newest_first_page_by_page_and_by_whom_they_were_done_to() -> None:
    for number in range(5):
        record(f"act {number}", "odd" if number % 2 else "even")
    assert [each.action for each in listed(limit=2)] == ["act 4", "act 3"]
    assert [each.action for each in listed(before=listed(limit=2)[-1].id, limit=2)] == ["act 2", "act 1"]
    odd = listed(subject="odd")
    assert [each.action for each in odd] == ["act 3", "act 1"]
    assert [each.action for each in listed(subject="odd", before=odd[0].id)] == ["act 1"]
    assert listed(subject="nobody") == []


@pytest.mark.parametrize("statement", ["update acts set actor = 'nobody'", "delete from acts", "truncate acts"])
def test_nobody_changes_what_was_done_this_year(statement: str) -> None:
    record("grant")
    with pytest.raises(psycopg.Error), transaction() as conn:
        conn.execute(statement)
    assert len(listed()) == 1


def test_what_is_older_than_it_is_kept_is_forgotten_oldest_first() -> None:
    for number in range(4):
        record(f"act {number}")
    age(401, "action in ('act 0', 'act 1')")
    age(399, "action = 'act 2'")
    with environment({"ACT_DAYS": "400"}):
        with transaction() as conn:
            assert audit_log.forget(conn, 1) == 1
        assert [each.action for each in listed()] == ["act 3", "act 2", "act 1"]
        with transaction() as conn:
            assert audit_log.forget(conn, 10) == 1
            assert audit_log.forget(conn, 10) == 0
    assert rows("select action from acts order by id") == [("act 2",), ("act 3",)]
