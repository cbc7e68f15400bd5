"""A clock that jumps times nothing out, takes nothing away, and leaves no wake lying hours ahead."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from common.settings import settings
from models.db import transaction
from models.jobs import facts, steps
from scheduler import main
from scheduler.duties.clock import Watch
from scheduler.main import run_turn
from tests.conftest import environment
from tests.receivers import receivers, sending, tell
from tests.support import System, account, claimed, ended, eventually, model, one, placed, rows
from tests.workers.deliver.test_main import endpoint

pytestmark = pytest.mark.usefixtures("database")

HOURS = 7200
JUMPS = [pytest.param(HOURS, id="forward"), pytest.param(-HOURS, id="back")]


@contextmanager
def jumped(seconds: int) -> Iterator[None]:
    with environment({"CLOCK_OFFSET_SECONDS": str(seconds)}):
        yield


def duty(name: str) -> main.Duty:
    return next(each for each in main.duties() if each.name == name)


def polled(offer: object, after_seconds: float = 30) -> UUID:
    claim = claimed(placed(account(amount=5), offer))
    assert claim.live is not None
    with transaction() as conn:
        facts.accept(
            conn, claim, claim.live.number, provider_job_id=str(claim.job_id), after_seconds=after_seconds, progress=0
        )
    return claim.job_id


def left(job_id: UUID) -> tuple[float, float]:
    """Seconds until a job wakes, and until its limit."""
    row = one(
        """select extract(epoch from wake_at - app_now())::float, extract(epoch from deadline_at - app_now())::float
             from job_runs where job_id = %s""",
        job_id,
    )
    return row[0], row[1]


@pytest.mark.parametrize("by", JUMPS)
def test_what_a_job_has_left_is_the_same_after_a_jump(by: int) -> None:
    watch, offer = Watch(), model(timeout_seconds=600)
    job_id = polled(offer)
    assert watch.settled()
    before = left(job_id)
    with jumped(by):
        assert not watch.settled()
        fresh = polled(offer)  # after the jump, by the new clock
        wake, limit = left(job_id)
        assert limit == pytest.approx(before[1], abs=15)
        assert wake <= 60
        assert left(fresh)[1] == pytest.approx(600, abs=5)
        assert one("select by_seconds, count(*) over () from clock_jumps")[1] == 1


@pytest.mark.parametrize("by", JUMPS)
def test_several_schedulers_see_a_jump_and_one_acts_on_it(by: int) -> None:
    watches, job_id = [Watch() for _ in range(4)], polled(model(timeout_seconds=600))
    assert all(each.settled() for each in watches)
    before = left(job_id)
    with jumped(by):
        threads = [threading.Thread(target=each.settled) for each in watches]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert left(job_id)[1] == pytest.approx(before[1], abs=15)
        assert len(rows("select 1 from clock_jumps")) == 1
    # And back again, which is another jump.
    assert not watches[0].settled()
    assert left(job_id)[1] == pytest.approx(before[1], abs=30)
    assert len(rows("select 1 from clock_jumps")) == 2


def test_nothing_is_taken_away_or_ended_for_one_lease_after_a_jump() -> None:
    with environment({"LEASE_SECONDS": "3"}):
        watch = Watch()
        claim = claimed(placed(account(amount=5), model()))
        assert run_turn(duty("rescue"), watch) == 0
        with environment({"CLOCK_OFFSET_SECONDS": str(HOURS)}):
            assert run_turn(duty("rescue"), watch) == 0, "a worker that lives was taken for lost"
            for name in ("expire_results", "expire_grants", "forget_keys", "drop_partitions"):
                run_turn(duty(name), watch)
                assert rows("select 1 from duties where name = %s", name) == []
            with transaction() as conn:  # the worker renews its lease, by the new clock
                assert steps.extend(conn, [(claim.job_id, claim.token, claim.owner)])
            eventually(watch.settled, seconds=6, what="a settled clock")
            eventually(lambda: run_turn(duty("rescue"), watch) == 1, seconds=6, what="the rescue of a lost one")


def test_a_clock_that_runs_evenly_is_no_jump() -> None:
    watch = Watch()
    assert all(watch.settled() for _ in range(20))
    assert rows("select 1 from clock_jumps") == []


def test_a_wake_that_lies_hours_ahead_is_mended_though_nobody_saw_the_jump() -> None:
    job_id = polled(model())
    held = claimed(placed(account(amount=5), model()))
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = wake_at + interval '2 hours'")
    assert run_turn(duty("mend_wakes")) == 2
    assert left(job_id)[0] <= 0
    assert left(held.job_id)[0] == pytest.approx(settings().lease_seconds, abs=5)
    with transaction() as conn:
        conn.execute("update duties set next_at = app_now()")
    assert run_turn(duty("mend_wakes")) == 0


def test_deliveries_wake_when_they_would_have_after_the_clock_was_set_back() -> None:
    with receivers(1) as [there]:
        there.behave = lambda _: 500
        who = account()
        endpoint(who, there)
        with jumped(HOURS):
            watch = Watch()
            assert watch.settled()
            tell(who)
            with sending():
                eventually(lambda: one("select attempts from deliveries")[0] >= 1, what="a first attempt")
            assert one("select status from deliveries") == ("pending",)
        there.behave = lambda _: 200
        assert not watch.settled()
        with sending():
            eventually(lambda: one("select status from deliveries") == ("delivered",), what="the second")


def set_clock(by: int) -> None:
    """Set the database's clock, for every process at once."""
    with psycopg.connect(settings().database_url, autocommit=True) as conn:
        conn.execute(
            f"""create or replace function app_now() returns timestamptz language sql stable parallel safe as $$
                  select now() + coalesce(nullif(current_setting('app.clock_offset', true), ''), '0')::interval
                       + interval '{by} seconds' $$"""
        )


@pytest.mark.parametrize("by", JUMPS)
def test_a_job_that_waits_while_the_clock_jumps_succeeds_in_time(system: System, by: int) -> None:
    # Rarely asked, so that the jump hardly falls into the moment in which a claim is under way (docs/operating.md).
    model("slow", options={"pending": True, "ready_seconds": 6, "poll_after_seconds": 3}, timeout_seconds=60)
    who = account(amount=5)
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        eventually(lambda: http.get("/v1/models/slow").status_code == 200, what="the model")
        job = http.post("/v1/jobs", json={"model": "slow", "input": {}}).json()["id"]
        eventually(lambda: rows("select 1 from attempts where phase = 'accepted'") == [(1,)], what="the provider's id")
        set_clock(by)
        try:
            done = ended(http, job, seconds=30)
        finally:
            set_clock(0)
        assert done["status"] == "succeeded"
        assert one("select count(*) from attempts") == (1,)
