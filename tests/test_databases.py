"""One database for many tests: each finds it as it was prepared, and what cannot be put back is not used again."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cli.embedded.servers import Addresses
from tests import databases
from tests.conftest import PREPARED, _admin, _used
from tests.databases import _TABLES, Spare, address
from tests.support import account, claimed, model, one, placed


@pytest.fixture
def spare(stack: Addresses) -> Iterator[Spare]:
    lender = Spare(_admin(stack), PREPARED)
    yield lender
    lender.close()


@contextmanager
def lent(stack: Addresses, spare: Spare) -> Iterator[str]:
    with spare.lend() as name, _used(stack, name):
        yield name


def contents(stack: Addresses, name: str) -> dict[str, list[object]]:
    """All rows of all tables."""
    with psycopg.connect(address(_admin(stack), name)) as conn:
        tables = [row[0] for row in conn.execute(_TABLES).fetchall()]
        return {each: sorted(conn.execute(f"select * from {each}").fetchall(), key=str) for each in tables}


def test_a_test_finds_nothing_of_the_one_before_it(stack: Addresses, spare: Spare) -> None:
    prepared = contents(stack, PREPARED)
    assert prepared["plans"]
    names, events = [], []
    for _ in range(3):
        with lent(stack, spare) as name:
            names.append(name)
            assert contents(stack, name) == prepared
            claimed(placed(account(amount=5), model()))
            with psycopg.connect(address(_admin(stack), name)) as conn:
                conn.execute("update plans set slots = 99")
                conn.execute("delete from models where id <> 'test-model'")
            events.append(one("select max(id) from ledger_entries"))
    assert len(set(names)) == 1
    assert len(set(events)) == 1, "numbers go on where the test before stopped"


CHANGES = {
    "a column": "alter table accounts add column more int",
    "a table": "create table more (id int)",
    "an index": "create index more on accounts (plan_id)",
    "a function": "create or replace function app_now() returns timestamptz language sql stable as 'select now()'",
    "a trigger that is off": "alter table ledger_entries disable trigger user",
    "a constraint": "alter table accounts add constraint more check (available < 1000000)",
    "a setting": "do $$ begin execute format('alter database %I set lock_timeout = 7', current_database()); end $$",
    "statistics": "analyze plans",
    "many rows": "insert into probes select gen_random_uuid(), sha256(n::text::bytea) from generate_series(1, 100000) n",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_database_whose_shape_was_changed_is_not_used_again(stack: Addresses, spare: Spare, what: str) -> None:
    with lent(stack, spare) as first:
        with psycopg.connect(address(_admin(stack), first), autocommit=True) as conn:
            conn.execute(CHANGES[what])
    with lent(stack, spare) as second:
        assert second != first
        with psycopg.connect(address(_admin(stack), second)) as conn:
            assert conn.execute("select count(*) from pg_database where datname = %s", [first]).fetchone() == (0,)


def test_a_database_that_somebody_still_writes_to_is_taken_from_them(stack: Addresses, spare: Spare) -> None:
    with lent(stack, spare) as first:
        left_over = psycopg.connect(address(_admin(stack), first))
        left_over.execute("select 1")
    with lent(stack, spare) as second:
        assert second != first
    with pytest.raises(psycopg.OperationalError):
        left_over.execute("select 1")
    left_over.close()


def test_a_database_is_given_up_after_so_many_tests(
    stack: Addresses, spare: Spare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "MAX_TESTS", 2)
    names = []
    for _ in range(5):
        with lent(stack, spare) as name:
            names.append(name)
    assert [len(list(group)) for _, group in itertools.groupby(names)] == [2, 2, 1]
