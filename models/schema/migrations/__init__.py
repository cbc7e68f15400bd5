"""Schema migrations: `upgrade`, `downgrade` and `differences`, over any SQLAlchemy connection URL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

from models import connecting
from models.db import with_settings
from models.schema.tables import metadata

# Hot verbs that are one function each; what they call comes first.
FUNCTIONS = sorted(Path(__file__).parents[2].rglob("*.sql"), key=lambda path: path.name)

# A month of a partitioned table is made by the scheduler, not by a migration.
_PARTITION = re.compile(r"^(events|deliveries)_\d{4}_\d{2}")


def include_object(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    """Leave the children of partitioned tables out of comparisons."""
    return not (kind in {"table", "index"} and name and _PARTITION.match(name))


@contextmanager
def _connection() -> Iterator[Connection]:
    # Migrations wait at most 5 s for a lock, so that a long reader delays a deploy instead of the whole product.
    wanted = connecting.wanted(lock_timeout="5s", statement_timeout="600s", plans={})
    engine = create_engine("postgresql+psycopg://", poolclass=NullPool, creator=lambda: connecting.reached(wanted))
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


def upgrade(revision: str = "head") -> None:
    """Bring the database's schema up to date; does nothing when it is."""
    with _connection() as connection:
        command.upgrade(_config(connection), revision)
        if revision == "head":  # functions have no versions of their own: the newest replaces what is there
            for path in FUNCTIONS:
                connection.exec_driver_sql(path.read_text().replace("%", "%%"))


def downgrade(revision: str = "base") -> None:
    """Take the schema back to an older revision. Loses data."""
    with _connection() as connection:
        for path in FUNCTIONS:
            connection.execute(text(f"drop function if exists {path.stem}"))
        command.downgrade(_config(connection), revision)


def differences() -> list[Any]:
    """What the tables in the code have that the database has not, or the other way round. Empty: `alembic check` is clean."""
    with _connection() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": include_object, "compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))


def revision(message: str) -> None:
    """Write a new migration from the differences (developers)."""
    with _connection() as connection:
        command.revision(_config(connection), message=message, autogenerate=True)
