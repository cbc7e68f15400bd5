"""Schema migrations: `upgrade`, `downgrade` and `differences`, over any SQLAlchemy connection URL.

Each version file says with `deploy` when it may run: `pre`, while processes of the release before still work, or `post`,
once none of them does.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from common.errors import Busy, DomainError
from models import connecting, failures
from models.db import with_settings
from models.schema import functions, planning
from models.schema.planning import PlannedMigration
from models.schema.tables import metadata

log = logging.getLogger(__name__)

LOCK_TIMEOUT = (
    "5s"  # a long reader delays a deploy instead of the whole product, which waits behind whoever waits for a lock
)
LOCKED_SECONDS = 60.0  # for which a migration that is kept out is tried again

# A month of a partitioned table is made by the scheduler, not by a migration.
_PARTITION = re.compile(r"^(events|deliveries|usage)_\d{4}_\d{2}")


def include_object(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    """Leave the children of partitioned tables out of comparisons."""
    return not (kind in {"table", "index"} and name and _PARTITION.match(name))


class UnknownRevision(DomainError):
    """The database is of another release than this one."""

    code = "unknown_revision"


@contextmanager
def _connection() -> Iterator[Connection]:
    wanted = connecting.wanted(lock_timeout=LOCK_TIMEOUT, statement_timeout="600s", plans={})
    engine = create_engine("postgresql+psycopg://", poolclass=NullPool, creator=lambda: connecting.connect(wanted))
    event.listen(engine, "begin", with_settings)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(727274)"))  # one migration at a time
            yield connection
    finally:
        engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(revision: str = "head", *, before_post: bool = False) -> str | None:
    """Bring the database's schema up to date; does nothing when it is. Returns its revision.

    `before_post` stops before the first migration that processes of the release before could not live with. Where there are
    processes, each migration is a transaction of its own, with its functions: what one locks, the next may want for itself,
    and a writer that waits for the first would be in its way for good. One that does not get its locks is tried again for
    a minute. Raises Busy where it never had them: what was done before it stays done.
    """
    is_there = False
    while not is_there:
        is_there, current = _until_had(lambda: _upgrade_one(revision, before_post=before_post))
    return current


def _upgrade_one(revision: str, *, before_post: bool) -> tuple[bool, str | None]:
    """One migration. Returns whether it was the last, and the revision that the database is at."""
    with _connection() as connection:
        config = _config(connection)
        _check_known(config, connection)
        target = _last_before_post(config, connection) if before_post else revision
        step = _next_step(config, connection, target)
        if step is not None:
            command.upgrade(config, step)
        return step in (None, target), _put_functions(config, connection)


def downgrade(revision: str = "base") -> None:
    """Take the schema back to an older revision, its functions included. Loses data. Raises Busy."""
    _until_had(lambda: _downgrade(revision))


def _downgrade(revision: str) -> None:
    with _connection() as connection:
        config = _config(connection)
        _check_known(config, connection)
        command.downgrade(config, revision)
        _put_functions(config, connection)


Migrated = TypeVar("Migrated")


def _until_had(work: Callable[[], Migrated]) -> Migrated:
    """Do a transaction that locks tables which are in use: whoever locks two of them in another order, or one for long, is in its way
    by chance. Undone whole each time.
    """
    tries = Retrying(
        retry=retry_if_exception(_was_kept_out), stop=stop_after_delay(LOCKED_SECONDS),
        wait=wait_random_exponential(0.1, max=5), before_sleep=_tell_of_wait, reraise=True,
    )  # fmt: skip
    try:
        return tries(work)
    except OperationalError as error:
        if not _was_kept_out(error):
            raise
        raise Busy(
            f"others held a table that a migration needs, for {LOCKED_SECONDS:g} seconds and more; nothing of it was done: "
            "run it again when less is going on, or end whoever reads for so long (pg_stat_activity)"
        ) from error


def _tell_of_wait(state: RetryCallState) -> None:
    log.warning("a migration did not get a table that others use; it is tried again in %.1f s", state.upcoming_sleep)


def _was_kept_out(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, failures.BUSY)


def differences() -> list[Any]:
    """What the tables and functions in the code have that the database has not, or the other way round. Empty:
    `alembic check` is clean.
    """
    with _connection() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": include_object, "compare_type": True, "compare_server_default": True}
        )
        scripts = ScriptDirectory.from_config(_config(connection))
        wanted = functions.belonging(scripts, scripts.get_current_head())
        return [
            *compare_metadata(context, metadata),
            *functions.differences(connection, wanted, functions.known(scripts)),
        ]


def revisions() -> tuple[str | None, str | None]:
    """The revision that the database has, and the newest."""
    with _connection() as connection:
        scripts = ScriptDirectory.from_config(_config(connection))
        return MigrationContext.configure(connection).get_current_revision(), scripts.get_current_head()


def pending() -> list[PlannedMigration]:
    """What `upgrade` would do to this database, in its order; nothing is changed."""
    with _connection() as connection:
        config = _config(connection)
        _check_known(config, connection)
        scripts = ScriptDirectory.from_config(config)
        current = MigrationContext.configure(connection).get_current_revision()
        way = reversed(list(scripts.iterate_revisions("head", current or "base")))
        return [planning.plan_of(script) for script in way]


def sizes(tables: Collection[str]) -> dict[str, int]:
    """Bytes of each of these tables that there is, with its indices and its parts."""
    with _connection() as connection:
        rows = connection.execute(
            text(
                """select c.relname, pg_total_relation_size(c.oid) + coalesce((
                            select sum(pg_total_relation_size(i.inhrelid)) from pg_inherits i where i.inhparent = c.oid), 0)::bigint
                     from pg_class c where c.relname = any(:names) and c.relnamespace = current_schema()::regnamespace"""
            ),
            {"names": list(tables)},
        ).fetchall()
    return {row[0]: row[1] for row in rows}


def newest() -> str | None:
    """The newest revision of this release; no database is asked."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config).get_current_head()


def _check_known(config: Config, connection: Connection) -> None:
    """Raises UnknownRevision for a database that a newer release, or something else, has migrated."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {
        each.revision for each in ScriptDirectory.from_config(config).walk_revisions()
    }:
        raise UnknownRevision(
            f"the database is at migration {current}, which this release does not know: start the release that wrote it, "
            "or restore a backup from before"
        )


def _put_functions(config: Config, connection: Connection) -> str | None:
    """Give the database the functions of the revision that it has. Returns that."""
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    functions.put(connection, functions.belonging(scripts, current), functions.known(scripts))
    return current


def _last_before_post(config: Config, connection: Connection) -> str | None:
    """The newest revision that can be had without a post-deploy migration; None: a database without any."""
    current = MigrationContext.configure(connection).get_current_revision()
    for script in reversed(list(ScriptDirectory.from_config(config).iterate_revisions("head", current or "base"))):
        if script.module.deploy == "post":
            break
        current = script.revision
    return current


def _next_step(config: Config, connection: Connection, target: str | None) -> str | None:
    """The next revision on the way to this one; of a database without any, all of the way. None: it is there."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None or target is None:
        return target
    way = list(ScriptDirectory.from_config(config).iterate_revisions(target, current))
    return way[-1].revision if way else None


def revision(message: str) -> None:
    """Write a new migration from the differences (developers)."""
    with _connection() as connection:
        command.revision(_config(connection), message=message, autogenerate=True)
