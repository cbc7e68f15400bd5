"""A turn of a duty: one thing that fails or is locked harms no other, and what is full goes on at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from psycopg.errors import LockNotAvailable
from uuid_utils.compat import uuid7

from common.errors import Unavailable
from common.settings import settings
from common.telemetry import figures
from models.access.audit_log import By
from models.accounts import paid_periods
from models.credits import ledger
from models.db import transaction
from models.events import announcements
from models.fleet import processes
from scheduler import main
from scheduler.duties import jobs, results, uploads
from scheduler.duties.accounts import announce
from scheduler.main import Duty, run_turn
from scheduler.turns import Aside, Did, each
from tests.collectors import samples, total
from tests.conftest import environment
from tests.scheduler.duties.preparations import LATE, stored
from tests.storage.scripted import Reply, scripted_s3
from tests.support import account, assert_books_are_clean, claimed, eventually, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


@contextmanager
def locked(*accounts: UUID) -> Iterator[None]:
    """Somebody holds these accounts."""
    with psycopg.connect(settings().database_url) as conn:
        conn.execute("select 1 from accounts where id = any(%s) for update", [list(accounts)])
        yield


@contextmanager
def broken(*accounts: UUID) -> Iterator[None]:
    """Whatever would tell these accounts an event fails."""
    names = ",".join(f"'{each}'" for each in accounts)
    with transaction() as conn:
        conn.execute(f"alter table events add constraint broken check (account_id not in ({names})) not valid")
    yield
    with transaction() as conn:
        conn.execute("alter table events drop constraint broken")


def lapsing(count: int) -> list[UUID]:
    """Accounts with a grant that expires within a day, in the order in which a duty finds them."""
    found = [account() for _ in range(count)]
    with transaction() as conn:
        for number, who in enumerate(found):
            grant_id = ledger.grant(conn, who, kind="gift", amount=5, ref="g")
            conn.execute(
                "update grants set expires_at = app_now() + make_interval(secs => %s) where id = %s",
                [3600 + number, grant_id],
            )
    return found


def available(who: UUID) -> int:
    return int(one("select available from accounts where id = %s", who)[0])


def duty(name: str, batch: int | None = None) -> Duty:
    found = next(each for each in main.duties() if each.name == name)
    return found if batch is None else found._replace(batch=batch)


def again(name: str) -> None:
    with transaction() as conn:
        conn.execute("update duties set next_at = app_now() where name = %s", [name])


def error_of(name: str) -> str | None:
    return one("select error from duties where name = %s", name)[0]


@pytest.mark.parametrize("trouble", [locked, broken])
def test_an_account_that_is_locked_or_fails_keeps_no_other_from_its_turn(trouble: object) -> None:
    bad, good = lapsing(8)[:6], []
    good = [row[0] for row in rows("select id from accounts where not (id = any(%s))", bad)]
    with environment(LATE), trouble(*bad):
        began = time.monotonic()
        run_turn(duty("expire_grants", 3))  # six fail, and three are picked at once
        assert time.monotonic() - began < 5
        assert {available(who) for who in good} == {0}
        assert {available(who) for who in bad} == {5}
        if trouble is broken:
            assert "6 errors" in str(error_of("expire_grants"))
    with environment(LATE):

        def expired() -> bool:
            again("expire_grants")
            run_turn(duty("expire_grants", 3))
            return {available(who) for who in bad} == {0}

        eventually(expired, what="the others' turn")
        assert error_of("expire_grants") is None
        assert_books_are_clean()


def test_subscriptions_are_granted_and_end_beside_one_that_fails() -> None:
    people = [account() for _ in range(4)]
    with transaction() as conn:
        for who in people:
            paid_periods.subscribe(conn, who, "studio", "monthly")
    with environment({"CLOCK_OFFSET_SECONDS": str(40 * 86400)}):
        with broken(people[0], people[1]):
            run_turn(duty("expire_subscriptions", 2))
            assert rows("select account_id from subscriptions where status = 'active' order by 1") == [
                (each,) for each in sorted(people[:2])
            ]
        assert "broken" in str(error_of("expire_subscriptions"))


def test_each_missed_period_is_told_at_its_own_number_and_none_is_granted_late() -> None:
    who = account()
    with transaction() as conn:
        subscription = paid_periods.subscribe(conn, who, "studio", "yearly")
    amount = one("select credits from plans where id = 'studio'")[0]
    with environment({"CLOCK_OFFSET_SECONDS": str(100 * 86400)}):  # three months, of which two were missed whole
        run_turn(duty("make_partitions"))
        run_turn(duty("grant_periods", 200))
        periods = rows(
            "select data->>'period', data->>'granted' from events where type = 'subscription.period' order by number"
        )
        assert periods == [("0", "true"), ("1", "false"), ("2", "false"), ("3", "true")]
        assert rows("select ref from grants where kind = 'plan' order by created_at") == [
            (f"plan:{subscription}:0",), (f"plan:{subscription}:3",),
        ]  # fmt: skip
        ends = one(
            """select s.started_at + interval '4 months' = g.expires_at from grants g, subscriptions s
                where g.ref like '%%:3'"""
        )
        assert ends == (True,)
        with transaction() as conn:
            ledger.expire_lapsed(conn, [who])
        assert available(who) == amount
        assert_books_are_clean()


def announced() -> None:
    with transaction() as conn:
        announcements.create(conn, By("tester"), "New", "There is more.")


def told() -> set[UUID]:
    return {row[0] for row in rows("select account_id from notifications where kind = 'announcement'")}


@pytest.mark.parametrize("trouble", [locked, broken])
def test_an_announcement_goes_on_past_accounts_that_cannot_be_told_and_comes_back_to_them(trouble: object) -> None:
    everybody = sorted(account() for _ in range(9))
    announced()
    with trouble(*everybody[2:5]):
        began = time.monotonic()
        for _ in range(8):
            announce(2)
        assert time.monotonic() - began < 4
        assert told() == set(everybody) - set(everybody[2:5])
        announced()  # and the next one does not wait for it
        for _ in range(8):
            announce(2)
        assert len(rows("select 1 from notifications")) == 12
        assert rows("select 1 from announcements where finished_at is not null") == []
    for _ in range(4):
        announce(2)
    assert rows("select account_id, count(*) from notifications group by 1 order by 1") == [(w, 2) for w in everybody]
    assert rows("select notified, missed, finished_at is not null from announcements") == [(9, [], True)] * 2
    assert_books_are_clean()


def test_an_account_that_can_never_be_told_is_given_up_after_a_day() -> None:
    everybody = sorted(account() for _ in range(3))
    announced()
    with broken(everybody[0]):
        announce(10)
        with environment(LATE):
            announce(10)
    assert one("select notified, missed, finished_at is not null from announcements") == (2, [everybody[0]], True)


@pytest.mark.parametrize("trouble", [locked, broken])
def test_results_of_others_expire_beside_an_account_that_is_locked_or_fails(trouble: object) -> None:
    first, second = account(amount=9), account(amount=9)
    stored(first, 4)
    stored(second, 2)
    with environment(LATE):
        with trouble(first):
            run_turn(duty("expire_results", 3))
            assert rows("select distinct account_id from assets where status = 'expired'") == [(second,)]
        eventually(lambda: results.expire_results(100) == 4, what="the first's turn")
        assert_books_are_clean()


def test_uploads_of_others_expire_beside_an_account_that_is_locked() -> None:
    first, second = account(), account()
    with transaction() as conn:
        for number, who in enumerate([first] * 4 + [second]):
            conn.execute("update accounts set storage_bytes = storage_bytes + 1 where id = %s", [who])
            conn.execute(
                """insert into uploads (id, account_id, key, media_type, size_bytes, sha256, expires_at)
                   values (%s, %s, %s, 'image/png', 1, %s, app_now() + make_interval(secs => %s))""",
                [uuid7(), who, f"uploads/{number}", b"0" * 32, number],
            )
    with environment(LATE), locked(first):
        run_turn(duty("expire_uploads", 3))
        assert rows("select distinct account_id from uploads where status = 'expired'") == [(second,)]
        assert uploads.expire_uploads(3) == 0


def refused(*object_keys: str) -> Reply:
    errors = "".join(f"<Error><Key>{key}</Key><Code>AccessDenied</Code></Error>" for key in object_keys)
    return Reply(200, f"<DeleteResult>{errors}</DeleteResult>".encode(), {"content-type": "application/xml"})


def test_objects_that_cannot_be_deleted_keep_no_other_waiting() -> None:
    stored(account(amount=20), 9)
    with environment({**LATE, "SIGNED_LINK_SECONDS": "1"}):
        results.expire_results(100)
        with transaction() as conn:
            conn.execute("update assets set expired_at = app_now() - interval '1 hour'")
        stuck = [row[0] for row in rows("select key from assets order by id limit 6")]
        with scripted_s3() as there:
            there.will(*(refused(*stuck[at : at + 2]) for at in (0, 2, 4)), refused())
            with environment({"S3_ENDPOINT_URL": there.url}):
                run_turn(duty("purge_results", 2))
        assert [row[0] for row in rows("select key from assets where purged_at is null order by id")] == stuck
        assert "cannot be deleted" in str(error_of("purge_results"))
        assert results.purge_results(100) == 6  # they can, now


def test_a_full_turn_goes_on_at_once_and_one_that_is_not_waits() -> None:
    left = [1000]

    def work(batch: int) -> int:
        did = min(batch, left[0])
        left[0] -= did
        return did

    busy = Duty("busy", 3600, work, 1)
    stopping = threading.Event()
    thread = threading.Thread(target=main._serve, args=(busy, stopping, main.Watch()))
    thread.start()
    try:
        eventually(lambda: left[0] == 0, what="a backlog of fifty turns")
        eventually(lambda: one("select next_at > app_now() + interval '59 minutes' from duties") == (True,))
    finally:
        stopping.set()
        thread.join()


def test_a_turn_that_lies_further_ahead_than_it_can_is_taken() -> None:
    with transaction() as conn:
        assert processes.take_turn(conn, "some_duty", 60)
        conn.execute("update duties set next_at = app_now() + interval '2 hours'")  # the clock was set back
    with transaction() as conn:
        assert processes.take_turn(conn, "some_duty", 60)
        assert not processes.take_turn(conn, "some_duty", 60)


@pytest.mark.parametrize(
    ("fails", "every_seconds", "again_seconds"), [(True, 3600, 30), (True, 5, 5), (False, 3600, 3600)]
)
def test_a_turn_that_failed_comes_again_soon_however_long_its_own_time_is(
    *, fails: bool, every_seconds: int, again_seconds: int
) -> None:
    """Somebody else's lock, or a server that was away for a moment, is no reason to make no partitions for an hour."""

    def work(_batch: int) -> int:
        if fails:
            raise LockNotAvailable("somebody held it")
        return 0

    did = run_turn(Duty("seldom", every_seconds, work, 10))
    assert did.errors == (("LockNotAvailable: somebody held it",) if fails else ())
    waits = one("select extract(epoch from next_at - finished_at)::float from duties where name = 'seldom'")[0]
    assert again_seconds - 3 < waits <= again_seconds


