"""Accounts are what could be parted over several databases: whatever is hot names its account and needs no other account's row."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from common.places import database_parameters
from models.credits import holds
from models.credits.holds import NewHold
from models.credits.reads import balances, ledger_page
from models.db import transaction
from models.events import events
from models.files import keeping
from models.jobs import ending, polls, reads, steps
from models.jobs.cancel import cancel
from models.jobs.dispatch import dispatch
from models.jobs.ending import AttemptEnd, ClaimedEnd, Ending, NewAsset
from models.locks import lock_account
from models.schema import roles
from models.usage.entries import add_up
from tests.conftest import environment
from tests.models.shards import BY_PARENT, GLOBAL, part, place_of
from tests.support import account, caller, claimed, model, placed, rows

ROLE, PASSWORD = f"part{os.getpid()}", "for this test alone"
GROWTH = Path(__file__).resolve().parents[2] / "docs" / "sharding.md"


def tables() -> dict[str, set[str]]:
    """The tables of the database, without the months of those that have some, and their columns."""
    found: dict[str, set[str]] = {}
    for table, column in rows(
        """select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
              and a.attnum > 0 and not a.attisdropped and c.relname <> 'alembic_version'"""
    ):
        found.setdefault(table, set()).add(column)
    return found


@pytest.fixture
def as_part(database: str) -> Iterator[Any]:
    """Gives a function that makes the settings of a process which has one account's part of the database."""
    with psycopg.connect(database, autocommit=True) as conn:
        with transaction() as own:
            roles.grant_to(own, ROLE)
        conn.execute(f"alter role {ROLE} password '{PASSWORD}'")

        def made(account_id: UUID) -> dict[str, str]:
            part(conn, tables(), ROLE, account_id)
            parameters = {**database_parameters(database), "user": ROLE, "password": PASSWORD}
            return {"DATABASE_URL": make_conninfo(**parameters)}

        yield made
        conn.execute(f"drop owned by {ROLE}")
        conn.execute(f"drop role {ROLE}")


@pytest.mark.usefixtures("database")
def test_it_is_said_of_every_table_where_its_rows_lie() -> None:
    here = tables()
    assert [table for table, columns in here.items() if place_of(table, columns) is None] == []
    assert set(GLOBAL) | set(BY_PARENT) <= set(here)
    assert set(GLOBAL) & set(BY_PARENT) == set()
    for table, (column, parent) in BY_PARENT.items():
        assert column in here[table], table
        assert place_of(parent, here[parent]) in {"account", "parent"}, parent


def test_the_document_says_it_of_every_table() -> None:
    said = {line.split("|")[1].strip(" `") for line in GROWTH.read_text().splitlines() if line.startswith("| `")}
    assert set(GLOBAL) | set(BY_PARENT) <= said


def live(who: UUID, offer: Any) -> list[Any]:
    """All that is hot, for one account, and what it came to."""
    said: list[Any] = []
    jobs = [placed(who, offer, labels={"customer": "acme"}) for _ in range(5)]
    with transaction() as conn:
        said += [reads.jobs_by_id(conn, [jobs[0]])[jobs[0]].run_status, len(reads.list_jobs(conn, who))]
    first, second, third = (claimed(each) for each in jobs[:3])
    asset = NewAsset(uuid7(), 0, f"{jobs[0]}/0", "image/png", 6, b"0" * 32, 64, 48, None, None, 0)
    done = AttemptEnd(1, "done", None, None, charged=True, cost_usd_micros=12, usage={"tokens_in": 5})
    with transaction() as conn:
        assert steps.extend(conn, [(jobs[0], first.token, "tester")])
        ended = ending.end(
            conn, who, jobs[0], Ending("succeeded", cost_credits=1, assets=[asset], attempt=done), token=first.token
        )
        said.append(ended is not None and len(ended.rings))
    with transaction() as conn:
        failed = Ending("failed", error_code="x", error_message="y", attempt=replace(done, phase="failed"))
        grouped = ending.end_together(conn, [ClaimedEnd(who, jobs[1], failed, second.token, "refund")])
        said.append([type(each).__name__ for each in grouped])
    with transaction() as conn:
        said.append(cancel(conn, jobs[3], account_id=who).ended)
    with transaction() as conn:
        steps.wait(conn, third, after_seconds=0, reason=None)
    with transaction() as conn:
        said.append(len(polls.lease(conn, "poller", ["interactive"], 10)))
        polls.give_back_lease(conn, "poller")
        lock_account(conn, who)
        said.append(len(dispatch(conn, who)))
    with transaction() as conn:
        hold = holds.create(conn, caller(who), NewHold(amount=3, seconds=60, reference="r"))
        holds.settle(conn, who, hold.id, 1)
        holds.release(conn, who, hold.id)
    with transaction() as conn:
        said += [keeping.delete(conn, who, jobs[0]), add_up(conn, 100)]
    with transaction() as conn:
        said.append(balances(conn, [who]))
        entries = ledger_page(conn, who, before=None, limit=50)
        said.append([(each["kind"], each["amount"]) for each in entries])
        said.append([each.type for each in events.after(conn, [(who, 0)], 100)[0].events])
        said.append(len(reads.list_jobs(conn, who, status="succeeded")))
    return said


def test_what_is_hot_works_where_one_accounts_rows_are_all_there_is(as_part: Any, database: str) -> None:
    whole, alone = account(amount=20, plan="studio"), account(amount=20, plan="studio")
    offer = model()
    expected = live(whole, offer)
    assert len(expected) > 10
    with environment(as_part(alone)):
        with transaction() as conn:
            assert conn.execute("select count(*) from accounts").fetchone() == (1,)
            assert conn.execute("select count(*) from jobs").fetchone() == (0,)
        assert live(alone, offer) == expected
    with psycopg.connect(database) as owner:
        assert owner.execute("select count(distinct account_id) from jobs").fetchone() == (2,)


def test_a_part_can_write_no_other_accounts_rows(as_part: Any, database: str) -> None:
    """The play is a real one: what names another account is refused."""
    mine, theirs = account(amount=20), account(amount=20)
    with environment(as_part(mine)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction() as conn:
            conn.execute(
                "insert into events (account_id, number, type, data) values (%s, 9, 'credits.low', '{}')", [theirs]
            )
    with psycopg.connect(database) as owner:
        assert owner.execute("select type from events where account_id = %s", [theirs]).fetchall() == [
            ("credits.granted",)
        ]
