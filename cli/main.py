"""`headrace`: run it, order from it, look into it."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from cli import troubles
from cli.later import later, was_used
from cli.output import errors
from common import first, logs
from common.errors import DatabaseAway, DomainError
from common.redact import redacted
from common.settings import WrongSettings

with later():
    from cli.commands import (
        accounts,
        archive,
        backup,
        batches,
        catalogue,
        client,
        files,
        identity,
        local,
        operate,
        operations,
        parked,
        persons,
        report,
        roles,
        stats,
        usage,
    )
    from models import db
    from workers import doorbell
    from workers.calls import limits

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
for part in (local, client, backup, accounts, files, identity, operate, parked, persons, report, roles, stats, usage):
    app.registered_commands += part.app.registered_commands
app.add_typer(archive.app, name="archive")
app.add_typer(batches.app, name="batch")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(operations.app, name="ops")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headrace {version('headrace')}")
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool, typer.Option("--version", help="Say which release this is.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Run it, order from it, look into it."""


def main() -> None:
    """The `headrace` command."""
    first.stand_in()
    logs.install(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # what its tries met is said once, below
    try:
        app(prog_name="headrace")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (said := _said(error)) is None:
            raise
        _end(said)
    finally:
        for used in filter(was_used, (doorbell, limits, db)):
            used.close()


def _said(error: Exception) -> str | None:
    """What a person is told of an error that is no fault of ours; None of one that is."""
    from storage.errors import StorageError  # noqa: PLC0415 - it imports boto3

    if isinstance(error, DatabaseAway):
        return _why_away() or error.detail
    if isinstance(error, DomainError):
        return error.detail
    if isinstance(error, (WrongSettings, StorageError)):
        return str(error)
    return troubles.sentence_of(error)


def _end(message: str) -> NoReturn:
    errors.print(f"[red]{escape(redacted(message))}[/]", highlight=False, soft_wrap=True)
    sys.exit(1)


def _why_away() -> str | None:
    """Why there is no connection, if there is none now."""
    try:
        db.reach()
    except DatabaseAway as error:
        return error.detail
    return None
