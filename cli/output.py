"""How commands print: a table for people, one JSON document with --json."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.redact import redacted

console = Console()
errors = Console(stderr=True)

ID_WIDTH = 30  # a column whose words are so long holds ids, keys or addresses
NOTHING = "–"
_FRAME = 3  # around a column: its line and a space on either side
MAX_WORD = 24  # a longer one in a text is broken: it is an address or the like
PROSE_WIDTH = 10  # so much room a column of sentences has at least

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
    lines: bool = False,
    on: Console = console,
) -> None:
    """Print rows that have the same keys. `lines`: each value on a line of its own, whole, to be copied."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        on.print(f"[dim]{empty}[/]")
        return
    cells = {name.replace("_", " "): [_cell(row[name]) for row in rows] for name in rows[0]}
    if lines:
        _show_lines(cells, title, on)
        return
    widths = {name: _width(name, column) for name, column in cells.items()}
    shape = fitting(widths, on.width)
    if shape is None or shape.left_out or shape.below:  # first goes what says nothing in any row
        said = {name: width for name, width in widths.items() if set(cells[name]) != {NOTHING}}
        shape = fitting(said, on.width) if said else shape
    if shape is None:
        _show_lines(cells, title, on)
        return
    table = Table(title=title, title_justify="left", header_style="bold", show_lines=bool(shape.below))
    numeric = {name.replace("_", " ") for name, value in rows[0].items() if type(value) in (int, float)}
    stacks = [[name, *shape.below] if at == 0 else [name] for at, name in enumerate(shape.kept)]
    least = [max(widths[each] for each in stack) for stack in stacks]
    most = [max(cell_len(text) for each in stack for text in (each, *cells[each])) for stack in stacks]
    given = spread(least, most, on.width - _FRAME * len(stacks) - 1)
    for stack, width in zip(stacks, given, strict=True):
        table.add_column(
            "\n".join(stack),
            justify="right" if stack[0] in numeric and len(stack) == 1 else "left",
            overflow="fold",
            width=None if len(stacks) <= 2 else width,
        )
    for number in range(len(rows)):
        first = "\n".join(cells[name][number] for name in (shape.kept[0], *shape.below))
        table.add_row(*(escape(text) for text in (first, *(cells[name][number] for name in shape.kept[1:]))))
    on.print(table)
    if shape.left_out:
        on.print(f"[dim]no room for {', '.join(shape.left_out)}: a wider window or --json has them[/]", highlight=False)


class FittedTable(NamedTuple):
    """Columns of a table: which stay, which stand below the first one, and which there is no room for."""

    kept: list[str]
    below: list[str]
    left_out: list[str]


def fitting(widths: Mapping[str, int], room: int) -> FittedTable | None:
    """How columns of at least these widths fit into so many characters. Ids go below the first column, before the last
    ones are left out: an id is what the next command needs. None: not even two columns fit.
    """
    kept, below, left_out = list(widths), list[str](), list[str]()
    if len(kept) <= 2:  # names and values: long ones are folded
        return FittedTable(kept, below, left_out)

    def needed() -> int:
        first = max(widths[name] for name in (kept[0], *below))
        return first + sum(widths[name] for name in kept[1:]) + _FRAME * len(kept) + 1

    for name in [each for each in kept[1:] if widths[each] >= ID_WIDTH][::-1]:
        if needed() > room:
            kept.remove(name)
            below.insert(0, name)
    while needed() > room and len(kept) > 2:
        left_out.insert(0, kept.pop())
    return FittedTable(kept, below, left_out) if needed() <= room else None


def spread(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Widths of columns between these bounds: what is over beyond the least goes to those first that lack least, so that a
    long text is broken into lines before a short one is.
    """
    widths, spare = list(least), room - sum(least)
    for at in sorted(range(len(least)), key=lambda each: most[each] - least[each]):
        more = max(0, min(most[at] - least[at], spare))
        widths[at] += more
        spare -= more
    return widths


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def fail(message: str, status: int = 1) -> typer.Exit:
    """Say what went wrong; raise what this returns."""
    errors.print(f"[red]{escape(redacted(message))}[/]", highlight=False, soft_wrap=True)
    return typer.Exit(status)


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, (list, tuple)) and not any(isinstance(each, dict) for each in value):
        return ", ".join(map(str, value)) or NOTHING
    if isinstance(value, (dict, list, tuple)):
        return orjson.dumps(value, default=str).decode() if value else NOTHING
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def _width(name: str, column: Sequence[str]) -> int:
    """What a column needs at least: its longest word; of a text, words up to a bound, and a few of them on a line."""
    longest = max((cell_len(word) for text in column for word in text.split()), default=0)
    line = max((cell_len(text) for text in column), default=0)
    prose = any(" " in text for text in column)
    least = max(min(longest, MAX_WORD), min(line, PROSE_WIDTH)) if prose else longest
    return max(least, *(len(word) for word in name.split()))


def _show_lines(cells: Mapping[str, Sequence[str]], title: str | None, on: Console) -> None:
    """A line for each field, whole however long it is."""
    if title:
        on.print(f"[bold]{escape(title)}[/]")
    most = max(map(len, cells))
    for number in range(len(next(iter(cells.values())))):
        for name, column in cells.items():
            on.print(f"{name:<{most}}  {escape(column[number])}", soft_wrap=True, highlight=False)
        on.print()
