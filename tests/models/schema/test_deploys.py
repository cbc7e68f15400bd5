"""Migrations say whether they run before a deploy or after it, and an upgrade can stop between the two."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import psycopg
import pytest
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from cli.main import app
from common.errors import Busy
from models import db
from models.schema import migrations
from tests.models.schema.releases import Releases
from tests.support import account, eventually, one

VERSIONS = Path(migrations.__file__).parent / "versions"


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    return Releases(tmp_path, monkeypatch)


def revision() -> str:
    found: str = one("select version_num from alembic_version")[0]
    db.close()
    return found


def test_every_migration_says_when_it_runs() -> None:
    scripts = list(ScriptDirectory(str(VERSIONS.parent)).walk_revisions())
    assert len(scripts) == len(list(VERSIONS.glob("[0-9]*.py"))) >= 15
    assert {
        script.revision: script.module.deploy for script in scripts if script.module.deploy not in {"pre", "post"}
    } == {}


@pytest.mark.usefixtures("database")
def test_an_upgrade_before_a_deploy_stops_before_the_first_migration_of_after_it(releases: Releases) -> None:
    first = releases.migration(upgrade="create table one (id int)", downgrade="drop table one")
    releases.migration(deploy="post", upgrade="create table two (id int)", downgrade="drop table two")
    last = releases.migration(upgrade="create table three (id int)", downgrade="drop table three")
    for _ in range(2):  # again is fine
        answer = CliRunner().invoke(app, ["migrate", "--pre", "--json"])
        assert (answer.exit_code, json.loads(answer.stdout)) == (0, [{"schema": first}])
        db.close()
    assert one("select to_regclass('one') is not null, to_regclass('two') is not null") == (True, False)
    db.close()
    migrations.upgrade()
    assert revision() == last
    assert migrations.upgrade(before_post=True) == last


@pytest.mark.usefixtures("database")
def test_functions_of_after_a_deploy_wait_for_it_too(releases: Releases) -> None:
    after = releases.migration(deploy="post", retires=("end_job_v1",))
    there = (
        "select count(*) from pg_proc where proname = 'end_job_v1' and pronamespace = current_schema()::regnamespace"
    )
    assert migrations.upgrade(before_post=True) == releases.head
    assert one(there) == (1,)
    db.close()
    assert migrations.upgrade() == after
    assert one(there) == (0,)


WAITED_FOR = """
lock table accounts in share row exclusive mode;
do $$ begin
  while not exists (select 1 from pg_locks where not granted and relation = 'accounts'::regclass) loop
    perform pg_sleep(0.01);
  end loop;
end $$
"""


ADDS = {
    "upgrade": "alter table plans add column wanted int; alter table accounts add column wanted int",
    "downgrade": "alter table accounts drop column wanted; alter table plans drop column wanted",
}


def test_a_migration_that_is_kept_out_is_tried_again_until_it_is_let_in(
    database: str, releases: Releases, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    last = releases.migration(**ADDS)
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
    db.close()
    with ThreadPoolExecutor(1) as threads:
        with psycopg.connect(database) as reader:
            reader.execute("select 1 from accounts")
            done = threads.submit(migrations.upgrade)
            eventually(lambda: "tried again" in caplog.text, what="a second try")
            assert not done.done()
            with psycopg.connect(database) as other:  # nothing of the first try is left in the way
                other.execute("set lock_timeout = '10s'")
                other.execute("select * from plans")
        assert done.result(60) == last
    assert one("select count(wanted) from accounts") == (0,)


def test_a_migration_that_is_never_let_in_says_so_and_leaves_nothing(
    database: str, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = migrations.revisions()[0]
    releases.migration(**ADDS)
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrations, "LOCKED_SECONDS", 0.5)
    db.close()
    with psycopg.connect(database) as reader:
        reader.execute("select 1 from accounts")
        with pytest.raises(Busy, match="run it again when less is going on"):
            migrations.upgrade()
        assert migrations.revisions()[0] == before
    assert one("select count(*) from information_schema.columns where column_name = 'wanted'") == (0,)


def test_a_migration_and_a_writer_that_lock_two_tables_crosswise_both_get_through(
    database: str, releases: Releases
) -> None:
    account()
    last = releases.migration(**ADDS)

    def write() -> None:
        with psycopg.connect(database) as conn:
            conn.execute("update accounts set event_number = event_number")
            going_on.set()
            eventually(lambda: waits() or done.done(), what="the migration, which waits for the accounts")
            conn.execute("select 1 from plans for key share")

    def waits() -> bool:
        with psycopg.connect(database) as conn:
            found = conn.execute("select 1 from pg_locks where not granted and relation = 'accounts'::regclass")
            return found.fetchone() is not None

    going_on = Event()
    db.close()
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write)
        assert going_on.wait(30)
        done = threads.submit(migrations.upgrade)
        with suppress(psycopg.errors.DeadlockDetected):  # whichever of the two the database lets go
            writing.result(60)
        assert done.result(60) == last


def test_a_writer_that_waits_for_one_migration_is_not_in_the_way_of_the_next(database: str, releases: Releases) -> None:
    """It holds a lock of the account's row, and so one of the table that the next migration wants alone."""
    account()
    releases.migration(upgrade=WAITED_FOR)
    last = releases.migration(
        upgrade="alter table accounts add column wanted int", downgrade="alter table accounts drop column wanted"
    )

    def write() -> None:
        with psycopg.connect(database) as conn:
            conn.execute("select 1 from accounts for no key update")
            eventually(lambda: held() or done.done(), what="the first migration's lock")
            conn.execute("update accounts set event_number = event_number")

    def held() -> bool:
        with psycopg.connect(database) as conn:
            found = conn.execute(
                "select 1 from pg_locks where granted and mode = 'ShareRowExclusiveLock' and relation = 'accounts'::regclass"
            )
            return found.fetchone() is not None

    db.close()
    with ThreadPoolExecutor(2) as threads:
        done = threads.submit(migrations.upgrade)
        threads.submit(write).result()
        assert done.result() == last
