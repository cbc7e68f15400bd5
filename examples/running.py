"""What every example is made of: steps that ask a running system, and compare what it answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

TIMEOUT_SECONDS = 30.0
SHOWN_CHARACTERS = 2000


class Difference(Exception):
    """The system answered something else than it should."""


class Step(NamedTuple):
    """One thing that a product does. `do` raises Difference."""

    says: str
    do: Callable[[], None]


class Example(NamedTuple):
    """A product. `needs`: what must stand in the environment; `steps` get a client of the system, and the environment."""

    name: str
    about: str
    needs: tuple[str, ...]
    steps: Callable[[httpx.Client, Mapping[str, str]], Sequence[Step]]


def same(found: Any, wanted: Any, what: str) -> None:
    """Raises Difference where an answer is not what it should be."""
    if found != wanted:
        raise Difference(f"{what}\n  should be {_shown(wanted)}\n  but is    {_shown(found)}")


def fulfilled(holds: bool, what: str) -> None:
    """Raises Difference where something does not hold."""
    if not holds:
        raise Difference(what)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def run(example: Example, url: str, environment: Mapping[str, str], console: Console) -> bool:
    """Do all steps of an example, and say how far it came. False: something differs, or is missing."""
    missing = [name for name in example.needs if not environment.get(name)]
    if missing:
        console.print(f"[red]✗[/] {example.name}: set {', '.join(missing)}", highlight=False)
        return False
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        steps = example.steps(client, environment)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(f"{example.name}: {example.about}", total=len(steps))
            for step in steps:
                try:
                    step.do()
                except (Difference, httpx.HTTPError) as error:
                    said = str(error) or type(error).__name__
                    progress.console.print(f"[red]✗[/] {step.says}: {escape(said)}", highlight=False)
                    return False
                progress.console.print(f"[green]✓[/] {step.says}", highlight=False)
                progress.advance(bar)
    return True
