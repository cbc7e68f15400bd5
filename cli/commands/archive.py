"""`headrace archive`: what is in the archive of dropped months and forgotten jobs."""

import typer

from cli.output import JsonFlag, show
from models import db
from models.operations import archived

app = typer.Typer(no_args_is_help=True, help="What was dropped here and is kept in the bucket, as Parquet.")


@app.callback()
def begin() -> None:
    """What was dropped here and is kept in the bucket, as Parquet."""


@app.command("list")
def list_months(as_json: bool = JsonFlag) -> None:
    """List what is in the archive: files, rows and bytes of each kind and month."""
    with db.transaction() as conn:
        found = archived.list_archive(conn)
    show([each._asdict() for each in found], as_json=as_json, empty="nothing is archived")
