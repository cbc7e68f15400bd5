"""Submits: each order of a batch is answered for itself."""

import pytest

from models.catalogue.prices import PriceRate, credits_for
from models.db import transaction
from models.jobs import submit
from models.jobs.admission import EXPECTED_BYTES, Accepted, Locked
from models.jobs.ending import Ending, end
from scheduler.duties import retention
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, order, place, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def test_orders_of_many_accounts_are_answered_in_order() -> None:
    rich, poor, offer = account(amount=10), account(amount=1), model(price={"credits": 2})
    answers = place(order(rich, offer), order(poor, offer), order(rich, offer))
    assert [type(answer).__name__ for answer in answers] == ["Accepted", "NotEnoughCredits", "Accepted"]
    assert (balance(rich), balance(poor)) == ((6, 4), (1, 0))
    assert_books_are_clean()


def test_credits_for_ten_give_ten_jobs_within_one_batch() -> None:
    who, offer = account(amount=10), model()
    answers = place(*(order(who, offer) for _ in range(64)))
    assert sum(isinstance(answer, Accepted) for answer in answers) == 10
    assert balance(who) == (0, 10)
    assert_books_are_clean()


def test_one_idempotency_key_makes_one_job_also_within_a_batch() -> None:
    who, offer = account(amount=10), model()
    same = {"idempotency_key": "k", "body_hash": b"same"}
    first, second = place(order(who, offer, **same), order(who, offer, **same))
    third = place(order(who, offer, **same))[0]
    assert first.job_id == second.job_id == third.job_id
    assert [first.replayed, second.replayed, third.replayed] == [False, True, True]
    other = place(order(who, offer, idempotency_key="k", body_hash=b"other"))[0]
    assert other.code == "idempotency_mismatch"
    assert one("select count(*) from jobs") == (1,)
    # Another account's key of the same text is another key.
    assert not place(order(account(amount=1), offer, **same))[0].replayed


def test_a_refused_order_leaves_its_key_unused() -> None:
    who, offer = account(amount=1), model(price={"credits": 2})
    assert place(order(who, offer, idempotency_key="k", body_hash=b"x"))[0].code == "not_enough_credits"
    cheap = model("cheap")
    assert isinstance(place(order(who, cheap, idempotency_key="k", body_hash=b"y"))[0], Accepted)


def test_an_old_key_is_forgotten() -> None:
    who, offer = account(amount=9), model()
    first = place(order(who, offer, idempotency_key="k", body_hash=b"x"))[0]
    with transaction() as conn:
        conn.execute("update idempotency_keys set created_at = app_now() - interval '25 hours'")
    second = place(order(who, offer, idempotency_key="k", body_hash=b"other"))[0]
    assert isinstance(second, Accepted)
    assert second.job_id != first.job_id


def test_a_key_that_was_used_again_after_its_time_is_as_young_as_its_new_order() -> None:
    who, offer = account(amount=9), model()
    place(order(who, offer, idempotency_key="k", body_hash=b"x"))
    with transaction() as conn:
        conn.execute("update idempotency_keys set created_at = app_now() - interval '25 hours'")
    second = place(order(who, offer, idempotency_key="k", body_hash=b"y"))[0]
    assert retention.forget_keys(100) == 0, "the sweep took the new order's key for the old one's"
    third = place(order(who, offer, idempotency_key="k", body_hash=b"y"))[0]
    assert (third.job_id, third.replayed) == (second.job_id, True)
    assert one("select count(*) from jobs") == (2,)


def test_full_storage_is_refused_before_any_credit_is_held() -> None:
    who, offer = account(amount=9), model()
    with transaction() as conn:
        conn.execute("update accounts set storage_bytes = 1000000000 where id = %s", [who])
    refused = place(order(who, offer))[0]
    assert refused.code == "storage_quota_exceeded"
    assert balance(who) == (9, 0)


def test_what_living_jobs_may_bring_counts_as_storage_until_they_end() -> None:
    """67 MB landed on a quota of 100 kB: nothing had landed yet when the orders came."""
    who, offer = account(amount=99), model()
    room = 3 * EXPECTED_BYTES[offer.entry.kind]
    with transaction() as conn:
        conn.execute(
            "update accounts a set storage_bytes = p.storage_quota_bytes - %s from plans p where p.id = a.plan_id and a.id = %s",
            [room, who],
        )
    answers = place(*(order(who, offer) for _ in range(5)))
    assert [isinstance(each, Accepted) for each in answers] == [True, True, True, False, False]
    assert answers[3].code == "storage_quota_exceeded"
    assert answers[3].extra["expected_bytes"] == room
    assert one("select expected_bytes from accounts where id = %s", who) == (room,)
    claim = claimed(answers[0].job_id)
    with transaction() as conn:
        end(conn, who, claim.job_id, Ending("failed", error_code="x", error_message="y"), token=claim.token)
    assert isinstance(place(order(who, offer))[0], Accepted), "what has ended brings nothing any more"
    assert place(order(who, offer))[0].code == "storage_quota_exceeded"
    assert one(
        "select a.expected_bytes, sum(r.expected_bytes)::bigint from accounts a join job_runs r on r.account_id = a.id group by a.id"
    ) == (room, room)


