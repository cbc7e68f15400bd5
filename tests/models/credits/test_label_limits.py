"""What a label may spend in a month: refused at the border, counted in the month of the order, given back to that month."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest

from common.errors import DomainError, InvalidInput, LabelLimitExceeded, NotFound
from models import db
from models.credits import audit, holds, label_limits
from models.credits.hold_rows import HoldRow, NewHold
from models.credits.label_limits import EACH, MAX_LABEL_LIMITS, LabelLimitRow
from models.db import transaction
from models.jobs import cancel, submit
from models.jobs.admission import Accepted, Answer
from tests.models.access.test_budgets import FIRST_OF_APRIL, LAST_OF_MARCH, at
from tests.models.credits.test_ledger import finish
from tests.support import account, assert_books_are_clean, balance, caller, model, one, order, place, placed, rows

pytestmark = pytest.mark.usefixtures("database")

ACME = {"customer": "acme"}


@pytest.fixture
def who() -> UUID:
    return account(amount=1000)


@pytest.fixture
def many(database: str) -> Iterator[None]:
    db.size_pool(24)
    db.close()  # a pool is there already: that of the test before
    yield
    db.size_pool(8)


def limit(who: UUID, value: str = "acme", credits: int = 10, *, name: str = "customer") -> LabelLimitRow:
    with transaction() as conn:
        return label_limits.set_limit(conn, who, name, value, credits)


def unlimit(who: UUID, value: str = "acme", *, name: str = "customer") -> None:
    with transaction() as conn:
        label_limits.remove_limit(conn, who, name, value)


def held(who: UUID, amount: int, labels: dict[str, str] | None = None) -> HoldRow:
    by = caller(who)
    with transaction() as conn:
        return holds.create(conn, by, NewHold(amount, 3600, labels=labels))


def limits(who: UUID) -> dict[str, tuple[int, int | None]]:
    with transaction() as conn:
        return {row.value: (row.monthly_credits, row.spent_this_month) for row in label_limits.list_limits(conn, who)}


def spent() -> dict[str, int]:
    return {
        f"{value} {month}": amount for value, month, amount in rows("select value, month, credits from label_spending")
    }


def kinds(answers: list[Answer]) -> list[str]:
    return [type(each).__name__ for each in answers]


def test_an_order_that_would_pass_the_limit_is_refused_with_its_figures_and_nothing_is_written(who: UUID) -> None:
    offer = model(price={"credits": 4})
    limit(who, credits=12)
    assert kinds(place(*(order(who, offer, labels=ACME) for _ in range(3)))) == ["Accepted"] * 3, "12 of 12"
    before = (balance(who), one("select count(*), max(number) from events"), spent())
    refused = place(order(who, offer, labels={"team": "x", **ACME}))[0]
    assert isinstance(refused, LabelLimitExceeded)
    assert (refused.code, refused.status) == ("label_limit_exceeded", 402)
    assert refused.extra == {"label": "customer:acme", "needed": 4, "spent": 12, "limit": 12}
    assert refused.detail == "this needs 4 credits; customer:acme has spent 12 of its 12 this month"
    assert (balance(who), one("select count(*), max(number) from events"), spent()) == before
    assert one("select count(*) from jobs") == (3,)
    # Another value of it, another label and no label at all are not limited.
    assert (
        kinds(place(*(order(who, offer, labels=each) for each in ({"customer": "b"}, {"team": "acme"}, None))))
        == ["Accepted"] * 3
    )
    assert_books_are_clean()


def test_the_border_is_exact_for_jobs_and_holds_of_one_batch_or_many(who: UUID) -> None:
    offer = model(price={"credits": 3})
    limit(who, credits=10)
    answers = place(*(order(who, offer, labels=ACME) for _ in range(5)))
    assert kinds(answers) == ["Accepted"] * 3 + ["LabelLimitExceeded"] * 2
    with pytest.raises(LabelLimitExceeded) as refused:
        held(who, 2, ACME)
    assert refused.value.extra == {"label": "customer:acme", "needed": 2, "spent": 9, "limit": 10}
    assert rows("select 1 from holds") == []
    held(who, 1, ACME)
    assert limits(who) == {"acme": (10, 10)}
    assert_books_are_clean()


def test_every_label_of_an_order_has_to_have_room_and_each_is_counted(who: UUID) -> None:
    offer = model(price={"credits": 4})
    limit(who, credits=100)
    limit(who, "x", 4, name="team")
    both = {"customer": "acme", "team": "x"}
    assert kinds(place(order(who, offer, labels=both), order(who, offer, labels=both), order(who, offer, labels=ACME))) == [
        "Accepted", "LabelLimitExceeded", "Accepted",
    ]  # fmt: skip
    assert limits(who) == {"acme": (100, 8), "x": (4, 4)}
    assert_books_are_clean()


def test_the_star_is_for_each_value_that_has_no_limit_of_its_own(who: UUID) -> None:
    offer = model(price={"credits": 4})
    limit(who, EACH, 4)
    limit(who, "acme", 12)

    def order_two_of(customer: str) -> list[str]:
        return kinds(place(*(order(who, offer, labels={"customer": customer}) for _ in range(2))))

    assert order_two_of("acme") == ["Accepted", "Accepted"]
    assert order_two_of("b") == ["Accepted", "LabelLimitExceeded"]
    assert order_two_of("c") == ["Accepted", "LabelLimitExceeded"], "b's are not c's"
    assert order_two_of(EACH) == ["Accepted", "LabelLimitExceeded"], "a value like any other"
    assert limits(who) == {EACH: (4, None), "acme": (12, 8)}
    limit(who, "c", 8)
    assert order_two_of("c") == ["Accepted", "LabelLimitExceeded"], "what it spent under the star counts"
    unlimit(who, "c")
    assert order_two_of("c") == ["LabelLimitExceeded"] * 2, "under the star again"
    unlimit(who, EACH)
    assert order_two_of("b") == ["Accepted", "Accepted"]
    assert rows("select distinct value from label_spending") == [("acme",)], "what has no limit is not counted"
    assert_books_are_clean()


@pytest.mark.parametrize("how", ["failed", "canceled", "less"])
def test_what_a_job_gives_back_goes_to_the_month_of_the_order(who: UUID, how: str) -> None:
    offer = model(price={"credits": 4})
    limit(who)
    with at(LAST_OF_MARCH):
        job_id = placed(who, offer, labels=ACME)
    with at(FIRST_OF_APRIL):
        placed(who, offer, labels=ACME)
        assert spent() == {"acme 2031-03-01": 4, "acme 2031-04-01": 4}
        if how == "canceled":
            with transaction() as conn:
                assert cancel.cancel(conn, job_id).ended
        else:
            finish(job_id, "succeeded" if how == "less" else "failed", cost=1 if how == "less" else 0)
        assert spent() == {"acme 2031-03-01": 1 if how == "less" else 0, "acme 2031-04-01": 4}
        assert_books_are_clean()
        # April's are April's: one more fits, not two.
        assert kinds(place(*(order(who, offer, labels=ACME) for _ in range(2)))) == ["Accepted", "LabelLimitExceeded"]


def test_a_month_is_utcs_whatever_the_sessions_time_zone(who: UUID) -> None:
    offer = model(price={"credits": 4})
    with at(LAST_OF_MARCH):  # 1 April in Kiritimati

        def there(work: Any) -> Any:
            with transaction() as conn:
                conn.execute("set local time zone 'Pacific/Kiritimati'")
                return work(conn)

        earlier = there(lambda conn: submit.submit(conn, [order(who, offer, labels=ACME)], wait=True))[0]
        assert isinstance(earlier, Accepted)
        assert there(lambda conn: label_limits.set_limit(conn, who, "customer", "acme", 10)).spent_this_month == 4
        there(lambda conn: submit.submit(conn, [order(who, offer, labels=ACME)], wait=True))
        assert spent() == {"acme 2031-03-01": 8}
        assert there(lambda conn: cancel.cancel(conn, earlier.job_id)).ended
        assert spent() == {"acme 2031-03-01": 4}
        assert_books_are_clean()


def test_a_hold_that_is_spent_and_given_back_in_parts_lowers_by_what_comes_back(who: UUID) -> None:
    limit(who)
    with at(LAST_OF_MARCH):
        hold = held(who, 10, ACME)
    with at(FIRST_OF_APRIL), transaction() as conn:
        assert spent() == {"acme 2031-03-01": 10}
        holds.settle(conn, who, hold.id, 3)
        holds.release(conn, who, hold.id, 2)
        assert conn.execute("select credits from label_spending").fetchall() == [(8,)]
        holds.settle(conn, who, hold.id, 1, release_rest=True)
    assert spent() == {"acme 2031-03-01": 4}
    with at(FIRST_OF_APRIL):
        held(who, 10, ACME)  # April's are its own
        assert_books_are_clean()


def test_a_hold_whose_time_has_passed_gives_back(who: UUID) -> None:
    limit(who)
    hold = held(who, 10, ACME)
    with transaction() as conn:
        conn.execute("update holds set expires_at = app_now()")
        assert holds.expire(conn, hold.id)
    assert limits(who) == {"acme": (10, 0)}
    held(who, 10, ACME)
    assert_books_are_clean()


@pytest.mark.parametrize("value", ["acme", EACH])
def test_a_limit_in_the_middle_of_a_month_counts_what_was_ordered_until_then(value: str) -> None:
    offer, who, other = model(price={"credits": 4}), account(amount=1000, plan="studio"), account(amount=100)
    with at(LAST_OF_MARCH):
        placed(who, offer, labels=ACME)
        held(who, 50, ACME)
    with at(FIRST_OF_APRIL.replace(day=2)):
        placed(other, offer, labels=ACME)
        for customer in ("acme", "b"):
            living, less, failed, canceled = (placed(who, offer, labels={"customer": customer, "n": n}) for n in "1234")
            finish(less, "succeeded", cost=3)
            finish(failed, "failed", cost=0)
            with transaction() as conn:
                assert cancel.cancel(conn, canceled).ended
            hold, gone = held(who, 10, {"customer": customer}), held(who, 7, {"customer": customer})
            with transaction() as conn:
                holds.settle(conn, who, hold.id, 3)
                holds.release(conn, who, hold.id, 2)
                holds.release(conn, who, gone.id)
        placed(who, offer, labels={"team": "acme"})
        assert spent() == {}
        limit(who, value, 20)
        counted = {"acme 2031-04-01": 4 + 3 + 8, "b 2031-04-01": 4 + 3 + 8}
        assert spent() == (counted if value == EACH else {"acme 2031-04-01": 15})
        assert_books_are_clean()
        assert kinds(place(*(order(who, offer, labels=ACME) for _ in range(2)))) == ["Accepted", "LabelLimitExceeded"]
        finish(living, "failed", cost=0)  # b's
        assert spent()["acme 2031-04-01"] == 19
        assert spent().get("b 2031-04-01") == (11 if value == EACH else None)
        assert_books_are_clean()


def test_a_limit_that_is_changed_counts_on_and_one_that_is_set_again_is_exact(who: UUID) -> None:
    offer = model(price={"credits": 4})
    assert limit(who, credits=4).spent_this_month == 0
    placed(who, offer, labels=ACME)
    assert limit(who, credits=8).spent_this_month == 4
    placed(who, offer, labels=ACME)
    assert limit(who, credits=3) == limit(who, credits=3)
    refused = place(order(who, offer, labels=ACME))[0]
    assert isinstance(refused, LabelLimitExceeded)
    assert refused.extra["spent"] == 8
    unlimit(who)
    assert (spent(), limits(who), one("select has_label_limits from accounts where id = %s", who)) == ({}, {}, (False,))
    placed(who, offer, labels=ACME)
    assert limit(who, credits=12).spent_this_month == 12
    assert_books_are_clean()


def test_an_order_that_began_before_midnight_and_comes_after_the_limit_is_counted_whole(who: UUID) -> None:
    """Transactions have the time of their beginning: March's may come to the lock after April has set the limit."""
    offer = model(price={"credits": 4})
    with at(datetime(2031, 3, 31, 23, 59, tzinfo=UTC)):
        placed(who, offer, labels=ACME)
    with at(datetime(2031, 4, 1, 0, 1, tzinfo=UTC)):
        limit(who, credits=50)
    with at(datetime(2031, 3, 31, 23, 59, tzinfo=UTC)):
        placed(who, offer, labels=ACME)
        assert spent() == {"acme 2031-03-01": 8}
        assert_books_are_clean()


