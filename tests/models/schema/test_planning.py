"""`headrace migrate --plan` says which tables a pending migration locks against whom, and every new migration can be read so."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from cli.main import app
from models import db
from models.db import transaction
from models.schema import migrations, planning
from models.schema.planning import Effect, Step, by_table, plan_of, steps_of
from tests.models.schema.releases import Releases
from tests.support import one

# They ask the database, or decide in it. No migration after 0036 may be one of these: it says itself what it does, in `plan`.
UNREADABLE = {"0015", "0023", "0025", "0026", "0030"}

# Each is run for real below, but those that the database cannot do within a transaction.
STATEMENTS = [
    ("create index x on jobs (ended)", "jobs", Effect.NO_WRITES),
    ("create unique index x on jobs (id, ended)", "jobs", Effect.NO_WRITES),
    ("create index concurrently x on jobs (ended)", "jobs", Effect.READS),
    ("drop index ix_jobs_failed", "ix_jobs_failed", Effect.SHORT),
    ("create table x (id uuid references jobs (id))", "jobs", Effect.SHORT),
    ("alter table jobs add column x text", "jobs", Effect.SHORT),
    ("alter table jobs add column x bigint default 0 not null", "jobs", Effect.SHORT),
    ("alter table jobs add column x timestamptz default app_now()", "jobs", Effect.SHORT),
    ("alter table jobs add x int", "jobs", Effect.SHORT),
    ("alter table jobs add column x uuid default gen_random_uuid()", "jobs", Effect.REWRITES),
    ("alter table jobs add column x bigint generated always as identity", "jobs", Effect.REWRITES),
    ("alter table jobs add column x int generated always as (1) stored", "jobs", Effect.REWRITES),
    (
        "alter table accounts alter column credit_alerts type text using credit_alerts::text",
        "accounts",
        Effect.REWRITES,
    ),
    ("alter table jobs alter column queue set not null", "jobs", Effect.READS_ALONE),
    ("alter table jobs alter column queue drop not null", "jobs", Effect.SHORT),
    ("alter table jobs alter column queue set default 'batch'", "jobs", Effect.SHORT),
    ("alter table jobs add constraint x check (price_credits < 9)", "jobs", Effect.READS_ALONE),
    ("alter table jobs add constraint x check (price_credits < 9) not valid", "jobs", Effect.SHORT),
    ("alter table jobs validate constraint ck_jobs_owner", "jobs", Effect.READS),
    ("alter table jobs drop constraint ck_jobs_owner", "jobs", Effect.SHORT),
    ("alter table jobs rename column queue to x", "jobs", Effect.SHORT),
    ("drop trigger jobs_are_kept on jobs", "jobs", Effect.SHORT),
    ("create trigger x before update on jobs for each row execute function refuse_change('x')", "jobs", Effect.SHORT),
    ("update jobs set queue = queue", "jobs", Effect.MOVES),
    ("delete from notifications where true", "notifications", Effect.MOVES),
    ("insert into duties (name, next_at) values ('x', app_now())", "duties", Effect.MOVES),
    ("with x as (select 1) update jobs set queue = queue", "jobs", Effect.MOVES),
]
# The locks on a table by which each effect shows (PostgreSQL's manual, 13.3).
SHOWS = {
    Effect.READS: {"ShareUpdateExclusiveLock"},
    Effect.MOVES: {"RowExclusiveLock"},
    Effect.NO_WRITES: {"ShareLock"},
    Effect.SHORT: {"AccessExclusiveLock", "ShareRowExclusiveLock"},
    Effect.READS_ALONE: {"AccessExclusiveLock"},
    Effect.REWRITES: {"AccessExclusiveLock"},
}


@pytest.mark.parametrize(("statement", "table", "effect"), STATEMENTS)
def test_a_statement_is_put_into_words(statement: str, table: str, effect: Effect) -> None:
    (step,) = steps_of(f"  {statement.upper() if 'x' not in statement else statement}\n")
    assert (step.table, step.effect) == (table, effect)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("statement", "table", "effect"), [each for each in STATEMENTS if "concurrently" not in each[0]]
)
def test_the_database_takes_the_locks_that_the_words_say(statement: str, table: str, effect: Effect) -> None:
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        (place, before) = conn.execute(
            "select %s::regclass::oid, pg_relation_filenode(%s::regclass)", [table, table]
        ).fetchone() or (0, 0)
        conn.execute(statement)
        locks = {
            row[0]
            for row in conn.execute("select mode from pg_locks where relation = %s and pid = pg_backend_pid()", [place])
        }
        if effect is not Effect.SHORT or not table.startswith("ix_"):
            after = (conn.execute("select pg_relation_filenode(%s::oid::regclass)", [place]).fetchone() or (0,))[0]
            assert (after != before) == (effect is Effect.REWRITES)
        assert locks & SHOWS[effect], locks
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "statement",
    [
        "create or replace function f() returns int language sql as $$ select 1 $$",
        "drop function f()",
        "create table x (id int)",
        "comment on table jobs is 'x'",
    ],
)
def test_what_nobody_feels_is_left_out(statement: str) -> None:
    assert steps_of(statement) == []


def test_what_is_not_understood_is_said_to_be_unknown() -> None:
    assert steps_of("do $$ begin end $$")[0].effect is Effect.UNKNOWN
    assert steps_of("vacuum full jobs")[0].effect is Effect.UNKNOWN
    assert steps_of("alter table jobs cluster on x")[0].effect is Effect.UNKNOWN


def test_a_moments_lock_is_held_for_as_long_as_the_steps_after_it_take() -> None:
    short, long = Step("a", "one", Effect.SHORT), Step("b", "two", Effect.NO_WRITES)
    assert [each.effect for each in by_table([short, long])] == [Effect.HELD, Effect.NO_WRITES]
    assert [each.effect for each in by_table([long, short])] == [Effect.NO_WRITES, Effect.SHORT]
    assert by_table([short, short]) == [short]
    assert by_table([short, Step("b", "one", Effect.READS)]) == [Step("a, b", "one", Effect.HELD)]


def test_each_migration_can_be_read_or_says_itself_what_it_does() -> None:
    scripts = list(ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions())
    unknown = {each.revision for each in scripts if any(step.effect is Effect.UNKNOWN for step in plan_of(each).steps)}
    assert unknown == UNREADABLE
    assert all(plan_of(each).about for each in scripts)


def test_a_migration_that_looks_into_the_database_says_what_it_does() -> None:
    module = ModuleType("a migration")
    module.upgrade = lambda: 1 / 0
    assert [each.effect for each in planning._felt(module)] == [Effect.UNKNOWN]
    module.plan = (("moves texts", "jobs", "MOVES"),)
    assert list(planning._felt(module)) == [Step("moves texts", "jobs", Effect.MOVES)]


def planned() -> list[dict[str, object]]:
    answer = CliRunner().invoke(app, ["migrate", "--plan", "--json"])
    assert answer.exit_code == 0, answer.output
    found: list[dict[str, object]] = json.loads(answer.stdout)
    db.close()
    return found


@pytest.mark.usefixtures("database")
def test_the_plan_names_what_is_pending_in_its_order_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned() == []
    releases = Releases(tmp_path, monkeypatch)
    first = releases.migration(upgrade="create index x on accounts (debt)")
    last = releases.migration(deploy="post", upgrade="create table apart (id int)")
    found = planned()
    assert [(each["revision"], each["deploy"], each["table"], each["others"]) for each in found] == [
        (first, "pre", "accounts", Effect.NO_WRITES.value), (last, "post", None, Effect.NOTHING.value),
    ]  # fmt: skip
    assert isinstance(found[0]["bytes"], int)
    assert found[0]["bytes"] > 0
    assert one("select to_regclass('apart') is null, to_regclass('x') is null") == (True, True)
    db.close()
