"""`headrace`: run it, order from it, look into it."""

import logging
import sys

import typer
from rich.markup import escape

from cli import catalogue, client, identity, local, operate, parked, report
from cli.output import errors
from common import logs
from common.redact import redacted
from models import db
from models.errors import DomainError
from workers import enqueue, pressure

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
for part in (local, client, identity, operate, parked, report):
    app.registered_commands += part.app.registered_commands
app.add_typer(catalogue.app, name="catalogue")


def main() -> None:
    """The `headrace` command."""
    logs.install(logging.WARNING)
    try:
        app()
    except DomainError as error:
        errors.print(f"[red]{escape(redacted(error.detail))}[/]", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        enqueue.close()
        pressure.close()
        db.close()