def test_what_has_no_limit_reads_and_writes_nothing_of_limits(who: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    offer, said = model(price={"credits": 1}), list[str]()
    limited = account(amount=10)
    limit(limited)

    def placing(*orders: Any) -> int:
        said.clear()
        with transaction() as conn, monkeypatch.context() as listening:
            real = conn.execute
            listening.setattr(conn, "execute", lambda text, *rest: (said.append(str(text)), real(text, *rest))[1])
            assert kinds(submit.submit(conn, orders, wait=True)) == ["Accepted"] * len(orders)
        return sum("label_limits l" in each or "into label_spending" in each for each in said)

    assert placing(order(who, offer, labels=ACME)) == 0, "the account has no limits"
    assert placing(order(limited, offer)) == 0, "the order has no labels"
    assert placing(*(order(limited, offer, labels={"customer": "acme", "n": str(n)}) for n in range(4))) == 2, said


@pytest.mark.usefixtures("many")
def test_only_so_many_fit_however_many_ask_at_once(who: UUID) -> None:
    """64 threads, half of them with holds."""
    offer = model(price={"credits": 1})
    limit(who, credits=10)
    start = Barrier(64)

    def ask(number: int) -> str:
        start.wait()
        while True:
            try:
                if number % 2:
                    return kinds(place(order(who, offer, labels=ACME)))[0]
                held(who, 1, ACME)
            except DomainError as refused:
                if not refused.retryable:  # a machine that is slow has done nothing
                    return type(refused).__name__
            else:
                return "Accepted"

    with ThreadPoolExecutor(64) as threads:
        answers = sorted(threads.map(ask, range(64)))
    assert answers == ["Accepted"] * 10 + ["LabelLimitExceeded"] * 54
    assert limits(who) == {"acme": (10, 10)}
    assert_books_are_clean()


@pytest.mark.usefixtures("many")
def test_a_limit_that_is_set_while_orders_come_has_counted_each_of_them(who: UUID) -> None:
    offer = model(price={"credits": 1})
    start = Barrier(21)

    def ask(number: int) -> None:
        start.wait()
        if number == 20:
            limit(who, credits=1000)
        else:
            job_id = placed(who, offer, labels=ACME)
            if number % 2:
                with transaction() as conn:
                    assert cancel.cancel(conn, job_id).ended

    with ThreadPoolExecutor(21) as threads:
        list(threads.map(ask, range(21)))
    assert limits(who) == {"acme": (1000, 10)}
    assert_books_are_clean()


def test_limits_are_so_many_and_their_accounts_alone(who: UUID) -> None:
    offer, other = model(price={"credits": 4}), account(amount=100)
    limit(who, credits=4)
    placed(who, offer, labels=ACME)
    placed(other, offer, labels=ACME)
    placed(other, offer, labels=ACME)
    assert limits(other) == {}
    with pytest.raises(NotFound):
        unlimit(other)
    with transaction() as conn:
        conn.execute(
            "insert into label_limits select %s, 'team', n::text, 1 from generate_series(2, %s) as n",
            [who, MAX_LABEL_LIMITS],
        )
    limit(who, credits=5)  # one that is there is changed
    with pytest.raises(InvalidInput) as refused:
        limit(who, "b")
    assert refused.value.extra == {"limit": MAX_LABEL_LIMITS, "size": MAX_LABEL_LIMITS}
    assert_books_are_clean()


def test_limits_are_listed_in_pages_by_name_and_value(who: UUID) -> None:
    for name, value in (("team", "x"), ("customer", "b"), ("customer", "acme"), ("customer", EACH)):
        limit(who, value, name=name)
    with transaction() as conn:
        first = label_limits.list_limits(conn, who, limit=2)
        rest = label_limits.list_limits(conn, who, after=(first[-1].name, first[-1].value))
    assert [(row.name, row.value) for row in (*first, *rest)] == [
        ("customer", EACH), ("customer", "acme"), ("customer", "b"), ("team", "x"),
    ]  # fmt: skip


@pytest.mark.parametrize("damage", [
    "update label_spending set month = month - interval '1 month'", "update label_spending set credits = credits + 1",
    "delete from label_spending", "update label_spending set value = 'b'",
])  # fmt: skip
def test_the_audit_finds_spending_that_is_not_the_orders(who: UUID, damage: str) -> None:
    limit(who)
    placed(who, model(price={"credits": 4}), labels=ACME)
    assert_books_are_clean()
    with transaction() as conn:
        conn.execute(damage)
    with transaction() as conn:
        assert {each.rule for each in audit.audit(conn)} == {"labels_spend_what_their_orders_hold_or_cost"}
