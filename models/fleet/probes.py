"""Whether the database takes writes: a row that is written, committed and gone. A standby, a database that is read-only and
one without room answer every question and keep nothing.
"""

from typing import Any
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


def probe(conn: Connection[Any]) -> None:
    """Write; the caller commits. Raises what PostgreSQL says where it cannot."""
    probe_id = uuid7()
    conn.execute("insert into probes (id, filler) values (%s, %s)", [probe_id, FILLER])
    conn.execute("delete from probes where id = %s", [probe_id])
