"""`headrace ops pause`, `resume`, `pauses`: what operators hold back for a while."""

from typing import Annotated

import typer

from cli.commands.identity import operator
from cli.output import JsonFlag, show
from models import db
from models.jobs import pauses

app = typer.Typer()

KindArgument = Annotated[str, typer.Argument(help="queue, model, provider or account.")]
PausedArgument = Annotated[str, typer.Argument(help="Its name; an account's id.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why, for the audit log.")]


@app.command()
def pause(
    what: KindArgument,
    name: PausedArgument,
    reason: ReasonOption,
    minutes: Annotated[float, typer.Option(help="It ends by itself after so long.", min=0.1, max=7 * 24 * 60)] = 60,
    as_json: bool = JsonFlag,
) -> None:
    """Begin nothing of a queue, model, provider or account for a while. What runs goes on; what waits keeps its place."""
    with db.transaction() as conn:
        row = pauses.pause(conn, operator(), what, name, reason, seconds=minutes * 60)
    show([row._asdict()], as_json=as_json)


@app.command()
def resume(what: KindArgument, name: PausedArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """End a pause. What waited is begun within a few seconds."""
    with db.transaction() as conn:
        row = pauses.resume(conn, operator(), what, name, reason)
    show([row._asdict()], as_json=as_json)


@app.command("pauses")
def list_pauses(as_json: bool = JsonFlag) -> None:
    """What is paused, by whom, why and until when."""
    with db.transaction() as conn:
        found = pauses.list_pauses(conn)
    show([row._asdict() for row in found], as_json=as_json, empty="nothing is paused")
