"""`headrace export` and `headrace erase`: what is stored of one person, out and away."""

import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from cli.commands.accounts import AccountArgument, GivenReason
from cli.commands.identity import operator
from cli.output import JsonFlag, fail, show
from models import db
from models.access import audit_log
from models.operations import erasing, exporting
from workers import doorbell

app = typer.Typer()


@app.command()
def export(
    account: AccountArgument,
    file: Annotated[Path, typer.Argument(help="Where to write JSON Lines; must not be there yet.", dir_okay=False)],
    as_json: bool = JsonFlag,
) -> None:
    """Write all that is stored of an account into a file, for them to take along. Its results are fetched one by one."""
    with db.transaction() as conn:
        who = exporting.find(conn, account)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it is about somebody
    except FileExistsError:
        raise fail(f"{file} is there already") from None
    lines = 0
    place: exporting.ExportPlace | None = exporting.START
    with os.fdopen(descriptor, "wb") as out:
        while place is not None:
            with db.transaction() as conn:
                found, place = exporting.next_lines(conn, who, place)
            out.writelines(orjson.dumps(each) + b"\n" for each in found)
            lines += len(found)
        out.write(orjson.dumps({"kind": "end", "data": {"lines": lines}}) + b"\n")
    with db.transaction() as conn:
        audit_log.record(conn, operator(), "account.export", str(account))
    show([{"account": account, "lines": lines, "file": str(file)}], as_json=as_json)


@app.command()
def erase(
    account: AccountArgument,
    reason: GivenReason,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Erase a person: names, addresses, prompts, files, texts. The ledger stays and names nobody. It cannot be undone; run again, it tells how far it is."""
    with db.transaction() as conn:
        rings = [] if dry_run else erasing.begin(conn, operator(), account, reason)
        found = erasing.preview(conn, account)
    doorbell.ring(rings)
    row = {"account": found.account_id, **found.goes, "available_credits": found.available_credits}
    show([row | {"begun_at": found.begun_at, "finished_at": found.finished_at}], as_json=as_json)
