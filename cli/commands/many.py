"""`headrace ops bulk`, `runs`, `stop`, `continue`: one act on many jobs."""

import time
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.commands.holding import ReasonOption
from cli.commands.identity import operator
from cli.commands.looking import WhereOption, chosen
from cli.output import JsonFlag, console, fail, print_json, show
from models import db
from models.operations import bulk, finding

app = typer.Typer()

RunArgument = Annotated[UUID, typer.Argument(help="A bulk run's id.")]
LOOK_SECONDS = 0.5


@app.command("bulk")
def start_bulk(
    act: Annotated[str, typer.Argument(help="retry, refund, discard or cancel.")],
    reason: ReasonOption,
    where: WhereOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many jobs and credits.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    watch: Annotated[bool, typer.Option(help="Show how far it has come until it is done.")] = True,
    as_json: bool = JsonFlag,
) -> None:
    """Do one act to all jobs that fit: first says how many and how many credits. The scheduler carries it out; Ctrl-C only ends
    the looking.
    """
    known: bulk.BulkAct | None = next((each for each in ("retry", "refund", "discard", "cancel") if each == act), None)
    if known is None:
        raise fail(f"act is one of {', '.join(bulk.FITTING)}")
    wanted = chosen(where)
    with db.transaction() as conn:
        found = bulk.count(conn, known, wanted)
    if dry_run:
        show([{"act": act, **found._asdict(), "dry_run": True}], as_json=as_json)
        return
    if not (yes or as_json):
        typer.confirm(f"{act} {found.jobs:,} jobs, about {found.credits:,} credits?", abort=True)
    _carry_out(known, wanted, reason, watch=watch, as_json=as_json)


def _carry_out(act: "bulk.BulkAct", wanted: "finding.JobFilter", reason: str, *, watch: bool, as_json: bool) -> None:
    with db.transaction() as conn:
        row = bulk.start(conn, operator(), act, wanted, reason)
    if watch and not as_json:
        row = _watched(row)
    _show([row], as_json=as_json)


def _watched(row: "bulk.BulkRow") -> "bulk.BulkRow":
    """Shows a run until it is done or stopped, or until Ctrl-C."""
    console.print(f"Bulk run {row.id}; stop it with: headrace ops stop {row.id} -r WHY", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(row.act, total=row.jobs)
        try:
            while row.status == "running":
                time.sleep(LOOK_SECONDS)
                with db.transaction() as conn:
                    row = bulk.run(conn, row.id)
                progress.update(task, completed=row.done + row.skipped)
        except KeyboardInterrupt:
            console.print("It goes on without you.")
    return row


@app.command("runs")
def list_bulk_runs(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """Bulk runs, newest first, and how far each has come."""
    with db.transaction() as conn:
        found = bulk.list_runs(conn, limit=limit)
    _show(found, as_json=as_json)


@app.command("stop")
def stop_bulk(run_id: RunArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Stop a bulk run where it is. What was done stays; it can go on."""
    with db.transaction() as conn:
        row = bulk.stop(conn, operator(), run_id, reason)
    _show([row], as_json=as_json)


@app.command("continue")
def resume_bulk(run_id: RunArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Let a stopped bulk run go on from where it was stopped."""
    with db.transaction() as conn:
        row = bulk.go_on(conn, operator(), run_id, reason)
    _show([row], as_json=as_json)


def _show(found: "list[bulk.BulkRow]", *, as_json: bool) -> None:
    if as_json:
        print_json([{**row._asdict(), "left": row.left} for row in found])
        return
    columns = ("id", "act", "status", "jobs", "done", "skipped", "credits_done")
    rows = [{name: row._asdict()[name] for name in columns} | {"left": row.left} for row in found]
    show(rows, as_json=False, empty="no bulk run")
    for row in found if len(found) == 1 else []:
        for why, count in row.reasons.items():
            console.print(f"skipped: {count} {why}", highlight=False)
