"""The sender: whatever goes wrong with an attempt, it counts; what a receiver answered is written down; a lost lease is seen."""

import threading
from uuid import UUID

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common import uptime
from common.sealing import seal
from common.settings import settings
from common.telemetry import figures
from models.db import transaction
from models.events import endpoints
from models.events.sending import LOST, HeldQueue, Parcel, SendResult, claim, extend, record, release, take
from tests.collectors import samples, total
from tests.receivers import Receiver, receivers, sending, tell
from tests.support import account, eventually, one, rows
from workers.deliver.main import Held, outcome_of, send, serve
from workers.deliver.post import SCHEDULE

OUTCOMES = ("arrived", "again", "given_up", "gone")
pytestmark = pytest.mark.usefixtures("database")


def endpoint(account_id: UUID, there: Receiver) -> UUID:
    with transaction() as conn:
        return endpoints.create(conn, account_id, there.url, ())[0].id


def claim_line(sender: str = "tester") -> HeldQueue:
    with transaction() as conn:
        return claim(conn, sender, 1, suspects=1)[0][0]


def taken(there: Receiver) -> tuple[HeldQueue, Parcel]:
    """A delivery to this receiver, of a new account, that a sender is at."""
    who = account()
    endpoint(who, there)
    tell(who)
    queue = claim_line()
    with transaction() as conn:
        parcel = take(conn, queue)
    assert parcel is not None
    return queue, parcel


def lapse() -> None:
    with transaction() as conn:
        conn.execute("update delivery_queues set wake_at = app_now() where leased_by is not null")


def sent_well(status: int = 200) -> SendResult:
    return SendResult(True, None, 0.0, {"status": status, "error": None, "response": None, "milliseconds": 1})


def test_whatever_is_wrong_with_a_delivery_its_attempts_are_counted_and_end() -> None:
    with receivers(1, WEBHOOK_RETRY_SCALE="0.0000001") as [there]:
        who = account()
        endpoint_id = endpoint(who, there)
        with transaction() as conn:  # a secret that cannot sign
            conn.execute("update webhook_endpoints set secret = %s", [seal(endpoints.PURPOSE, "whsec_abc")])
        tell(who)
        with sending():
            eventually(lambda: one("select status from deliveries") == ("failed",), what="the end of its attempts")
        log = one("select log from deliveries where endpoint_id = %s", endpoint_id)[0]
    assert one("select attempts from deliveries") == (len(SCHEDULE) + 1,)
    assert len(log) == len(SCHEDULE) + 1
    assert log[0]["error"].startswith("internal_error: ")
    assert there.got == []


def test_attempts_are_counted_by_what_came_of_them_and_the_first_by_how_long_it_waited() -> None:
    registry = CollectorRegistry(auto_describe=False)
    figures.begin(registry)
    try:
        with receivers(1, WEBHOOK_RETRY_SCALE="0.0000001") as [there]:
            there.behave = lambda _: 200 if len(there.got) == 3 else 500
            who = account()
            endpoint(who, there)
            tell(who)
            with sending():
                eventually(lambda: one("select status from deliveries") == ("delivered",), what="the delivery")
    finally:
        figures.end()
    found = samples(generate_latest(registry).decode())
    counts = {
        each: total(found, "headrace_delivery_seconds_count", channel="webhook", outcome=each) for each in OUTCOMES
    }
    assert counts == {"arrived": 1, "again": 2, "given_up": 0, "gone": 0}
    assert total(found, "headrace_delivery_lag_seconds_count", channel="webhook") == 1
    assert outcome_of(SendResult(False, None, 0.0, {})) == "given_up"
    assert outcome_of(SendResult(False, 1.0, 0.0, {}, gone=True)) == "gone"


@pytest.mark.parametrize("asked", [
    "Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 31 Dec 99999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "٣", "1e9",
    "Wed, 21 Oct 2015", "-5", "1" * 5000, ",", "Thu, 1 Jan 1970 00:00:00 +99999999999999999999",
])  # fmt: skip
def test_no_answer_to_when_to_come_again_keeps_an_attempt_from_counting(asked: str) -> None:
    with receivers(1) as [there]:
        there.behave = lambda _: (503, {"retry-after": asked.encode().decode("latin-1")})
        who = account()
        endpoint(who, there)
        tell(who)
        with sending():
            eventually(lambda: one("select attempts from deliveries")[0] >= 1, what="a counted attempt")
        assert one("select log from deliveries")[0][0]["status"] == 503


def test_an_answer_that_cannot_be_written_at_once_is_written_later_and_not_asked_for_again() -> None:
    with receivers(1) as [there]:
        who = account()
        endpoint(who, there)
        tell(who)
        held, answered = threading.Event(), threading.Event()

        def hold() -> None:
            with psycopg.connect(settings().database_url) as conn:
                conn.execute("select 1 from delivery_queues for update")
                held.set()
                answered.wait(10)
                conn.execute("select pg_sleep(2.5)")  # longer than a lock is waited for

        def behave(_: object) -> int:
            if len(there.got) == 1:
                threading.Thread(target=hold).start()
                held.wait(10)
                answered.set()
            return 200

        there.behave = behave
        with sending():
            eventually(lambda: one("select status from deliveries") == ("delivered",), what="the answer")
        assert len(there.got) == 1
        assert one("select attempts, jsonb_array_length(log) from deliveries") == (1, 1)


