"""The proof in parts finds what the proof in one snapshot finds, and of what is new it reads what is new."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from models.credits import audit, proofs
from models.credits.audit import Finding
from models.db import transaction
from models.jobs.ending import Ending, end
from tests.models.credits.test_audit import BREAKS, books
from tests.support import account, claimed, model, one, placed, rows

__all__ = ["books"]
pytestmark = pytest.mark.usefixtures("database")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def plant(url: str, fault: str) -> None:
    """Constraints and triggers would refuse this: they are switched off, as a damaged database would be."""
    with psycopg.connect(url) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(fault)


def in_ranges(*rules: str) -> set[str]:
    """The rules of these, or of all, that the whole round finds broken."""
    with transaction() as conn:
        parts = [part for each in proofs.account_ranges(conn) for part in proofs.round_parts(*each)]
    wanted = [part for part in parts if not rules or part.rule in rules]
    return {found.rule for part in wanted if (found := proven(part)) is not None}


def proven(part: proofs.ProofPart) -> Finding | None:
    with transaction() as conn:
        return proofs.prove_part(conn, part)


def new_ones(since: datetime, *rules: str) -> set[str]:
    """The rules of these, or of all, that the proof of what is new finds broken."""
    with transaction() as conn:
        ledger = {found.rule for found in proofs.prove_ledger(conn, since)}
    parts = [part for part in proofs.new_parts(since) if not rules or part.rule in rules]
    return ledger | {found.rule for part in parts if (found := proven(part)) is not None}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of one account each."""
    monkeypatch.setattr(proofs, "RANGE_ACCOUNTS", 1)


def test_the_ranges_of_sound_books_have_no_findings(books, narrow) -> None:
    account(amount=5)
    assert in_ranges() == set()
    with transaction() as conn:
        found = proofs.account_ranges(conn)
    assert [found[0][0], found[-1][1], len(found)] == [None, proofs.LAST, 3]
    assert [each[1] for each in found[:-1]] == [each[0] for each in found[1:]]


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_is_found_in_the_range_of_its_account(books, narrow, rule: str, database: str) -> None:
    account(amount=5)
    plant(database, BREAKS[rule])
    assert in_ranges(rule) == {rule}


@pytest.mark.parametrize("rule", proofs.NEW_RULES)
def test_a_broken_rule_is_found_in_what_is_new(books, rule: str, database: str) -> None:
    if rule in proofs.LEDGER_RULES:
        assert new_ones(LONG_AGO) == set()
    plant(database, BREAKS[rule])
    assert rule in new_ones(LONG_AGO if rule not in proofs.LEDGER_RULES else moved(rule, database), rule)


def moved(rule: str, database: str) -> datetime:
    """Since when the ledger of the books has moved on. The ledger is marked and what stands before the mark was proven: a fault of it has to be new."""
    since = one("select app_now()")[0]
    who = rows("select account_id from ledger_entries where kind = 'reserve' order by id limit 1")[0][0]
    job_id = placed(who, model("another"))
    if rule == "balances_after_follow_each_other":
        plant(database, f"update ledger_entries set reserved_after = reserved_after + 1 where job_id = '{job_id}'")
    return since - timedelta(seconds=1)


def test_of_a_ledger_only_what_stands_behind_its_mark_is_read() -> None:
    who, offer = account(amount=50), model()
    before = one("select app_now()")[0]
    for _ in range(3):
        job_id = placed(who, offer)
        with transaction() as conn:
            end(conn, who, job_id, Ending("succeeded", cost_credits=1), token=claimed(job_id).token)
        assert new_ones(before) == set()
        last = one("select max(id) from ledger_entries where account_id = %s", who)[0]
        assert rows("select entry_id, available, reserved from audit_marks where account_id = %s", who) == [
            (last, *one("select available, reserved from accounts where id = %s", who))
        ]


def test_no_ledger_is_marked_where_it_does_not_hold(database: str) -> None:
    who = account(amount=50)
    plant(database, "update accounts set available = available - 1")
    assert "entries_sum_to_balances" in new_ones(LONG_AGO)
    assert rows("select 1 from audit_marks where account_id = %s", who) == []


def test_what_stands_before_a_mark_is_kept_by_the_database_and_proven_by_the_round(database: str) -> None:
    who, offer = account(amount=50), model()
    placed(who, offer)
    assert new_ones(LONG_AGO) == set()
    old = "update ledger_entries set amount = amount + 1 where kind = 'grant'"
    with pytest.raises(psycopg.errors.RestrictViolation), psycopg.connect(database) as conn:
        conn.execute(old)
    plant(database, old)
    placed(who, offer)
    assert in_ranges("balances_after_follow_each_other")
    assert not new_ones(LONG_AGO) & set(proofs.LEDGER_RULES), "nobody reads it again but the round"


def test_what_was_found_in_several_ranges_is_one_finding_a_rule() -> None:
    rule = audit.RULES[3]
    one_range = Finding(rule.name, rule.meaning, [{"n": n} for n in range(15)])
    other = Finding(rule.name, rule.meaning, [{"n": n} for n in range(10, 30)])
    first = Finding(audit.RULES[0].name, audit.RULES[0].meaning, [{"x": UUID(int=1)}])
    assert proofs.merged([one_range, other, first]) == [
        first,
        Finding(rule.name, rule.meaning, [{"n": n} for n in range(20)]),
    ]
    assert proofs.merged([]) == []
