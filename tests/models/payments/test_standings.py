"""What a company says of a payment moves credits once, whatever the order, and never twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID

import pytest

from common.errors import InvalidInput
from models.accounts import standing
from models.credits import ledger
from models.db import transaction
from models.jobs import cancel
from models.payments import due, orders
from models.payments.states import Dispute, Money, PaymentProblem, PaymentStatus
from tests.models.hands import change
from tests.models.payments.shop import BY, ordered, pack, seen, told
from tests.support import account, assert_books_are_clean, balance, model, one, order, place, rows

pytestmark = pytest.mark.usefixtures("database")
D = Decimal


def debt(who: object) -> int:
    return int(one("select debt from accounts where id = %s", who)[0])


def test_a_pack_is_credited_once_however_often_it_is_told() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    assert seen(payment).status is PaymentStatus.PENDING
    told(payment, Money.PENDING)
    assert balance(who) == (0, 0)
    for _ in range(3):
        assert told(payment)
    found = seen(payment)
    assert (found.status, found.credits_given, found.paid, found.problem) == (PaymentStatus.PAID, 100, D(10), None)
    assert balance(who) == (100, 0)
    kinds = [row[0] for row in rows("select type from events where account_id = %s and type like 'payment%%'", who)]
    assert kinds == ["payment.succeeded"]
    assert rows("select data->>'paid' from events where account_id = %s and type = 'payment.succeeded'", who) == [
        ("10.00 USD",)
    ]
    assert rows("select kind from notifications where account_id = %s", who) == [("payment.succeeded",)]
    assert_books_are_clean()


def look(payment: UUID, *, late_days: float) -> None:
    """The scheduler asks of it; its subscription's period has ended so long ago, and nothing is new."""
    change("update payments set check_at = app_now() where id = %s", payment)
    with transaction() as conn:
        [taken] = due.claim(conn, 10)
    period_end = datetime.now(UTC) - timedelta(days=late_days)
    assert told(payment, subscription_id="sub_1", period_end=period_end, token=taken.token)


def test_looks_for_the_next_bill_are_none_of_those_for_a_late_refund() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment)
    for _ in range(4):
        look(payment, late_days=-300)
    before = one("select looks from payments where id = %s", payment)
    for day in range(1, 45):
        look(payment, late_days=day)
        assert one("select check_at < app_now() + interval '25 hours' from payments where id = %s", payment) == (True,)
    look(payment, late_days=46)
    assert one("select looks from payments where id = %s", payment)[0] <= before[0] + 1
    assert one("select check_at < app_now() + interval '31 days' from payments where id = %s", payment) == (True,)


def test_two_tellers_at_once_credit_once() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: told(payment), range(16)))
    assert balance(who) == (100, 0)
    assert_books_are_clean()


def test_money_that_comes_late_is_credited() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment, Money.EXPIRED)
    assert seen(payment).status is PaymentStatus.EXPIRED
    told(payment)
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PAID, (100, 0))
    told(payment, Money.EXPIRED)  # a hook that was held up
    assert (seen(payment).status, balance(who)) == (PaymentStatus.PAID, (100, 0))


def test_a_payment_by_which_another_order_was_paid_credits_nothing() -> None:
    who, _ = account(), pack()
    first, second = ordered(who), ordered(who)
    told(first, payment_ref="pi_1")
    told(second, payment_ref="pi_1")
    assert seen(second).status is PaymentStatus.FAILED
    assert balance(who) == (100, 0)
    assert_books_are_clean()


@pytest.mark.parametrize(("amount", "more", "credits", "problem"), [
    ("9.99", {}, 99, PaymentProblem.UNDERPAID), ("12.00", {}, 100, PaymentProblem.OVERPAID), ("10.00", {"currency": "IDR"}, 0, PaymentProblem.OTHER_CURRENCY),
    ("0.05", {}, 0, PaymentProblem.UNDERPAID),
])  # fmt: skip
def test_what_was_paid_otherwise_is_credited_for_what_it_is_worth_and_shown(
    amount: str, more: dict[str, str], credits: int, problem: PaymentProblem
) -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment, amount=amount, **more)
    assert (seen(payment).credits_given, seen(payment).problem, balance(who)[0]) == (credits, problem, credits)
    assert_books_are_clean()


BACK = {
    "part": {"refunded": D(4)}, "all": {"refunded": D(10)}, "inquiry": {"dispute": Dispute.INQUIRY}, "open": {"dispute": Dispute.OPEN},
    "lost": {"dispute": Dispute.LOST}, "both": {"refunded": D(10), "dispute": Dispute.LOST}, "won": {"dispute": Dispute.WON},
    "failed": {"refund_failed": True},
}  # fmt: skip


@pytest.mark.parametrize(
    "ways",
    [*permutations(["part", "all", "open"]), ("open", "both"), ("all", "both"), ("lost", "won"), ("all", "failed")],
)
def test_a_refund_and_a_dispute_take_back_once_in_any_order(ways: tuple[str, ...]) -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment)
    for way in ways:
        told(payment, **BACK[way])
        told(payment, **BACK[way])
        expected = {"part": 60, "inquiry": 100, "won": 100, "failed": 100}.get(way, 0)
        assert (balance(who)[0], seen(payment).credits_given) == (expected, expected), way
        assert_books_are_clean()
    assert debt(who) == 0


