"""An account's lock is taken in one place, in one order."""

import ast
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from common.settings import settings
from models import locks
from models.db import transaction
from tests.support import account, eventually, lock_waits

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "workers", "scheduler", "storage", "companies", "common", "models", "cli", "benchmarks", "deploy")
# Where a statement of its own is right, and why.
EXCEPTIONS = {
    "models/locks.py": "the one place",
    "models/jobs/end_job.sql": "one function does an end in one round trip, its account's lock first",
    "models/jobs/end_jobs.sql": "the same for ends that come together, those of accounts that are held elsewhere left out",
    "models/accounts/subscriptions.py": "a subscription's row, whose account is locked already",
    "models/catalogue/packs.py": "packs, which are nobody's",
    "models/catalogue/plans.py": "plans, which are nobody's",
    "models/payments/due.py": "payments that a look takes; it takes no account's lock after them",
}
LOCKING = re.compile(r"\bfor\s+(no\s+key\s+update|update|share|key\s+share)\b", re.IGNORECASE)


def statements(path: Path, text: str) -> Iterator[str]:
    """The texts of a file that may be SQL: string literals, with what is put into them left out, or statements."""
    if path.suffix == ".sql":
        yield from re.sub(r"--[^\n]*", "", text).split(";")
        return
    tree = ast.parse(text)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else " … " for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (prose | inner):
            yield node.value


def account_locks(path: Path, text: str) -> list[str]:
    """Statements of a file that lock accounts, or pieces of some that may."""
    found = [each for each in statements(path, text) if LOCKING.search(each)]
    return [each for each in found if re.search(r"\baccounts\b|\bfrom\s+…", each) or not re.search(r"\bfrom\b", each)]


@pytest.mark.parametrize(("name", "text"), [
    ("verb.py", 'conn.execute("select 1 from accounts where id = %s for no key update", [a])'),
    ("verb.py", 'conn.execute(f"select {columns} from accounts a {where} FOR UPDATE of a")'),
    ("verb.py", 'sql = "select 1 from " + table + " where id = %s" + " for no key update"'),
    ("verb.py", 'sql = """with due as (select 1), free as (\n select id from accounts where id in (select 1)\n for share)"""'),
    ("function.sql", "select 1; -- for update\nselect a.id into v from accounts a join plans p on true for no key update of a;"),
])  # fmt: skip
def test_a_lock_of_accounts_is_seen_however_it_is_written(name: str, text: str) -> None:
    assert account_locks(Path(name), text)


@pytest.mark.parametrize(("name", "text"), [
    ("verb.py", '"""Takes from accounts, for update."""\nconn.execute("select 1 from job_runs for update")'),
    ("function.sql", "-- accounts\nselect 1 from job_runs for update;\nselect 1 from accounts;"),
])  # fmt: skip
def test_other_locks_are_none_of_accounts(name: str, text: str) -> None:
    assert account_locks(Path(name), text) == []


def test_accounts_are_locked_in_one_place() -> None:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if "superseded" in path.parts:  # history
                continue
            if path.suffix in {".py", ".sql"} and (seen := account_locks(path, path.read_text())):
                found[str(path.relative_to(ROOT))] = seen
    plain = {re.sub(r"_v\d+(?=\.sql$)", "", name) for name in found}
    assert plain == EXCEPTIONS.keys(), found


def holder() -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(settings().database_url)


@pytest.mark.usefixtures("database")
def test_several_are_locked_in_the_order_of_their_ids_whatever_order_they_are_named_in() -> None:
    first, second, third = sorted(account() for _ in range(3))

    def lock_all() -> set[UUID]:
        with transaction() as conn:
            return locks.lock_accounts(conn, [third, second, first])

    with ThreadPoolExecutor(1) as threads, holder() as other:
        locks.lock_account(other, second)
        late = threads.submit(lock_all)
        eventually(lambda: lock_waits() > 0, what="a wait")
        with transaction() as conn:  # it waits for the second with the first in its hands, and not the third
            assert locks.lock_accounts(conn, [first, third], skip_locked=True) == {third}
        other.commit()
        assert late.result() == {first, second, third}


@pytest.mark.usefixtures("database")
def test_those_that_are_held_are_left_out_where_nobody_may_wait() -> None:
    free, held = account(), account()
    with holder() as other, transaction() as conn:
        assert locks.lock_account(other, held)
        assert locks.lock_accounts(conn, [held, free], skip_locked=True) == {free}
        assert locks.lock_accounts(other, [free], skip_locked=True) == set(), "it is held now"


@pytest.mark.usefixtures("database")
def test_what_is_read_with_the_lock_is_what_was_committed_while_it_was_waited_for() -> None:
    who = account()

    def read() -> object:
        with transaction() as conn:
            return locks.read_locked(conn, who, "a.storage_bytes, p.id", plan=True)

    with ThreadPoolExecutor(1) as threads, holder() as other:
        locks.lock_account(other, who)
        other.execute("update accounts set storage_bytes = 7")
        late = threads.submit(read)
        eventually(lambda: lock_waits() > 0, what="a wait")
        other.commit()
        assert late.result() == (7, "free")


@pytest.mark.usefixtures("database")
def test_an_account_that_there_is_not_cannot_be_locked() -> None:
    nobody = UUID(int=1)
    with transaction() as conn:
        assert locks.read_locked(conn, nobody, "a.available") is None
        assert not locks.lock_account(conn, nobody)
        assert locks.lock_accounts(conn, [nobody]) == set()
