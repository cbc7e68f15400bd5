"""How commands print: a table for people, one JSON document with --json."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.redact import redacted

console = Console()
errors = Console(stderr=True)

JsonFlag = typer.Option(False, "--json", help="Print JSON instead of a table.")


def aside(*, as_json: bool) -> Console:
    """Where a command tells how it goes: beside the JSON, of which stdout has one document and nothing else."""
    return errors if as_json else console


def show(
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    title: str | None = None,
    empty: str = "nothing",
    on: Console = console,
) -> None:
    """Print rows that have the same keys."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        on.print(f"[dim]{empty}[/]")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in rows[0]:
        numeric = isinstance(rows[0][name], int | float) and not isinstance(rows[0][name], bool)
        table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    on.print(table)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def fail(message: str, status: int = 1) -> typer.Exit:
    """Say what went wrong; raise what this returns."""
    errors.print(f"[red]{escape(redacted(message))}[/]", highlight=False)
    return typer.Exit(status)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.1f}"
    return escape(str(value))  # what is shown may hold brackets of its own, such as a pattern
