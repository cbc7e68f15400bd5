"""`headrace database-role`: a database role for the processes, without TRUNCATE and DDL."""

from typing import Annotated

import typer

from cli.commands.identity import operator
from cli.output import JsonFlag, show
from models import db
from models.access import audit_log
from models.schema import roles

app = typer.Typer()


def _name(text: str) -> str:
    if not 1 <= len(text.encode()) <= 63 or "\0" in text:
        raise typer.BadParameter(f"a role's name has 1 to 63 bytes, not {len(text.encode())}")
    return text


@app.command("database-role")
def database_role(
    name: Annotated[str, typer.Argument(help="A role, new or not.", callback=_name)], as_json: bool = JsonFlag
) -> None:
    """Let a database role read and write rows, and nothing else; run it as the tables' owner. Give the processes its address.

    A new role has no password: give it one with psql's \\password. Run it again after a restore; migrations need no repeat.
    """
    with db.transaction() as conn:
        new = roles.grant_to(conn, name)
        audit_log.record(conn, operator(), "database.role", name, new=new)
    show([{"role": name, "new": new}], as_json=as_json)
