"""The duty that proves the books: a round that comes to everything, and an error that stays until it is mended."""

import pytest

from common.errors import Unavailable
from models.credits import proofs
from models.db import transaction
from scheduler.duties import books
from scheduler.main import duties, run_turn
from tests.models.hands import change
from tests.support import account, one

pytestmark = pytest.mark.usefixtures("database")
AUDIT = next(each for each in duties() if each.name == "audit")


def turn() -> str | None:
    """One turn of the duty. Returns what it says is wrong."""
    change(
        "insert into duties (name, next_at) values ('audit', app_now()) on conflict (name) do update set next_at = app_now()"
    )
    run_turn(AUDIT)
    error: str | None = one("select error from duties where name = 'audit'")[0]
    return error


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A house so large that a turn has time for one range of accounts."""
    monkeypatch.setattr(proofs, "RANGE_ACCOUNTS", 1)
    monkeypatch.setattr(books, "AUDIT_ROUND_SECONDS", 0.0)
    monkeypatch.setattr(books, "FIRST_SPAN", books.FIRST_SPAN * 0)
    monkeypatch.setattr(proofs, "OVERLAP_SECONDS", 0)


def test_a_fault_in_what_nobody_touches_is_found_within_one_round_and_told_until_it_is_mended(slow: None) -> None:
    who = [account() for _ in range(4)]
    assert turn() is None
    change("update accounts set storage_bytes = 7 where id = %s", sorted(who)[3])
    told = [turn() for _ in range(5)]
    found = [error is not None and "storage_is_counted" in error for error in told]
    assert True in found
    assert found == sorted(found), f"found once, told at each turn: {told}"
    change("update accounts set storage_bytes = 0")
    assert turn() is None


def test_a_small_house_is_proven_whole_at_each_turn() -> None:
    who = account()
    assert turn() is None
    change("update accounts set storage_bytes = 7 where id = %s", who)
    assert "storage_is_counted" in (turn() or "")


def test_a_fault_in_what_is_new_is_told_until_it_is_mended(slow: None) -> None:
    account(amount=5)
    assert turn() is None
    who = account(amount=5)
    change("update accounts set available = available + 1 where id = %s", who)
    for _ in range(3):
        assert "entries_sum_to_balances" in (turn() or "")
    change("update accounts set available = available - 1 where id = %s", who)
    assert turn() is None


def test_a_rule_that_takes_too_long_is_told_and_the_others_are_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    account(amount=5)
    prove = proofs.prove_part

    def late(conn, part):
        if part.rule == "storage_is_counted":
            conn.execute("set local statement_timeout = 20")
            conn.execute("select pg_sleep(5)")
        return prove(conn, part)

    monkeypatch.setattr(proofs, "prove_part", late)
    assert "could not prove in 60 s: storage_is_counted" in (turn() or "")
    with transaction() as conn:
        conn.execute("update accounts set debt = 3")
    assert "debts_are_spent_credits" in (turn() or "")


def test_a_part_that_takes_too_long_is_proven_in_halves_at_the_next_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    who = sorted(account() for _ in range(4))
    change("update accounts set storage_bytes = 7 where id = %s", who[2])
    prove, asked = proofs.prove_part, []

    def late(conn, part):
        """As if the rule could do two accounts in its time, and no more."""
        if part.rule == "storage_is_counted":
            inside = [each for each in who if (part.after is None or each > part.after) and each <= part.until]
            asked.append(len(inside))
            if len(inside) > 2:
                raise proofs.TooSlow("it was not proven in 60 s")
        return prove(conn, part)

    monkeypatch.setattr(proofs, "prove_part", late)
    assert "could not prove in 60 s: storage_is_counted" in (turn() or "")
    assert "found broken rules: storage_is_counted" in (turn() or "")
    assert asked[:3] == [4, 2, 2]


def test_a_database_that_goes_away_meanwhile_keeps_no_other_part_from_its_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = account()
    prove = proofs.prove_part

    def late(conn, part):
        if part.rule == "storage_is_counted":
            raise proofs.TooSlow("it was not proven in 60 s")
        return prove(conn, part)

    monkeypatch.setattr(proofs, "prove_part", late)
    monkeypatch.setattr(proofs, "halves", lambda *_: (_ for _ in ()).throw(Unavailable("the database is away")))
    change("update accounts set debt = 3 where id = %s", who)
    assert "debts_are_spent_credits" in (turn() or "")


def test_one_account_cannot_be_halved_and_what_is_new_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    who = sorted(account() for _ in range(3))
    with transaction() as conn:
        low, high = proofs.halves(conn, proofs.ProofPart("storage_is_counted"))
        assert (low.after, low.until, high.after, high.until) == (None, who[0], who[0], proofs.LAST)
        assert proofs.halves(conn, low) == []
        assert [each.until for each in proofs.halves(conn, high)] == [who[1], proofs.LAST]
        assert proofs.halves(conn, proofs.new_parts(proofs.moment_of_proof(conn))[0]) == []


def test_a_statement_that_is_cut_off_says_that_it_was_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "RULE_SECONDS", 0.001)
    monkeypatch.setattr(proofs, "find_broken", lambda conn, *_, **__: conn.execute("select pg_sleep(2)"))
    with pytest.raises(proofs.TooSlow), transaction() as conn:
        proofs.prove_part(conn, proofs.ProofPart("storage_is_counted"))


def test_ledgers_that_take_too_long_keep_no_other_part_from_its_proof_and_are_tried_again(
    slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    account()
    assert turn() is None
    who = account(amount=5)
    with transaction() as conn:
        before = books._read(conn).after
    with monkeypatch.context() as patched:
        patched.setattr(proofs, "prove_ledger", lambda *_: (_ for _ in ()).throw(Unavailable("it took too long")))
        assert "could not prove in 60 s: balances_after_follow_each_other, entries_sum_to_balances" in (turn() or "")
    with transaction() as conn:
        assert books._read(conn).after != before  # the round goes on
    change("update accounts set available = available + 1 where id = %s", who)  # moved before that turn, and not since
    assert "entries_sum_to_balances" in (turn() or "")
    change("update accounts set available = available - 1 where id = %s", who)
    assert turn() is None


def test_a_round_goes_on_from_where_it_was_after_a_restart(slow: None) -> None:
    who = sorted(account() for _ in range(3))
    for expected in [*who, None]:
        turn()
        with transaction() as conn:
            assert books._read(conn).after == expected