def test_a_refund_that_comes_before_the_payment_is_told_leaves_nothing() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment, refunded=D(10))
    assert (seen(payment).status, balance(who), debt(who)) == (PaymentStatus.REFUNDED, (0, 0), 0)
    told(payment, refunded=D(0), refund_failed=True)
    assert (seen(payment).status, balance(who)) == (PaymentStatus.REFUND_FAILED, (100, 0))
    assert_books_are_clean()


def test_what_was_spent_becomes_debt_which_stops_jobs_and_is_paid_by_what_comes_back() -> None:
    who, _, offer = account(), pack(), model(price={"credits": 70})
    payment = ordered(who)
    told(payment)
    place(order(who, offer))
    assert balance(who) == (30, 70)
    told(payment, dispute=Dispute.OPEN)
    assert (balance(who), debt(who)) == ((0, 70), 70)
    assert getattr(place(order(who, model("small", price={"credits": 1})))[0], "code", None) == "account_in_debt"
    assert_books_are_clean()
    told(payment, dispute=Dispute.WON)
    assert (balance(who), debt(who)) == ((30, 70), 0)
    assert_books_are_clean()
    told(payment, dispute=Dispute.WON, refunded=D(5))
    assert (balance(who)[0], debt(who)) == (0, 20)
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=50, ref="g")
    assert (balance(who)[0], debt(who)) == (30, 0)
    assert_books_are_clean()


def test_what_expired_meanwhile_is_owed_by_nobody() -> None:
    who, _ = account(), pack(expires_days=1)
    payment = ordered(who)
    told(payment)
    with transaction() as conn:
        conn.execute("update grants set expires_at = app_now() - interval '1 s'")
        ledger.expire_lapsed(conn, [who])
    told(payment, refunded=D(10))
    assert (balance(who), debt(who), seen(payment).credits_given) == ((0, 0), 0, 0)
    assert_books_are_clean()


def test_a_pack_expires_as_it_says_from_the_day_that_it_is_paid() -> None:
    who, _ = account(), pack(expires_days=30)
    told(ordered(who))
    assert rows(
        "select round(extract(epoch from expires_at - app_now()) / 86400) from grants where kind = 'purchase'"
    ) == [(30,)]


def test_a_look_that_was_overtaken_does_not_count() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    with transaction() as conn:
        conn.execute("update payments set check_at = app_now()")
        (first,) = due.claim(conn, 10)
        conn.execute("update payments set check_at = app_now()")
        (second,) = due.claim(conn, 10)
    assert told(payment, token=second.token)
    assert not told(payment, refunded=D(10), token=first.token)
    assert balance(who) == (100, 0)


def test_every_change_of_money_is_in_the_audit_log() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment)
    told(payment)
    told(payment, refunded=D(10))
    acts = rows("select action, actor from acts where subject = %s order by id", str(payment))
    assert acts == [("payment.paid", "test"), ("payment.refunded", "test")]


def test_what_an_operator_took_is_not_taken_twice() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment)
    with transaction() as conn:
        standing.take_credits(conn, BY, who, 30, "by mistake")
    assert_books_are_clean()
    told(payment, refunded=D(10))
    assert (balance(who), debt(who), seen(payment).credits_given) == ((0, 0), 0, 0)
    assert_books_are_clean()


def test_what_went_back_with_its_payment_cannot_be_taken_by_hand_once_a_job_returns_it() -> None:
    who, _ = account(), pack()
    payment = ordered(who)
    told(payment)
    (job,) = place(order(who, model(price={"credits": 70})))
    told(payment, refunded=D(10))
    with transaction() as conn:
        cancel.cancel(conn, job.job_id)
    assert (balance(who), debt(who)) == ((70, 0), 70), "what it held is owed, and is there"
    with transaction() as conn, pytest.raises(InvalidInput, match="0 can"):
        standing.take_credits(conn, BY, who, 33, "by mistake")
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=100, ref="g")
        standing.take_credits(conn, BY, who, 30, "by mistake")
    assert (balance(who), debt(who)) == ((70, 0), 0)
    assert_books_are_clean()


def test_a_plan_that_cannot_be_given_is_paid_and_shown_to_people_and_given_once_it_can_be() -> None:
    who = account()
    with transaction() as conn:
        payment = orders.create(conn, who, orders.find_plan(conn, "starter", "monthly", "USD"), "xendit")
        orders.record_opening(conn, payment, "there", "https://pay.example/x", None)
        conn.execute("update plans set granted = 'once' where id = 'starter'")
    assert told(payment)
    row = seen(payment)
    assert (row.status, row.problem, row.paid) == (PaymentStatus.PAID, PaymentProblem.NOT_GIVEN, D("10.00"))
    assert row.reason == "plan 'starter' cannot be subscribed to"
    assert rows("select 1 from subscriptions") == []
    assert told(payment), "a later look fails no more than the first"
    with transaction() as conn:
        conn.execute("update plans set granted = 'monthly' where id = 'starter'")
    for _ in range(2):
        assert told(payment)
    assert (seen(payment).problem, seen(payment).reason, balance(who)) == (None, None, (80, 0))
    assert one("select count(*) from subscription_payments") == (1,)
    assert_books_are_clean()


def test_a_company_without_a_word_uses_up_no_look() -> None:
    _, payment = pack(), ordered(account())
    told(payment)
    for _ in range(20):
        change("update payments set check_at = app_now() where id = %s", payment)
        with transaction() as conn:
            [taken] = due.claim(conn, 10)
            due.put_off(conn, taken.id, taken.token, 60)
    assert one("select looks from payments where id = %s", payment)[0] <= 1
