"""What is read of Clerk's events: each field alone, whatever stands in it (who may send: tests/api/hooks/test_clerk.py)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from models.catalogue import provider_keys
from models.db import transaction
from models.identity import clerk
from models.identity.clerk import LAST_MS, MAX_TEXT, profile_of
from models.jobs.dispatch import Ring
from tests.support import claimed, model, one, placed, rows

ISSUER = "https://clerk.example"
NOBODY = datetime(1970, 1, 1, tzinfo=UTC)


def user(**fields: Any) -> dict[str, Any]:
    return {
        "id": "user_1", "updated_at": 5000, "primary_email_address_id": "b",
        "email_addresses": [{"id": "a", "email_address": "a@x"}, {"id": "b", "email_address": "b@x"}], **fields,
    }  # fmt: skip


def received(kind: str, data: Any, event_id: str = "1") -> list[Ring]:
    with transaction() as conn:
        return clerk.receive(conn, event_id, {"type": kind, "data": data}, issuer=ISSUER)


def account_id() -> Any:
    return one("select id from accounts")[0]


# A profile


@pytest.mark.parametrize(("fields", "email"), [
    ({}, "b@x"), ({"primary_email_address_id": "a"}, "a@x"), ({"primary_email_address_id": "c"}, None),
    ({"primary_email_address_id": None}, None), ({"email_addresses": []}, None), ({"email_addresses": "b"}, None),
    ({"email_addresses": ["b", {"id": "b"}]}, None), ({"email_addresses": [{"id": "b", "email_address": 5}]}, None),
    ({"primary_email_address_id": None, "email_addresses": [{"id": None, "email_address": "n@x"}]}, None),
    ({"email_addresses": [{"id": "b", "email_address": "x" * 999}]}, "x" * MAX_TEXT),
])  # fmt: skip
def test_the_address_is_the_primary_one(fields: dict[str, Any], email: str | None) -> None:
    assert profile_of(user(**fields)).email == email


@pytest.mark.parametrize(("at", "known"), [
    (5000, datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)), (LAST_MS, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (LAST_MS + 1, NOBODY), (-1, NOBODY), (0, NOBODY), (None, NOBODY), ("5000", NOBODY), (5000.5, NOBODY),
])  # fmt: skip
def test_a_change_that_has_no_moment_is_the_oldest_there_is(at: Any, known: datetime) -> None:
    assert profile_of(user(updated_at=at)).updated_at == known


@pytest.mark.parametrize(
    ("banned", "is_banned"), [(True, True), (False, False), (None, False), ("true", False), (1, False)]
)
def test_only_a_plain_yes_bans(banned: Any, is_banned: bool) -> None:
    assert profile_of(user(banned=banned)).banned is is_banned


def test_names_are_texts_or_nothing() -> None:
    found = profile_of(user(first_name="", last_name=["x"]))
    assert (found.first_name, found.last_name) == (None, None)


# An event


@pytest.mark.parametrize(("kind", "data"), [
    ("user.created", None), ("user.created", []), ("user.created", {"id": ""}), ("user.deleted", {"id": None}),
    ("user.renamed", {"id": "user_1"}), ("session.created", {"id": "user_1"}), ("", {"id": "user_1"}),
])  # fmt: skip
def test_what_names_nobody_or_nothing_that_we_know_is_kept_and_does_nothing(
    database: str, kind: str, data: Any
) -> None:
    assert received(kind, data) == []
    assert one("select processed_at from inbound_events") == (None,)
    assert rows("select 1 from users") == []


def test_an_event_is_acted_on_once(database: str) -> None:
    received("user.created", user())
    received("user.updated", user(updated_at=9000, first_name="Eve"), "1")
    assert one("select first_name, processed_at is not null from users, inbound_events") == (None, True)


def test_a_ban_takes_the_keys_at_providers_away_and_only_a_ban_does(database: str) -> None:
    received("user.created", user(), "1")
    with transaction() as conn:
        conn.execute("insert into providers (name, entry) values ('router', '{}') on conflict do nothing")
        provider_keys.save(conn, account_id(), "router", SecretStr("a key of their own"))
    received("user.updated", user(updated_at=6000), "2")
    assert rows("select provider from provider_keys") == [("router",)]
    received("user.updated", user(updated_at=7000, banned=True), "3")
    assert rows("select provider from provider_keys") == []


def test_a_deletion_rings_the_jobs_that_are_to_stop_and_empties_what_was_told_before_and_after(database: str) -> None:
    received("user.created", user(), "1")
    claim = claimed(placed(account_id(), model()))
    with transaction() as conn:
        conn.execute("update job_runs set lease_owner = null, wake_at = app_now() + interval '1 hour'")
    assert received("user.deleted", {"id": "user_1"}, "2") == [Ring(claim.job_id, "interactive")]
    received("user.updated", user(updated_at=9_000_000), "3")
    assert rows("select payload from inbound_events") == [({},)] * 3
    assert one("select email, deleted_at is not null from users") == (None, True)