def test_an_error_of_a_duty_without_turns_is_seen() -> None:
    def work(_batch: int) -> Did:
        return Did(1, errors=["one of two failed"])

    stopping = threading.Event()
    thread = threading.Thread(
        target=main._serve, args=(Duty("quick", 0.05, work, 10, exclusive=False), stopping, main.Watch())
    )
    thread.start()
    eventually(lambda: rows("select error from duties") == [("one of two failed",)])
    stopping.set()
    thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_scheduler_whose_thread_has_died_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_batch: int) -> int:
        raise SystemExit  # nothing catches it, as nothing catches a thread that is killed

    monkeypatch.setattr(main, "duties", lambda: (Duty("dies", 0.05, dies, 1, exclusive=False),))
    with pytest.raises(RuntimeError, match="duty dies has died"):
        main.run(threading.Event())


def test_a_database_that_is_away_is_not_waited_for_item_by_item() -> None:
    asked: list[UUID] = []

    def act(thing: UUID, _: object) -> int:
        asked.append(thing)
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        each(Aside(), [uuid7() for _ in range(50)], act, of=lambda thing: thing)
    assert len(asked) == 1


# Jobs


def retried(who: UUID, offer: object) -> UUID:
    job_id = placed(who, offer)
    with transaction() as conn:
        conn.execute(
            "update job_runs set dispatched = false, wake_at = app_now() - interval '1 minute' where job_id = %s",
            [job_id],
        )
        conn.execute("update accounts set slots_in_use = slots_in_use - 1 where id = %s", [who])
    return job_id


