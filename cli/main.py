"""`headrace`: run it, order from it, look into it."""

import logging
import sys
from typing import NoReturn

import typer
from rich.markup import escape

from cli.commands import (
    accounts,
    catalogue,
    client,
    files,
    identity,
    local,
    operate,
    operations,
    parked,
    report,
    stats,
    usage,
)
from cli.output import errors
from common import first, logs
from common.errors import DatabaseAway, DomainError
from common.redact import redacted
from common.settings import WrongSettings
from models import db
from storage.errors import StorageError
from workers import doorbell
from workers.calls import limits

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
for part in (local, client, accounts, files, identity, operate, parked, report, stats, usage):
    app.registered_commands += part.app.registered_commands
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(operations.app, name="ops")


def main() -> None:
    """The `headrace` command."""
    first.stand_in()
    logs.install(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # what its tries met is said once, below
    try:
        app()
    except DatabaseAway as error:
        _end(_why_away() or error.detail)
    except DomainError as error:
        _end(error.detail)
    except (WrongSettings, StorageError) as error:
        _end(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        doorbell.close()
        limits.close()
        db.close()


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
