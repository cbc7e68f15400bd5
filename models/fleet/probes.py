"""Whether the database takes writes: a row that is written, committed and gone. A standby, a database that is read-only and
one without room answer every question and keep nothing.
"""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

FILLER = b"\0" * 4096  # half a page: a table that has no free one must grow, which a full disk refuses


class Probe(SQLModel, table=True):
    """A row of a probe under way. Nobody else ever sees one."""

    __tablename__ = "probes"

    id: UUID = Field(primary_key=True)
    filler: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class DatabaseServer(NamedTuple):
    """What a database server says of itself."""

    version: str
    is_standby: bool
    is_read_only: bool
    waits_for_commits: bool  # what was answered is written down: a server that is killed loses nothing of it
    power_cut_loses: str  # the settings that are off, without which a power cut loses what was committed


def server(conn: Connection[Any]) -> DatabaseServer:
    """Which server this is, and whether it takes writes."""
    row = conn.execute(
        """select version(), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
                  current_setting('synchronous_commit') <> 'off',
                  concat_ws(' and ', case current_setting('fsync') when 'off' then 'fsync' end,
                            case current_setting('full_page_writes') when 'off' then 'full_page_writes' end)"""
    ).fetchone()
    assert row is not None  # noqa: S101 - one row
    return DatabaseServer(*row)


def probe(conn: Connection[Any]) -> None:
    """Write; the caller commits. Raises what PostgreSQL says where it cannot."""
    probe_id = uuid7()
    conn.execute("insert into probes (id, filler) values (%s, %s)", [probe_id, FILLER])
    conn.execute("delete from probes where id = %s", [probe_id])
