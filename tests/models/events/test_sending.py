"""delivery queues: whoever lost a queue's lease decides nothing more on it."""

from uuid import UUID

import pytest

from models.db import transaction
from models.events import endpoints, sending
from models.events.sending import HeldQueue, Parcel, SendResult
from models.files import keeping
from tests.conftest import environment
from tests.models.files.test_results import stored
from tests.receivers import tell
from tests.support import account, assert_books_are_clean, one

pytestmark = pytest.mark.usefixtures("database")

ARRIVED = SendResult(True, None, 0.0, {"status": 200})
REFUSED = SendResult(False, 60.0, 60.0, {"status": 500})
AFTER_THE_LEASE = {"CLOCK_OFFSET_SECONDS": "3600"}


def endpoint(who: UUID) -> UUID:
    with transaction() as conn:
        return endpoints.create(conn, who, "https://example.com/hook", [])[0].id


def taken(sender: str) -> tuple[HeldQueue, Parcel]:
    """A queue that is due, with what is due on it."""
    with transaction() as conn:
        [(queue, _)] = sending.claim(conn, sender, 1, suspects=1)
        parcel = sending.take(conn, queue)
    assert parcel is not None
    return queue, parcel


def record(queue: HeldQueue, parcel: Parcel, outcome: SendResult) -> bool:
    with transaction() as conn:
        return sending.record(conn, queue, parcel, outcome)


def state() -> tuple[object, ...]:
    return one(
        """select d.status, d.attempts, jsonb_array_length(d.log), l.failures, l.leased_by, l.paused_until, e.failing_since
             from deliveries d join delivery_queues l on l.id = d.queue_id join webhook_endpoints e on e.id = d.endpoint_id"""
    )


@pytest.mark.parametrize("outcome", [ARRIVED, REFUSED])
def test_a_sender_that_lost_its_lease_records_nothing(outcome: SendResult) -> None:
    endpoint(who := account())
    tell(who)
    stale = taken("slow")
    with environment(AFTER_THE_LEASE):
        fresh = taken("quick")
        assert fresh[1].id == stale[1].id, "it is sent again: at least once"
        before = state()
        assert record(*stale, outcome) is False
        assert state() == before
        assert record(*fresh, ARRIVED) is True
        assert state()[:4] == ("delivered", 2, 2, 0), "the attempt whose end nobody wrote down counts"
        after = state()
        assert record(*stale, outcome) is False
        assert state() == after
        assert_books_are_clean()


def test_a_sender_that_lost_its_lease_neither_takes_more_nor_lets_go_for_another() -> None:
    endpoint(who := account())
    tell(who, 2)
    stale, _ = taken("slow")
    with environment(AFTER_THE_LEASE):
        taken("quick")
        before = one("select leased_by, token, wake_at from delivery_queues")
        with transaction() as conn:
            assert sending.take(conn, stale) is None
            sending.release(conn, stale)
        assert one("select leased_by, token, wake_at from delivery_queues") == before
        assert before[0] == "quick"


def test_a_lease_that_has_not_lapsed_is_not_taken() -> None:
    endpoint(who := account())
    tell(who, 2)
    taken("first")
    with transaction() as conn:
        assert sending.claim(conn, "second", 5, suspects=5) == []


def test_a_late_delivery_of_an_end_names_what_is_there_and_nothing_that_was_deleted() -> None:
    who = account(amount=9)
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", ["job.succeeded"])
    [first, second] = stored(who, 2)
    (job,) = one("select job_id from assets where id = %s", first)
    with transaction() as conn:
        keeping.delete(conn, who, job, 0)
    _, parcel = taken("s")
    assert [each["id"] for each in parcel.data["outputs"]] == [str(second)]
