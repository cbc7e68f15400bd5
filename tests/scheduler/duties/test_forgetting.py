"""Every table has a bound: what only grows is forgotten, in bounded batches, by a duty."""

from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from common.errors import EndpointDisabled, NotFound, RateLimited
from models.access import api_keys, audit_log, browser_tokens
from models.access.api_keys import NewKey
from models.access.audit_log import By
from models.access.browser_tokens import NewToken
from models.db import transaction
from models.events import deliveries, endpoints, sending
from models.schema.tables import metadata
from scheduler.duties import retention
from tests.conftest import environment
from tests.models.hands import change
from tests.receivers import receivers
from tests.support import account, caller, one, rows

pytestmark = pytest.mark.usefixtures("database")

DOCUMENT = Path(__file__).parents[3] / "docs" / "operating.md"


def days_ago(table: str, column: str, days: int, where: str = "true") -> None:
    with transaction() as conn:
        conn.execute(f"update {table} set {column} = app_now() - make_interval(days => %s) where {where}", [days])


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_operators_can_read_what_bounds_each_table(table: str) -> None:
    section = DOCUMENT.read_text().partition("## What is kept, and for how long")[2].partition("\n## ")[0]
    assert f"`{table}`" in section


def test_lines_of_deliveries_are_forgotten_once_nothing_was_sent_on_them_for_long() -> None:
    with receivers(1) as [there]:
        who = account()
        for _ in range(3):
            with transaction() as conn:
                made = endpoints.create(conn, who, there.url, ())[0].id
                deliveries.send(conn, who, made, "webhook.test", {}, endpoint_id=made)
                endpoints.remove(conn, who, made)
        with transaction() as conn:
            for line, _ in sending.claim(conn, "tester", 3, suspects=3):
                sending.take(conn, line)
        days_ago("delivery_queues", "used_at", 29)
        assert retention.forget_delivery_queues(10) == 0
        days_ago("delivery_queues", "used_at", 31)
        with transaction() as conn:
            kept = deliveries.send(conn, who, one("select id from delivery_queues limit 1")[0], "webhook.test", {})
        assert [retention.forget_delivery_queues(1) for _ in range(3)] == [1, 1, 0]
        assert one("select l.id = d.queue_id from delivery_queues l, deliveries d where d.id = %s", kept) == (True,)


def made_keys(who: UUID, count: int) -> list[UUID]:
    with transaction() as conn:
        return [api_keys.create(conn, who, NewKey(f"key {number}"))[0] for number in range(count)]


def test_keys_that_were_revoked_or_expired_long_ago_are_forgotten_and_those_with_a_budget_stay() -> None:
    revoked, expired, spent, used = made_keys(account(), 4)
    with transaction() as conn:
        conn.execute("update api_keys set revoked_at = app_now() where id = any(%s)", [[revoked, spent]])
        conn.execute("insert into key_spending (key_id, month, credits) values (%s, '2026-01-01', 5)", [spent])
    days_ago("api_keys", "revoked_at", 89, "revoked_at is not null")
    assert retention.forget_api_keys(10) == 0
    days_ago("api_keys", "revoked_at", 91, "revoked_at is not null")
    days_ago("api_keys", "expires_at", 91, f"id = '{expired}'")
    assert retention.forget_api_keys(10) == 2
    assert {row[0] for row in rows("select id from api_keys")} == {spent, used}


def test_tokens_are_forgotten_a_day_after_their_end() -> None:
    who = caller(account())
    with transaction() as conn:
        old, lately, living = (
            browser_tokens.give_out(conn, who, NewToken(["generate"], credits=1))[0].id for _ in range(3)
        )
    for token_id, hours in ((old, 25), (lately, 23)):
        change(
            "update browser_tokens set expires_at = app_now() - make_interval(hours => %s) where id = %s",
            hours,
            token_id,
        )
    assert [retention.forget_tokens(10) for _ in range(2)] == [1, 0]
    assert {row[0] for row in rows("select id from browser_tokens")} == {lately, living}


def test_who_makes_and_revokes_keys_without_end_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_REVOKED", 5)
    who = account()
    for _ in range(12):
        made = made_keys(who, 1)[0]
        with transaction() as conn:
            api_keys.revoke(conn, made, account_id=who)
    assert len(rows("select 1 from api_keys")) == 6  # and the one that has just been revoked
    assert one("select max(created_at) from api_keys where revoked_at is not null")[0] is not None


def test_rows_of_uploads_go_once_their_objects_are_gone_for_long() -> None:
    who = account()
    with transaction() as conn:
        for number in range(3):
            conn.execute(
                """insert into uploads (id, account_id, key, media_type, size_bytes, sha256, expires_at, status,
                                        expired_at, purged_at)
                   values (%s, %s, %s, 'image/png', 1, %s, app_now(), 'expired', app_now(), app_now())""",
                [uuid7(), who, f"uploads/{number}", b"0" * 32],
            )
        conn.execute("update uploads set purged_at = null where key = 'uploads/2'")
    days_ago("uploads", "purged_at", 31, "purged_at is not null")
    assert [retention.forget_uploads(1) for _ in range(3)] == [1, 1, 0]
    assert rows("select key from uploads") == [("uploads/2",)]


def test_acts_are_kept_for_the_days_set_and_the_table_keeps_them_for_a_year_whatever_is_asked() -> None:
    with transaction() as conn:
        for number in range(3):
            audit_log.record(conn, By("tester"), "test", str(number))
    with pytest.raises(psycopg.errors.RestrictViolation), transaction() as conn:
        conn.execute("delete from acts")
    with pytest.raises(psycopg.errors.RestrictViolation), transaction() as conn:
        conn.execute("update acts set subject = 'other'")
    assert retention.forget_acts(10) == 0
    with environment({"CLOCK_OFFSET_SECONDS": str(400 * 86400)}):
        assert retention.forget_acts(10) == 0
        with environment({"ACT_DAYS": "365"}):
            assert [retention.forget_acts(2) for _ in range(3)] == [2, 1, 0]


def test_a_webhook_is_tested_so_often_an_hour_and_no_more() -> None:
    with receivers(1) as [there]:
        who, other = account(), account()
        with transaction() as conn:
            made = endpoints.create(conn, who, there.url, ())[0].id
            for _ in range(endpoints.MAX_TESTS_PER_HOUR):
                endpoints.count_test(conn, who, made)
            with pytest.raises(RateLimited):
                endpoints.count_test(conn, who, made)
            with pytest.raises(NotFound):
                endpoints.count_test(conn, other, made)
        with environment({"CLOCK_OFFSET_SECONDS": "3700"}), transaction() as conn:
            endpoints.count_test(conn, who, made)
            endpoints.change(conn, who, made, enabled=False)
            with pytest.raises(EndpointDisabled):
                endpoints.count_test(conn, who, made)