def test_an_account_with_any_room_may_always_have_one_job() -> None:
    who, offer = account(amount=99), model()
    with transaction() as conn:
        conn.execute(
            "update accounts a set storage_bytes = p.storage_quota_bytes - 1 from plans p where p.id = a.plan_id and a.id = %s",
            [who],
        )
    answers = place(order(who, offer), order(who, offer))
    assert isinstance(answers[0], Accepted)
    assert answers[1].code == "storage_quota_exceeded"


def test_a_batch_never_waits_for_an_account_that_is_held() -> None:
    held, free, offer = account(amount=5), account(amount=5), model()
    with transaction() as other:
        other.execute("select 1 from accounts where id = %s for no key update", [held])
        with transaction() as conn:
            answers = submit.submit(conn, [order(held, offer), order(free, offer)])
    assert isinstance(answers[0], Locked)
    assert isinstance(answers[1], Accepted)
    assert balance(held) == (5, 0)


def test_slots_are_taken_in_order_and_the_rest_waits() -> None:
    who, offer = account(amount=9, plan="free"), model()
    answers = place(*(order(who, offer) for _ in range(5)))
    assert [answer.dispatched for answer in answers] == [True, True, False, False, False]
    assert rows("select count(*) from job_runs where wake_at is null") == [(3,)]
    assert_books_are_clean()


def test_a_models_slots_are_not_exceeded_while_the_account_has_more() -> None:
    who, narrow, wide = account(amount=9, plan="studio"), model("narrow", slots=2), model("wide")
    answers = place(*(order(who, narrow) for _ in range(3)))
    assert [answer.dispatched for answer in answers] == [True, True, False]
    assert [place(order(who, offer))[0].dispatched for offer in (narrow, wide)] == [False, True]
    assert_books_are_clean()


UNBOUNDED = {
    "type": "object", "additionalProperties": False,
    "properties": {"n": {"type": ["number", "null"]}, "prompt": {"type": "string", "default": "x"}},
}  # fmt: skip


@pytest.mark.parametrize("value", [10**9 + 1, 2**63, 1e300])
def test_a_quantity_past_what_can_be_kept_is_refused_and_the_rest_of_its_batch_goes_on(value: float) -> None:
    who = account(amount=10)
    offer = model(price={"unit": "second", "credits": 1, "quantity_field": "n"}, input_schema=UNBOUNDED)
    refused, nothing, accepted = place(
        order(who, offer, {"n": value}), order(who, offer, {"n": None}), order(who, offer, {"n": 2})
    )
    assert (refused.code, refused.param) == ("invalid_input", "input.n")
    assert [nothing.price_credits, accepted.price_credits] == [1, 2]
    assert_books_are_clean()


def test_a_cost_plus_price_in_large_units_is_ordered_and_settled() -> None:
    offer = model(
        price={"unit": "token", "cost_usd_micros": 600_000, "per": 1_000_000, "quantity_field": "n"},
        input_schema=UNBOUNDED,
    )
    with transaction() as conn:
        conn.execute("update plans set credit_price_usd_micros = 1000000 where id = 'pro'")
    who = account(amount=10, plan="pro")
    answer = place(order(who, offer, {"n": 5_000_000}))[0]
    assert isinstance(answer, Accepted)
    assert answer.price_credits == 6
    claim = claimed(answer.job_id)
    assert credits_for(PriceRate(*claim.rate), 5_000_000 * 1000) == 6


def test_a_plan_made_absurd_after_the_load_refuses_its_orders_only() -> None:
    offer = model(price={"unit": "token", "cost_usd_micros": 7, "per": 999_983})
    with transaction() as conn:
        conn.execute("update plans set credit_price_usd_micros = 1000000000000037 where id = 'pro'")
    answers = place(order(account(amount=10, plan="pro"), offer), order(account(amount=10), offer))
    assert [getattr(each, "code", "accepted") for each in answers] == ["invalid_input", "accepted"]
    assert_books_are_clean()


def test_a_key_that_was_used_anew_is_young_again() -> None:
    who, offer = account(amount=9), model()
    same = {"idempotency_key": "k", "body_hash": b"x"}
    place(order(who, offer, **same))
    with environment({"CLOCK_OFFSET_SECONDS": str(25 * 3600)}):
        second = place(order(who, offer, **same))[0]
        assert not second.replayed
    with environment({"CLOCK_OFFSET_SECONDS": str(48 * 3600)}):  # 23 hours after it, 48 after the first
        third = place(order(who, offer, **same))[0]
        assert (third.replayed, third.job_id) == (True, second.job_id)
    assert_books_are_clean()


def test_a_job_has_its_own_priority_and_its_plans() -> None:
    who, offer = account(amount=9), model()
    with transaction() as conn:
        conn.execute("update plans set priority = 40 where id = 'free'")
    for own in (0, -100, 100):
        placed(who, offer, priority=own)
    assert sorted(row[0] for row in rows("select priority from job_runs")) == [-60, 40, 140]
