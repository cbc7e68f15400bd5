"""How the business stands: right figures, asked for rarely, and what cannot be had takes nothing else away."""

from typing import Any

import pytest
from psycopg import Connection
from uuid_utils.compat import uuid7

from common.telemetry import figures
from models.db import transaction
from models.fleet import processes
from models.usage import business
from models.usage.business import Business, read_now, read_today
from scheduler.watching import watch
from tests.support import account, model, placed

pytestmark = pytest.mark.usefixtures("database")


def test_what_lives_now_is_counted() -> None:
    offer = model("quick", price={"unit": "job", "credits": 3})
    who = account(amount=100)
    for _ in range(4):
        placed(who, offer)
    with transaction() as conn:
        processes.report_worker(conn, "w1", "interactive", 8, 7, 2)
        processes.report_worker(conn, "killed", "interactive", 8, 8, 8)
        conn.execute("update worker_processes set seen_at = app_now() - interval '2 minutes' where id = 'killed'")
        assert processes.take_turn(conn, "rescue", 1)
        processes.end_turn(conn, "rescue", 0, "it failed")
        conn.execute("update duties set next_at = app_now() - interval '100 seconds' where name = 'rescue'")
    found = read_now()
    queues = {row.queue: row for row in found.queues}
    assert queues["interactive"].depth + queues["interactive"].waiting == 4
    assert found.reserved == 12
    assert dict(found.threads) == {"wanted": 8, "alive": 7, "busy": 2}
    [(name, late, failed)] = [each for each in found.duties if each[0] == "rescue"]
    assert (name, failed) == ("rescue", True)
    assert 99 < late < 160
    assert found.receivers_late_seconds == 0


def test_who_ordered_in_the_last_day_is_active_and_payments_are_by_their_money() -> None:
    offer = model("quick")
    now_and_then, long_ago = account(amount=10), account(amount=10)
    placed(now_and_then, offer)
    placed(now_and_then, offer)
    old = placed(long_ago, offer)
    with transaction() as conn:
        conn.execute("set session_replication_role = replica")
        new_id = (old.int & ((1 << 80) - 1)) | (((old.int >> 80) - 25 * 3_600_000) << 80)
        for table, column in (("jobs", "id"), ("job_runs", "job_id"), ("reservations", "job_id")):
            conn.execute(f"update {table} set {column} = %s::uuid where {column} = %s", [f"{new_id:032x}", old])
        conn.execute("set session_replication_role = origin")
        for money, status in (("paid", "paid"), ("failed", "failed"), ("pending", "pending"), ("paid", "paid")):
            conn.execute(
                """insert into payments (id, account_id, company, purpose, item, price, currency, expires_at, money, status, paid,
                                         paid_currency, paid_at)
                   values (%s, %s, 'manual', 'pack', 'p', 5, 'USD', app_now() + interval '1 day', %s, %s, %s, %s, %s)""",
                [
                    uuid7(),
                    long_ago,
                    money,
                    status,
                    *((5, "USD", "2026-01-01") if money == "paid" else (None, None, None)),
                ],
            )
    found = read_today()
    assert list(found.active) == [("free", 1)]
    assert dict(found.payments) == {"paid": 2, "failed": 1, "pending": 1}


def test_many_who_look_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    monkeypatch.setattr(business, "read_now", lambda: asked.append("now") or read_now())
    monkeypatch.setattr(business, "read_today", lambda: asked.append("today") or read_today())
    time = [100.0]
    looked = Business(clock=lambda: time[0])
    for _ in range(5):
        looked.now()
        looked.today()
    assert asked == ["now", "today"]
    time[0] += business.FRESH_SECONDS
    looked.now()
    looked.today()
    assert asked == ["now", "today", "now"]
    time[0] += business.SLOW_FRESH_SECONDS
    looked.today()
    assert asked == ["now", "today", "now", "today"]


def test_what_cannot_be_had_takes_nothing_else_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(conn: Connection[Any]) -> int:
        conn.execute("select pg_sleep(30)")
        return 0

    monkeypatch.setattr(business, "reserved", slow)
    monkeypatch.setattr(business, "QUESTION_SECONDS", 1)
    found = read_now()
    assert found.reserved is None
    assert {row.queue for row in found.queues} == {"interactive", "batch"}
    monkeypatch.setattr(business, "read_now", lambda: found)
    watch(Business())
    try:
        assert figures.CREDITS_RESERVED.reader is not None
        assert list(figures.CREDITS_RESERVED.reader()) == []
        assert figures.QUEUE.reader is not None
        assert len(list(figures.QUEUE.reader())) == 10
    finally:
        figures.end()
