"""The processes' own role: it reads and writes rows, and nothing else."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from common.places import database_parameters
from models.db import transaction
from models.schema import roles
from scheduler.duties import archiving, retention
from tests.conftest import environment
from tests.support import System, account, assert_books_are_clean, ended, model

ROLE, PASSWORD = f"processes{os.getpid()}", "for this test alone"
REFUSED = (
    "truncate notifications", "truncate jobs cascade", "drop table notifications", "drop table events",
    "alter table jobs add column x text", "alter table job_runs disable trigger all", "create table x (y text)",
    "create index on jobs (ended)", "update alembic_version set version_num = '0001'", "drop function app_now()",
)  # fmt: skip


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection of the tables' owner; the role, with a password, is gone afterwards."""
    with psycopg.connect(database, autocommit=True) as conn:
        with transaction() as own:
            assert roles.grant_to(own, ROLE)
        conn.execute(f"alter role {ROLE} password '{PASSWORD}'")
        yield conn
        conn.execute(f"drop owned by {ROLE}")
        conn.execute(f"drop role {ROLE}")


def as_role(database: str) -> str:
    return make_conninfo(**{**database_parameters(database), "user": ROLE, "password": PASSWORD})


@pytest.mark.parametrize("statement", REFUSED)
def test_what_is_no_row_is_refused(owner: object, database: str, statement: str) -> None:
    with psycopg.connect(as_role(database)) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)


def test_months_are_made_and_dropped_and_no_other_table(
    owner: psycopg.Connection[tuple[object, ...]], database: str
) -> None:
    newest = owner.execute(
        "select relname from pg_class where relname ~ '^usage_[0-9]{4}_[0-9]{2}$' and relkind = 'r' order by 1 desc"
    ).fetchone()
    assert newest is not None
    owner.execute(f"drop table {newest[0]}")
    owner.execute(
        "create table events_2020_01 partition of events for values from ('2020-01-01+00') to ('2020-02-01+00')"
    )
    with environment({"DATABASE_URL": as_role(database)}):
        assert retention.make_partitions(1) == 1
        assert retention.drop_partitions(100) == 1
    with psycopg.connect(as_role(database), autocommit=True) as conn:
        for wrong in ("jobs", "accounts", newest[0]):
            assert conn.execute("select drop_month_v1(%s, 7)", [wrong]).fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select make_month_v1('jobs', 1)")


def test_months_are_detached_read_and_dropped_for_the_archive(
    owner: psycopg.Connection[tuple[object, ...]], database: str
) -> None:
    # As make_month_v1 makes it: the owner's, with the rights that its tables have by default.
    owner.execute(
        "create table events_2020_01 partition of events for values from ('2020-01-01+00') to ('2020-02-01+00')"
    )
    with environment({"DATABASE_URL": as_role(database), "ARCHIVE": "true"}):
        assert retention.drop_partitions(100) == 1
        assert archiving.archive(1) == 1
    assert owner.execute("select 1 from pg_class where relname = 'events_2020_01'").fetchall() == []
    assert owner.execute("select kind, rows from archived_files").fetchall() == [("events", 0)]
    with psycopg.connect(as_role(database), autocommit=True) as conn:
        for wrong in ("jobs", "accounts", "archived_files"):
            assert conn.execute("select detach_month_v1(%s, 7)", [wrong]).fetchone() == (False,)
            assert conn.execute("select drop_detached_v1(%s)", [wrong]).fetchone() == (False,)


@pytest.mark.timeout(300)  # three processes start
def test_api_worker_and_scheduler_work_under_it(owner: object, system: System, database: str) -> None:
    who = account(amount=5)
    model()
    own = {"DATABASE_URL": as_role(database)}
    system.start("api", "worker", "scheduler", api=own, worker=own, scheduler=own)
    with system.client(who) as http:
        job = ended(http, http.post("/v1/jobs", json={"model": "test-model", "input": {}}).json()["id"])
    assert job["status"] == "succeeded"
    assert_books_are_clean()
    with transaction() as conn:
        errors = conn.execute("select name, error from duties where error is not null").fetchall()
    assert errors == []
