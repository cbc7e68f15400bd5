"""Duties: bounded, safe to run twice and by several at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, ResultGone
from models.db import transaction
from models.events import deliveries, endpoints, events
from models.files.results import find_result
from models.fleet import processes
from models.identity import inbound
from scheduler import main
from scheduler.duties import accounts, books, results, retention
from scheduler.main import Duty, duties, run_turn
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.scheduler.duties.preparations import LATE, PREPARATIONS, announced, contents, past_month, stored
from tests.support import account, assert_books_are_clean, one, rows

pytestmark = pytest.mark.usefixtures("database")


def test_results_expire_in_bounded_batches_with_one_event_per_account_and_batch() -> None:
    who = account(amount=9)
    stored(who, 5)
    assert results.expire_results(100) == 0
    with environment(LATE):
        assert [results.expire_results(2) for _ in range(4)] == [2, 2, 1, 0]
        assert one("select storage_bytes from accounts where id = %s", who) == (0,)
        assert [row[0] for row in rows("select data->>'results' from events where type = 'assets.expired'")] == [
            "2",
            "2",
            "1",
        ]
        assert_books_are_clean()


def test_the_expiry_of_results_reaches_the_webhooks_that_want_it() -> None:
    who, quiet = account(amount=9), account(amount=9)
    with transaction() as conn:
        wanted, _ = endpoints.create(conn, who, "https://example.com/expired", ["assets.expired"])
        endpoints.create(conn, who, "https://example.com/other", ["job.failed"])
    for each in (who, quiet):
        stored(each, 2)
    with environment(LATE):
        assert results.expire_results(100) == 4
        assert rows("select account_id, endpoint_id, event_type, data from deliveries") == [
            (who, wanted.id, "assets.expired", {"results": 2, "bytes": 12})
        ]
        assert one("select wake_at <= app_now() from delivery_queues where id = %s", wanted.id) == (True,)
        assert_books_are_clean()


def test_a_result_is_gone_from_the_moment_its_time_has_passed() -> None:
    stored(account(amount=9))
    asset_id = one("select id from assets")[0]
    with transaction() as conn:
        assert find_result(conn, asset_id).size_bytes == 6
    with environment(LATE), pytest.raises(ResultGone), transaction() as conn:
        find_result(conn, asset_id)


def test_objects_are_deleted_after_the_longest_signed_link_and_then_confirmed() -> None:
    stored(account(amount=9))
    key = one("select key from assets")[0]
    with environment({**LATE, "SIGNED_LINK_SECONDS": "900"}):
        results.expire_results(10)
        assert results.purge_results(10) == 0
        with transaction() as conn:
            conn.execute("update assets set expired_at = app_now() - interval '16 minutes'")
        assert results.purge_results(10) == 1
        assert results.purge_results(10) == 0
    assert storage().list_page(key, None, 1) == []
    assert one("select purged_at is not null from assets") == (True,)


def test_strays_are_reaped_page_by_page_and_results_are_left() -> None:
    who = account(amount=9)
    stored(who, 2)
    job_id = one("select id from jobs limit 1")[0]
    strays = [keys.result_key(who, job_id, 99, number, b"0" * 32, "png") for number in range(3)]
    for key in strays:
        storage().put_bytes(key, b"stray", "image/png")
    run_turn(next(duty for duty in duties() if duty.name == "reap_strays"))  # makes the duty's row, for its cursor
    assert storage().list_page(strays[0], None, 1), "too young to be reaped"
    with environment({"STRAY_SECONDS": "0"}):
        while one("select cursor from duties where name = 'reap_strays'")[0] or results.reap_strays(2):
            results.reap_strays(2)
    known = {row[0] for row in rows("select key from assets")}
    left = {item.key for item in storage().list_page(f"{keys.RESULTS}{who}/", None, 100)}
    assert left == known


def test_one_turn_at_a_time_whoever_asks() -> None:
    with ThreadPoolExecutor(8) as pool:

        def take(_: int) -> bool:
            with transaction() as conn:
                return processes.take_turn(conn, "some_duty", 60)

        assert sum(pool.map(take, range(8))) == 1


def test_every_duty_has_a_preparation() -> None:
    assert set(PREPARATIONS) == {duty.name for duty in duties()}


@pytest.mark.parametrize("name", [duty.name for duty in main.duties()])
def test_every_duty_does_something_the_first_time_and_nothing_the_second(name: str) -> None:
    between = PREPARATIONS[name]()
    duty = next(each for each in duties() if each.name == name)
    with environment({**LATE, "STRAY_SECONDS": "0"}):
        done = run_turn(duty)
        if between is None:
            assert done > 0, f"{name} did nothing the first time"
            assert rows("select error from duties where error is not null") == []
        else:
            between()
        before = contents()
        with transaction() as conn:
            conn.execute("update duties set next_at = app_now()")
        assert run_turn(duty) == 0
        assert contents() == before
        if duty.exclusive:
            assert one("select error, finished_at >= started_at from duties where name = %s", name) == (None, True)
        assert_books_are_clean()


def test_two_schedulers_at_once_do_each_thing_once() -> None:
    stored(account(amount=60), 20)
    with environment(LATE), ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: results.expire_results(100), range(4))) == 20
        assert_books_are_clean()


def test_a_failing_duty_is_noted_and_does_not_stop_the_scheduler() -> None:
    def broken(_batch: int) -> int:
        raise RuntimeError("no luck")

    run_turn(Duty("broken", 60, broken, 1))
    assert one("select error from duties where name = 'broken'") == ("RuntimeError: no luck",)


def test_a_backlog_of_several_batches_is_done_in_one_turn() -> None:
    left = [25]

    def some(batch: int) -> int:
        done = min(batch, left[0])
        left[0] -= done
        return done

    assert run_turn(Duty("backlog", 60, some, 10)) == 25
    assert one("select done, error from duties where name = 'backlog'") == (25, None)


def test_a_backlog_without_end_lets_go_after_so_many_batches() -> None:
    assert run_turn(Duty("endless", 60, lambda batch: batch, 10)) == 10 * main.MAX_BATCHES


def test_the_audit_duty_says_which_rule_is_broken() -> None:
    account(amount=5)
    with transaction() as conn:
        conn.execute("update accounts set available = available + 1")
    with pytest.raises(RuntimeError, match="entries_sum_to_balances"):
        books.prove_books(1)


def test_a_scheduler_stops_when_asked() -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=main.run, args=(stopping,))
    thread.start()
    stopping.set()
    thread.join(timeout=15)
    assert not thread.is_alive()


def test_old_months_go_whole_and_what_still_waits_stays() -> None:
    who = account(amount=5)
    old, recent, past = past_month("events", 5), past_month("events", 1), past_month("deliveries", 5)
    with transaction() as conn:
        conn.execute("update accounts set event_number = event_number + 2 where id = %s", [who])
        conn.execute("update events set number = number + 2 where account_id = %s", [who])
        for number, months in ((1, 5), (2, 1)):
            conn.execute(
                """insert into events (account_id, number, type, data, created_at)
                   values (%s, %s, 'announcement', '{}', app_now() - make_interval(months => %s))""",
                [who, number, months],
            )
        line = deliveries.send(conn, who, uuid7(), "announcement", {})
        conn.execute("update deliveries set created_at = app_now() - interval '5 months' where id = %s", [line])
    assert_books_are_clean()
    assert retention.drop_partitions(1) == 1
    tables = {row[0] for row in rows("select relname from pg_class where relname = any(%s)", [old, recent, past])}
    assert tables == {recent, past}
    with transaction() as conn:
        page = events.after(conn, [(who, 0)], 10)[0]
        assert (page.missing, [event.number for event in page.events]) == (True, [2, 3])
        assert not events.after(conn, [(who, 1)], 10)[0].missing
    assert_books_are_clean()
    with transaction() as conn:
        conn.execute("update deliveries set status = 'failed', next_at = null")
        conn.execute("update delivery_queues set wake_at = null")
    assert retention.drop_partitions(1) == 1
    assert retention.drop_partitions(1) == 0
    assert_books_are_clean()


def test_months_are_not_dropped_while_a_long_reading_holds_them_and_nobody_waits_for_that() -> None:
    old = past_month("events", 5)
    with transaction() as reading:
        reading.execute("select count(*) from events")
        assert retention.drop_partitions(1) == 0
        assert rows("select relname from pg_class where relname = %s", old) == [(old,)]
        account(amount=1)  # tells an event
    assert retention.drop_partitions(1) == 1
    assert rows("select 1 from pg_class where relname = %s", old) == []


def test_what_other_services_told_us_is_kept_for_a_while() -> None:
    with transaction() as conn:
        for number in range(5):
            inbound.store(conn, "clerk", f"msg_{number}", "user.updated", {})
        conn.execute("update inbound_events set received_at = app_now() - interval '91 days' where event_id < 'msg_3'")
    assert [retention.forget_inbound(2) for _ in range(3)] == [2, 1, 0]
    assert [row[0] for row in rows("select event_id from inbound_events order by id")] == ["msg_3", "msg_4"]


def told_of(kind: str) -> list[str]:
    return [row[0] for row in rows("select title from notifications where kind = %s order by account_id", kind)]


def test_an_announcement_reaches_each_account_once_in_batches() -> None:
    everybody = [account() for _ in range(5)]
    announced()
    later = account()
    assert [accounts.announce(2) for _ in range(4)] == [2, 2, 1, 0]
    assert told_of("announcement") == ["New"] * 5
    assert one("select count(distinct account_id) from notifications where account_id = any(%s)", everybody) == (5,)
    assert rows("select 1 from notifications where account_id = %s", later) == []
    assert one("select body from notifications limit 1") == ("There is {more}.",)
    assert one("select notified, finished_at is not null from announcements") == (5, True)
    assert_books_are_clean()


def test_an_announcement_may_be_for_one_plan_and_not_for_those_who_left() -> None:
    account(plan="free")
    wanted, gone = account(plan="studio"), account(plan="studio")
    with transaction() as conn:
        conn.execute(
            """update users set deleted_at = app_now(), email = null where id =
                 (select user_id from accounts where id = %s)""", [gone],
        )  # fmt: skip
    announced(plan="studio")
    assert accounts.announce(10) == 1
    assert rows("select account_id from notifications") == [(wanted,)]


def test_two_schedulers_announce_to_each_account_once() -> None:
    for _ in range(12):
        account()
    announced()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: accounts.announce(3), range(16)))
    while accounts.announce(3):
        pass
    assert told_of("announcement") == ["New"] * 12
    assert_books_are_clean()


@pytest.mark.parametrize(("fields", "param"), [
    ({"title": " "}, "title"), ({"title": "x" * 201}, "title"), ({"body": ""}, "body"), ({"body": "x" * 4001}, "body"),
    ({"body": "a\0b"}, "body"), ({"plan": "nonsense"}, "plan"),
])  # fmt: skip
def test_an_announcement_that_cannot_be_told_is_refused(fields: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        announced(**fields)
    assert caught.value.param == param
    assert rows("select 1 from announcements") == []
