"""Schema migrations: `upgrade`, `downgrade` and `differences`, over any SQLAlchemy connection URL.

Each version file says with `deploy` when it may run: `pre`, while processes of the release before still work, or `post`,
once none of them does.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

from common.errors import DomainError
from models import connecting
from models.db import with_settings
from models.schema import functions, planning
from models.schema.planning import PlannedMigration
from models.schema.tables import metadata

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
    # Migrations wait at most 5 s for a lock, so that a long reader delays a deploy instead of the whole product.
    wanted = connecting.wanted(lock_timeout="5s", statement_timeout="600s", plans={})
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
    and a writer that waits for the first would be in its way for good.
    """
    while True:
        with _connection() as connection:
            config = _config(connection)
            _check_known(config, connection)
            target = _last_before_post(config, connection) if before_post else revision
            step = _next_step(config, connection, target)
            if step is not None:
                command.upgrade(config, step)
            current = _put_functions(config, connection)
        if step in (None, target):
            return current


def downgrade(revision: str = "base") -> None:
    """Take the schema back to an older revision, its functions included. Loses data."""
    with _connection() as connection:
        config = _config(connection)
        _check_known(config, connection)
        command.downgrade(config, revision)
        _put_functions(config, connection)


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
