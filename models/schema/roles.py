"""A role for the processes that may read and write rows, and nothing else: no truncate, no table made, changed or dropped.

Months are made, detached and dropped by functions that run as their owner, and take no other name. Migrations, `headrace migrate`
and this are the owner's.
"""

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

# In this order, each for the schema and the role. What was granted before is taken away first.
_STATEMENTS = (
    "revoke all on all tables in schema {schema} from {role}",
    "revoke create on schema {schema} from public, {role}",
    "grant usage on schema {schema} to {role}",
    "grant select, insert, update, delete on all tables in schema {schema} to {role}",
    "revoke insert, update, delete on {schema}.alembic_version from {role}",
    "grant usage, select on all sequences in schema {schema} to {role}",
    "alter default privileges in schema {schema} grant select, insert, update, delete on tables to {role}",
    "alter default privileges in schema {schema} grant usage, select on sequences to {role}",
    "revoke execute on function {schema}.make_month_v1(text, integer), {schema}.drop_month_v1(text, integer) from public",
    "grant execute on function {schema}.make_month_v1(text, integer), {schema}.drop_month_v1(text, integer) to {role}",
    "revoke execute on function {schema}.detach_month_v1(text, integer), {schema}.drop_detached_v1(text) from public",
    "grant execute on function {schema}.detach_month_v1(text, integer), {schema}.drop_detached_v1(text) to {role}",
)


def statements(schema: str, role: str) -> list[Composed]:
    """What makes a role the processes'. Pure."""
    return [SQL(each).format(schema=Identifier(schema), role=Identifier(role)) for each in _STATEMENTS]


def grant_to(conn: Connection[Any], role: str) -> bool:
    """Make a role the processes'; again is fine. Returns whether the role is new: it has no password yet then."""
    new = conn.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone() is None
    if new:
        conn.execute(SQL("create role {} login").format(Identifier(role)))
    schema = conn.execute("select current_schema()").fetchone()
    assert schema is not None  # noqa: S101 - always one
    for each in statements(schema[0], role):
        conn.execute(each)
    return new
