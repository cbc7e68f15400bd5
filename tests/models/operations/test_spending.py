"""A provider that has cost as much on a day as it may is paused until midnight in UTC, whatever is counted how often."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models.access.audit_log import By
from models.catalogue import providers
from models.catalogue.entries import Offer
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.jobs import ending, pauses
from models.jobs.ending import AttemptEnd, Ending
from models.jobs.pauses import PauseRow
from models.jobs.states import AttemptPhase
from models.operations import spending
from models.operations.spending import SpentToday
from scheduler.duties import operations
from tests.support import account, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def limited(limit: int | None, name: str = "dear") -> Offer:
    """A provider with a limit, and a model that is made there."""
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name=name, adapter="sketch", daily_usd_micros=limit)])
    return model(f"at-{name}", routes=[{"provider": name, "model": "image", "options": {"instant": True}}])


def spend(who: UUID, offer: Offer, usd_micros: int | None) -> None:
    """A job that has ended, and cost so much."""
    job_id = placed(who, offer)
    claim = claimed(job_id)
    attempt = AttemptEnd(1, AttemptPhase.DONE, charged=True, cost_usd_micros=usd_micros)
    with transaction() as conn:
        ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1, attempt=attempt), token=claim.token)


def today() -> dict[str, int]:
    with transaction() as conn:
        return {each.provider: each.usd_micros for each in spending.spent_today(conn)}


def paused() -> list[PauseRow]:
    with transaction() as conn:
        return pauses.list_pauses(conn)


def test_it_is_paused_once_its_limit_is_reached_and_until_midnight() -> None:
    who, offer = account(amount=50, plan="studio"), limited(100)
    spend(who, offer, 60)
    spend(who, offer, None)
    assert (operations.watch_spending(1), paused()) == (0, [])
    spend(who, offer, 40)
    assert operations.watch_spending(1) == 1
    [found] = paused()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert abs(found.until - midnight) < timedelta(seconds=1)
    assert (found.what, found.name, found.actor) == ("provider", "dear", "duty watch_spending")
    assert "$0.00 today" in found.reason
    assert operations.watch_spending(1) == 0, "it is paused already"
    assert len(rows("select 1 from acts where action = 'pause'")) == 1


def test_each_cost_is_counted_once_however_often_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    who, offer = account(amount=50, plan="studio"), limited(10**9)
    other = limited(10**9, "cheap")
    total = 0
    for late in (60, 60, 0, 0, 60, 0):  # what is counted for good, and what is still open
        monkeypatch.setattr(spending, "LATE_SECONDS", late)
        spend(who, offer, 7)
        spend(who, other, 1)
        total += 7
        assert today() == today() == {"dear": total, "cheap": total // 7}


def test_a_new_day_and_a_limit_that_is_taken_away_begin_at_nothing() -> None:
    who, offer = account(amount=50, plan="studio"), limited(10)
    spend(who, offer, 10)
    assert today() == {"dear": 10}
    with transaction() as conn:
        conn.execute(
            "update provider_days set day = day - 1, usd_micros = 1000000, counted_until = counted_until - interval '1 day'"
        )
    assert today() == {"dear": 10}
    limited(None)
    assert (today(), rows("select 1 from provider_days")) == ({}, [])


def test_an_operators_longer_pause_stays_and_what_was_resumed_is_paused_again() -> None:
    who, offer = account(amount=50, plan="studio"), limited(10)
    spend(who, offer, 10)
    boss = By("boss")
    with transaction() as conn:
        pauses.pause(conn, boss, "provider", "dear", "broken", seconds=pauses.MAX_SECONDS)
    assert operations.watch_spending(1) == 0
    assert [each.reason for each in paused()] == ["broken"]
    with transaction() as conn:
        pauses.resume(conn, boss, "provider", "dear", "mended")
    assert operations.watch_spending(1) == 1
    assert [each.actor for each in paused()] == [spending.BY.actor]
    limited(1000)
    with transaction() as conn:
        pauses.resume(conn, boss, "provider", "dear", "the limit is higher")
    assert (operations.watch_spending(1), paused()) == (0, [])


@pytest.mark.parametrize(("spent", "limit", "reached"), [(0, 1, False), (1, 1, True), (2, 1, True), (99, 100, False)])
def test_a_limit_is_reached_by_what_it_says(spent: int, limit: int, reached: bool) -> None:
    assert spending.is_reached(SpentToday("dear", spent, limit, 60.0)) is reached


def test_a_look_reads_the_jobs_of_a_minute() -> None:
    who, offer = account(amount=50, plan="studio"), limited(10)
    spend(who, offer, 1)
    today()
    with transaction() as conn:
        conn.execute("set local enable_seqscan = off")
        plan = conn.execute(f"explain {spending._SPENT}", [*[datetime.now(UTC)] * 3, "dear"])
        said = "\n".join(row[0] for row in plan.fetchall())
    assert "ix_jobs_ended_at" in said, said
    assert one("select count(*) from provider_days") == (1,)
