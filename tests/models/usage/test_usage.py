"""Usage: each thing is counted once, in the transaction in which it happens, and equals a recount (the audit's rules)."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import Connection
from uuid_utils.compat import uuid7

from models import db
from models.credits import holds
from models.credits.hold_rows import NewHold
from models.db import pool, transaction
from models.files import results, uploads
from models.files.uploads import NewUpload
from models.jobs import ending, facts
from models.jobs.ending import AttemptEnd, Ending, NewAsset, end
from models.jobs.steps import Claim
from models.schema import migrations
from models.usage import entries
from models.usage.entries import ALL_USAGE
from models.usage.usage import record_requests
from scheduler.duties.usage import add_up_usage
from tests.races.test_races import together
from tests.support import (
    account,
    assert_books_are_clean,
    caller,
    claimed,
    eventually,
    lock_waits,
    model,
    placed,
    rows,
)

pytestmark = pytest.mark.usefixtures("database")

KEY = "account_id, at, model_id, labels_key"
COUNTS = "succeeded, failed, canceled, credits, results, cost_usd_micros, tokens_in, tokens_out"


def counted(source: str = "job") -> list[tuple[Any, ...]]:
    """What is counted, which is the same before and after what was noted is added up."""
    sums = ", ".join(f"sum({name})::bigint" for name in COUNTS.split(", "))
    noted = rows(f"select {sums} from {ALL_USAGE} where source = %s group by {KEY} order by {KEY}", source)
    while add_up_usage(100).more:
        pass
    assert rows("select count(*) from usage_entries") == [(0,)]
    summed = rows(f"select {COUNTS} from usage where source = %s order by {KEY}", source)
    assert [tuple(row) for row in summed] == noted
    return summed


def done(claim: Claim, conn: Connection[Any], ended: str = "succeeded", *, assets: int = 0, **attempt: Any) -> None:
    made = [NewAsset(uuid7(), n, f"k/{claim.job_id}/{n}", "image/png", 10, b"x" * 32) for n in range(assets)]
    phase, code = ("done", None) if ended == "succeeded" else ("failed", "broken")
    error = "broken" if ended == "failed" else None
    last = AttemptEnd(1, phase, code, **attempt)
    cost = 3 if ended == "succeeded" else 0
    assert end(
        conn,
        claim.account_id,
        claim.job_id,
        Ending(ended, cost, error, error, assets=made, attempt=last),
        token=claim.token,
    )


def test_a_job_is_counted_when_it_ends_with_its_outcome_and_what_its_attempts_cost() -> None:
    who, offer = account(amount=50, plan="studio"), model(price={"credits": 3})
    acme = {"customer": "acme"}
    jobs = [placed(who, offer, labels=labels) for labels in (acme, acme, None, {"customer": "other"})]
    claims = [claimed(each) for each in jobs[:3]]
    assert counted() == [], "nothing has ended"
    with transaction() as conn:
        done(claims[0], conn, assets=2, cost_usd_micros=70, usage={"tokens_in": 5, "tokens_out": 9})
        done(claims[1], conn, "failed", cost_usd_micros=7, charged=True)
        done(claims[2], conn, cost_usd_micros=1)
        end(conn, who, jobs[3], Ending("canceled"), token=None)
    assert len(counted()) == 3
    found = {
        (labels or {}).get("customer"): tuple(rest)
        for labels, *rest in rows(f"select labels, {COUNTS} from usage where source = 'job'")
    }
    assert found == {
        "acme": (1, 1, 0, 3, 2, 77, 5, 9), None: (1, 0, 0, 3, 0, 1, 0, 0), "other": (0, 0, 1, 0, 0, 0, 0, 0),
    }  # fmt: skip
    assert_books_are_clean()


def test_an_end_of_one_statement_is_counted_too() -> None:
    claim = claimed(placed(account(amount=9, plan="studio"), model()))
    with pool().connection() as conn:
        conn.autocommit = True
        try:
            done(claim, conn)
        finally:
            conn.autocommit = False
    assert counted() == [(1, 0, 0, 1, 0, 0, 0, 0)], "no more than was reserved"
    assert_books_are_clean()


def test_an_end_that_is_undone_is_not_counted() -> None:
    claim = claimed(placed(account(amount=9, plan="studio"), model()))
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        done(claim, conn)
        raise ZeroDivisionError
    assert counted() == []


def test_absurd_words_of_a_provider_fail_no_end() -> None:
    who, offer = account(amount=50, plan="studio"), model()
    for _ in range(3):
        claim = claimed(placed(who, offer))
        with transaction() as conn:
            done(claim, conn, cost_usd_micros=10**30, usage={"tokens_in": 10**30, "tokens_out": -5})
    assert counted() == [(3, 0, 0, 3, 0, 3 * 10**12, 3 * 10**12, 0)]
    assert_books_are_clean()


def late(claim: Claim, cost: int) -> None:
    """Another word of the provider, on an attempt that is over."""
    with transaction() as conn:
        facts.deliver(conn, claim, 1, delivered={"outputs": []}, usage={}, cost_usd_micros=cost)


def add_up() -> int:
    return int(add_up_usage(100))


@pytest.mark.parametrize("added", [False, True])
def test_what_a_provider_says_late_of_the_cost_is_counted_where_its_job_ended(added: bool) -> None:
    who, offer = account(amount=50, plan="studio"), model()
    before, first, second = (claimed(placed(who, offer, labels={"a": "b"})) for _ in range(3))
    with transaction() as conn:
        done(before, conn, cost_usd_micros=1)
    assert add_up() == 1  # so that their quarter has a row, to which their sums are added once
    with transaction() as conn:
        done(first, conn)  # nobody knows what it cost
        done(second, conn, cost_usd_micros=4)
    if added:
        assert add_up() == 2
    late(first, 11)
    late(second, 99)  # it was known
    assert [row[5] for row in counted()] == [16]
    assert_books_are_clean()


@pytest.mark.parametrize("added", [False, True])
def test_an_absurd_late_cost_is_bounded_as_any_other_and_fails_no_later_end(added: bool) -> None:
    who, offer = account(amount=50, plan="studio"), model()
    for cost in (2**63 - 1, 10**13, 5):
        claim = claimed(placed(who, offer))
        with transaction() as conn:
            done(claim, conn)
        if added:
            assert add_up() == 1
        late(claim, cost)
        assert_books_are_clean()
    claim = claimed(placed(who, offer))
    with transaction() as conn:
        done(claim, conn, cost_usd_micros=7)
    assert [row[5] for row in counted()] == [2 * 10**12 + 12]
    assert_books_are_clean()


def test_a_cost_that_a_process_of_before_writes_down_late_is_counted_too() -> None:
    claim = claimed(placed(account(amount=9, plan="studio"), model()))
    with transaction() as conn:
        done(claim, conn)
        conn.execute("update attempts set cost_usd_micros = 31, charged = true where cost_usd_micros is null")
    assert [row[5] for row in counted()] == [31]
    assert_books_are_clean()


def test_a_cost_that_comes_while_its_job_ends_is_counted_once() -> None:
    for _ in range(8):
        who = account(amount=50, plan="studio")
        claim = claimed(placed(who, model()))
        with transaction() as conn:  # the first attempt is over, and nobody knows what it cost; the job goes on
            ending.put_back(
                conn, who, claim.job_id, token=claim.token, after_seconds=0, reason="again", spends_attempt=True,
                attempt=AttemptEnd(1, "failed", "broken"),
            )  # fmt: skip
            conn.execute("update job_runs set dispatched = true where job_id = %s", [claim.job_id])
            conn.execute("update accounts set slots_in_use = slots_in_use + 1 where id = %s", [who])
        again = claimed(claim.job_id)

        def end_it(again: Claim = again) -> None:
            with transaction() as conn:
                last = AttemptEnd(2, "done", cost_usd_micros=100)
                assert end(
                    conn, again.account_id, again.job_id, Ending("succeeded", 1, attempt=last), token=again.token
                )

        acts = [end_it, lambda claim=claim: late(claim, 11)]
        random.shuffle(acts)
        together(2, lambda number, acts=acts: acts[number]())
        assert_books_are_clean()
    assert {row[5] for row in counted()} == {111}


def test_a_cost_that_comes_while_its_job_is_added_up_is_counted_once() -> None:
    claims = [claimed(placed(account(amount=9, plan="studio"), model())) for _ in range(2)]
    with transaction() as conn:
        for claim in claims:
            done(claim, conn)
    with ThreadPoolExecutor(1) as threads:
        with transaction() as conn:
            facts.deliver(conn, claims[0], 1, delivered={"outputs": []}, usage={}, cost_usd_micros=11)
            assert threads.submit(add_up).result(timeout=30) == 1, "the other alone, and nobody waits"
        assert sorted(row[5] for row in counted()) == [0, 11]
        with transaction() as conn:  # and the other way round
            conn.execute("delete from usage")
            conn.execute("insert into usage_entries (account_id, job_id) select account_id, id from jobs")
        with transaction() as conn:
            assert entries.add_up(conn, 100) == 2
            waiting = threads.submit(late, claims[1], 31)
            eventually(lambda: lock_waits() == 1, what="a wait")
        waiting.result(timeout=30)
    assert sorted(row[5] for row in counted()) == [11, 31]
    assert_books_are_clean()


def test_costs_and_sums_meet_in_any_order() -> None:
    for _ in range(8):
        claim = claimed(placed(account(amount=9, plan="studio"), model()))
        with transaction() as conn:
            done(claim, conn)
        acts = [add_up, add_up, lambda claim=claim: late(claim, 11)]
        random.shuffle(acts)
        together(3, lambda number, acts=acts: acts[number]())
        assert_books_are_clean()
    assert sum(row[5] for row in counted()) == 88


def test_jobs_of_one_account_that_end_at_once_are_all_counted() -> None:
    who, offer = account(amount=100, plan="studio"), model()
    claims = [claimed(placed(who, offer, labels={"n": str(n % 2)})) for n in range(8)]

    def end_one(number: int) -> None:
        with transaction() as conn:
            done(claims[number], conn, cost_usd_micros=number)

    together(8, end_one)
    assert [row[0] for row in counted()] == [4, 4]
    claims = [claimed(placed(who, offer, labels={"n": str(n % 2)})) for n in range(4)]
    together(4, end_one)  # and what is added up is added to what is there
    assert [(row[0], row[3]) for row in counted()] == [(6, 6), (6, 6)]
    assert_books_are_clean()


def test_what_is_spent_of_a_hold_is_counted_part_by_part() -> None:
    who = account(amount=50, plan="studio")
    with transaction() as conn:
        made = holds.create(conn, caller(who), NewHold(20, 60, model="film", labels={"customer": "acme"}))
        holds.settle(conn, who, made.id, 7)
        holds.settle(conn, who, made.id, 5)
        holds.release(conn, who, made.id)
    assert rows("select model_id, labels, credits from usage where source = 'hold'") == [
        ("film", {"customer": "acme"}, 12)
    ]
    assert_books_are_clean()


def test_storage_is_counted_as_it_comes_and_goes() -> None:
    who = account(amount=50, plan="studio")
    claim = claimed(placed(who, model()))
    with transaction() as conn:
        done(claim, conn, assets=3)
    upload = NewUpload(uuid7(), who, f"uploads/{uuid7()}", "text/plain", 5, b"1" * 32, None, None, None)
    with transaction() as conn:
        uploads.create(conn, upload)
    with transaction() as conn:
        uploads.delete(conn, who, upload.id)
        conn.execute("update assets set expires_at = app_now() where index > 0")
        results.expire(conn, 10)
    counted("storage")
    assert rows("select bytes_added, bytes_removed from usage where source = 'storage'") == [(35, 25)]
    assert_books_are_clean()


def test_requests_are_counted_by_processes_that_write_at_once_in_any_order() -> None:
    who = [account() for _ in range(6)]

    def write(number: int) -> None:
        for _ in range(20):
            mine = random.Random(number).sample(who, 6)
            with transaction() as conn:
                record_requests(conn, dict.fromkeys(mine, 2))

    together(6, write)
    assert rows("select account_id, requests from usage order by account_id") == [(each, 240) for each in sorted(who)]


def test_an_end_waits_for_nobody_who_counts_requests() -> None:
    who = account(amount=9, plan="studio")
    claim = claimed(placed(who, model()))
    with ThreadPoolExecutor(1) as threads, transaction() as conn:
        record_requests(conn, {who: 1})

        def end_it() -> None:
            with transaction() as other:
                done(claim, other)

        threads.submit(end_it).result(timeout=10)
    assert counted() == [(1, 0, 0, 1, 0, 0, 0, 0)]


def test_a_downgrade_adds_up_what_waits() -> None:
    who, offer = account(amount=9, plan="studio"), model()
    for cost in (3, 4):
        claim = claimed(placed(who, offer))
        with transaction() as conn:
            done(claim, conn, assets=1, cost_usd_micros=cost)
    db.close()
    migrations.downgrade("0029")
    assert rows(f"select {COUNTS} from usage where source = 'job'") == [(2, 0, 0, 2, 2, 7, 0, 0)]
    assert rows("select bytes_added from usage where source = 'storage'") == [(20,)]
    db.close()
    migrations.upgrade()
    assert counted() == [(2, 0, 0, 2, 2, 7, 0, 0)]
    assert_books_are_clean()