def test_an_answer_whose_commit_is_uncertain_is_written_once_whatever_became_of_it() -> None:
    with receivers(1) as [there]:
        queue, parcel = taken(there)
        failed = SendResult(False, 0.0, 0.0, {"status": 500, "error": None, "response": None, "milliseconds": 1})
        for _ in range(3):  # the first was committed, and its answer was lost
            with transaction() as conn:
                assert record(conn, queue, parcel, failed)
        assert one("select attempts, status, jsonb_array_length(log) from deliveries") == (1, "pending", 1)
        assert one("select failures from delivery_queues") == (1,)
        with transaction() as conn:
            release(conn, queue)
        with transaction() as conn:
            assert not record(conn, queue, parcel, failed), "a queue that was let go is held no more"


def test_a_stale_sender_records_nothing() -> None:
    with receivers(1) as [there]:
        who = account()
        endpoint(who, there)
        tell(who)
        queue = claim_line("first")
        with transaction() as conn:
            parcel = take(conn, queue)
        assert parcel is not None
        lapse()
        second = claim_line("second")
        before = one("select d::text from deliveries d"), one("select l::text from delivery_queues l")
        with transaction() as conn:
            assert not record(conn, queue, parcel, sent_well())
        with transaction() as conn:
            release(conn, queue)
            assert take(conn, queue) is None
            assert extend(conn, [queue]) == set()
        assert before == (one("select d::text from deliveries d"), one("select l::text from delivery_queues l"))
        with transaction() as conn:
            assert extend(conn, [second]) == {second.id}


def test_a_lease_is_kept_while_a_receiver_takes_its_time() -> None:
    with receivers(1, WEBHOOK_TIMEOUT_SECONDS="4") as [there]:
        there.behave = lambda _: "hang"
        who = account()
        endpoint(who, there)
        tell(who)
        with sending():
            eventually(lambda: len(there.got) == 1)
            first = one("select wake_at from delivery_queues")[0]
            eventually(lambda: one("select wake_at from delivery_queues")[0] > first, seconds=3.5, what="a renewal")
            assert one("select leased_by is not null from delivery_queues") == (True,)
            there.leaving.set()


def test_a_sender_that_lost_its_line_stops_there() -> None:
    with receivers(1, WEBHOOK_TIMEOUT_SECONDS="4") as [there]:
        who = account()
        endpoint(who, there)
        tell(who, 3)
        taken = threading.Event()

        def behave(_: object) -> int:
            with transaction() as conn:  # another sender has it now, for a long while
                conn.execute(
                    """update delivery_queues set token = token + 1, leased_by = 'other',
                              wake_at = app_now() + interval '1 hour'"""
                )
            taken.set()
            return 200

        there.behave = behave
        queue = claim_line()
        serve(Held(queue, uptime.seconds()), threading.Event())
        assert taken.is_set()
        assert len(there.got) == 1
        assert rows("select distinct status, attempts from deliveries") == [("pending", 0)]


def test_a_sender_that_slept_after_it_took_a_delivery_looks_at_its_line_before_it_sends() -> None:
    with receivers(1) as [there]:
        who = account()
        endpoint(who, there)
        tell(who)
        held = Held(claim_line(), uptime.seconds())
        with transaction() as conn:
            parcel = take(conn, held.queue)
        assert parcel is not None
        assert send(held, parcel, 0) is not None
        held.renewed_at -= 3600  # the machine was stopped for an hour
        assert send(held, parcel, 0) is not None  # and nobody took the queue meanwhile
        held.renewed_at -= 3600
        lapse()
        claim_line("other")
        assert send(held, parcel, 0) is None
        assert len(there.got) == 2


def test_an_attempt_whose_sender_died_counts_and_is_told_in_the_log() -> None:
    with receivers(1) as [there]:
        who = account()
        endpoint(who, there)
        tell(who)
        for number in range(len(SCHEDULE) + 1):  # each takes it, and dies of it
            with transaction() as conn:
                parcel = take(conn, claim_line(f"sender {number}"))
            assert parcel is not None
            assert parcel.attempts == number
            lapse()
        with transaction() as conn:
            assert take(conn, claim_line("the last")) is None
        status, attempts, log = one("select status, attempts, log from deliveries")
    assert (status, attempts) == ("failed", len(SCHEDULE) + 1)
    assert {each["error"] for each in log} == {LOST}


def test_text_that_cannot_be_stored_does_not_keep_an_answer_from_being_written() -> None:
    with receivers(1) as [there]:
        queue, parcel = taken(there)
        entry = {"status": 500, "error": "a\0b\ud800", "response": "x" * 10_000_000, "milliseconds": 1}
        with transaction() as conn:
            assert record(conn, queue, parcel, SendResult(False, 0.0, 0.0, entry))
        kept = one("select log from deliveries")[0][0]
    assert kept["error"].startswith("a")
    assert len(kept["response"]) <= 4096
