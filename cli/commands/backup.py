"""`headrace backup` and `headrace restore`: the database and the objects it names, out and in again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.backups import archive, returning, taking, tools
from cli.commands.identity import operator
from cli.output import JsonFlag, aside, errors, fail, print_json, show

app = typer.Typer()
Tools = Annotated[
    Path | None,
    typer.Option(
        "--tools",
        help="Where pg_dump and pg_restore are; else those that come with requirements-local.txt.",
        file_okay=False,
    ),
]


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    objects: Annotated[
        Literal["copy", "list"],
        typer.Option(help="Copy the objects into the folder, or only list them, where the bucket is kept elsewhere."),
    ] = "copy",
    programs: Tools = None,
    as_json: bool = JsonFlag,
) -> None:
    """Back the database and its objects up, while the system runs. Run again after a cut, it goes on."""
    with _failing(), _bar() as tell:
        manifest = taking.take(folder.absolute(), objects, programs, tell)
    if as_json:
        print_json(archive.shown(manifest))
        return
    show([_summary(manifest)], as_json=False, title=str(folder))
    if manifest.missing:
        errors.print(f"{manifest.missing} objects were gone from the bucket before they could be copied")


def _summary(manifest: "archive.Manifest") -> dict[str, Any]:
    return {
        "taken_at": manifest.taken_at, "migration": manifest.revision, "database_bytes": manifest.dump_bytes,
        "objects": manifest.objects, "object_bytes": manifest.object_bytes, "jobs_alive": manifest.counts.get("living_jobs"),
    }  # fmt: skip


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A backup.", exists=True, file_okay=False)],
    stopped: Annotated[
        bool,
        typer.Option("--stopped", help="No process of the old system has run since the backup: a move, no disaster."),
    ] = False,
    programs: Tools = None,
    as_json: bool = JsonFlag,
) -> None:
    """Restore a backup into an empty database, park what may have been begun since, and pause both queues.

    What to do then: docs/backup.md.
    """
    with _failing(), _bar() as tell:
        done = returning.restore(folder.absolute(), operator(), programs, tell, went_on=not stopped)
    sums = {**done.safe._asdict(), "objects_put": done.put, "objects_there": done.there, "objects_lost": done.lost}
    if as_json:
        print_json({"taken_at": done.manifest.taken_at, "went_on": not stopped, **sums})
        return
    show([sums], as_json=False, title=f"Restored as of {done.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC", lines=True)
    aside(as_json=False).print(
        "both queues are paused: decide on `headrace parked`, then `headrace ops resume`; docs/backup.md says what else"
    )


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (archive.NotABackup, tools.ToolFailed) as error:
        raise fail(str(error)) from None


@contextmanager
def _bar() -> Iterator[Callable[[int], "taking.Tell"]]:
    """A bar for the objects, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("database", total=None)

        def begin(total: int) -> "taking.Tell":
            progress.update(task, description="objects", total=total)
            return lambda more: progress.advance(task, more)

        yield begin