def test_retries_of_others_are_put_back_beside_accounts_that_are_locked() -> None:
    offer, first, second = model(), account(amount=9), account(amount=9)
    held = retried(first, offer)
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = wake_at - interval '1 minute' where job_id = %s", [held])
    free = retried(second, offer)
    with locked(first):
        run_turn(duty("retry_due", 1))
        assert one("select dispatched from job_runs where job_id = %s", free) == (True,)
    eventually(lambda: jobs.retry_due(10) == 1, what="the first's retry")


def test_a_job_that_cannot_be_given_up_keeps_no_other_from_its_rescue() -> None:
    offer = model()
    stuck, other = account(amount=9), account(amount=9)
    hopeless, saved = placed(stuck, offer), placed(other, offer)
    for job_id in (hopeless, saved):
        claimed(job_id)
    with transaction() as conn:
        conn.execute(
            """update job_runs set wake_at = app_now() - interval '1 hour', rescues = %s where job_id = %s""",
            [settings().max_rescues, hopeless],
        )
        conn.execute("update job_runs set wake_at = app_now() - interval '1 minute' where job_id = %s", [saved])
    registry = CollectorRegistry(auto_describe=False)
    figures.begin(registry)
    try:
        with broken(stuck):
            did = run_turn(duty("rescue", 1))
        assert "broken" in did.errors[0]
        assert one("select lease_owner from job_runs where job_id = %s", saved) == (None,)
        eventually(lambda: jobs.rescue(10) == 1, what="the end of the other")
    finally:
        figures.end()
    found = samples(generate_latest(registry).decode())
    assert total(found, "headrace_duty_turn_seconds_count", duty="rescue", outcome="failed") == 1
    assert total(found, "headrace_jobs_ended_total", outcome="failed", code="worker_lost") == 1
    assert_books_are_clean()


def test_who_cannot_leave_yet_keeps_no_other_leaver_waiting() -> None:
    offer, people = model(), [account(amount=5) for _ in range(7)]
    for who in people[:4]:
        claimed(placed(who, offer))  # a job that runs on
    with transaction() as conn:
        for number, who in enumerate(people):
            conn.execute(
                """update users set deleted_at = app_now() - make_interval(days => 1, secs => %s)
                    where id = (select user_id from accounts where id = %s)""",
                [-number, who],
            )
    run_turn(duty("clear_deleted", 2))
    left = {
        row[0]
        for row in rows("select a.id from accounts a join users u on u.id = a.user_id where u.erased_at is not null")
    }
    assert left == set(people[4:])
    again("clear_deleted")
    assert run_turn(duty("clear_deleted", 2)) == 0
