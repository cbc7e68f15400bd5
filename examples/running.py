"""What every example is made of: steps that ask a running system, and compare what it answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, NamedTuple

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

TIMEOUT_SECONDS = 30.0
SHOWN_CHARACTERS = 2000
SUMMARY_COLUMNS = 80


class Difference(Exception):
    """The system answered something else than it should."""


class NotHere(Exception):
    """A step cannot be done on this machine, or with this system, and says what is lacking: it is left out."""


class Step(NamedTuple):
    """One thing that a product does. `do` raises Difference and NotHere. `days`: so many days later than now, so it is left out where
    nobody can move the system's clock.
    """

    says: str
    do: Callable[[], None]
    days: int = 0


class Example(NamedTuple):
    """A product. `needs`: what must stand in the environment; `steps` get a client of the system, the environment, and a
    stack that closes what they open.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    steps: Callable[[httpx.Client, Mapping[str, str], ExitStack], Sequence[Step]]


class Outcome:
    """How far an example came."""

    def __init__(self, name: str, steps: Sequence[Step] = (), wrong: str = "") -> None:
        self.name, self.steps, self.wrong = name, steps, wrong
        self.passed = self.left_out = 0
        self.seconds = 0.0

    @property
    def is_well(self) -> bool:
        return not self.wrong


def same(found: Any, wanted: Any, what: str) -> None:
    """Raises Difference where an answer is not what it should be."""
    if found != wanted:
        raise Difference(f"{what}\n  should be {_shown(wanted)}\n  but is    {_shown(found)}")


def fulfilled(holds: bool, what: str) -> None:
    """Raises Difference where something does not hold."""
    if not holds:
        raise Difference(what)


def eventually(look: Callable[[], Any], wanted: Any, what: str, *, seconds: float = 30) -> None:
    """Wait until what is seen is as it should be. Raises Difference."""
    end = time.monotonic() + seconds
    while (found := look()) != wanted:
        if time.monotonic() > end:
            same(found, wanted, f"{what}, after {seconds:g} s")
        time.sleep(0.5)  # those that are refused are counted: FAILED_AUTH_PER_MINUTE


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def run(
    examples: Sequence[Example],
    url: str,
    environment: Mapping[str, str],
    console: Console,
    move_clock: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Do all steps of these examples, and say of each how it went; what is to be seen later comes when all have done what they
    do today. `move_clock` puts the system's clock so many days ahead of ours.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with ExitStack() as stack, Progress(*columns, console=console) as progress:
        client = stack.enter_context(httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS))
        outcomes = [_begun(each, client, environment, stack) for each in examples]
        bars = {
            outcome.name: progress.add_task(f"{outcome.name}: {example.about}", total=len(outcome.steps))
            for outcome, example in zip(outcomes, examples, strict=True)
        }
        for days, due in groupby(_in_order(outcomes), key=lambda each: each[1].days):
            if days and move_clock and any(outcome.is_well and outcome.steps for outcome in outcomes):
                progress.console.print(f"[dim]the clock goes {days} days ahead[/]", highlight=False)
                move_clock(days)
            for outcome, step in due:
                if outcome.is_well:
                    _do(outcome, step, progress, bars[outcome.name], can_wait=move_clock is not None)
        for outcome in outcomes:
            if not outcome.is_well and not outcome.steps:
                progress.console.print(f"[red]✗[/] {outcome.name}: {escape(outcome.wrong)}", highlight=False)
    return outcomes


def _begun(example: Example, client: httpx.Client, environment: Mapping[str, str], stack: ExitStack) -> Outcome:
    missing = [name for name in example.needs if not environment.get(name)]
    if missing:
        return Outcome(example.name, wrong=f"set {', '.join(missing)}")
    try:
        return Outcome(example.name, example.steps(client, environment, stack))
    except (OSError, ValueError) as error:  # where it is to listen somebody else does, or nobody can
        return Outcome(example.name, wrong=f"cannot begin: {error}")


def _in_order(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, Step]]:
    """All of today in the order of the examples, then day by day."""
    return sorted(((outcome, step) for outcome in outcomes for step in outcome.steps), key=lambda each: each[1].days)


def _do(outcome: Outcome, step: Step, progress: Progress, bar: TaskID, *, can_wait: bool) -> None:
    """Do one step, and say in a line how it went."""
    if step.days and not can_wait:
        outcome.left_out += 1
        progress.console.print(f"[yellow]–[/] {step.says}: left out, {step.days} days are not over", highlight=False)
        return
    begun = time.monotonic()
    try:
        step.do()
    except NotHere as lacking:
        outcome.left_out += 1
        progress.console.print(f"[yellow]–[/] {step.says}: left out, {lacking}", highlight=False)
    except Exception as error:  # noqa: BLE001 - what an answer of another shape does to a step is a difference too
        said = str(error) if isinstance(error, Difference) else f"{type(error).__name__}: {error}"
        outcome.wrong = step.says
        progress.console.print(f"[red]✗[/] {step.says}: {escape(said)}", highlight=False)
    else:
        outcome.passed += 1
        progress.console.print(f"[green]✓[/] {step.says}", highlight=False)
        progress.advance(bar)
    outcome.seconds += time.monotonic() - begun


def print_summary(outcomes: Sequence[Outcome], console: Console) -> None:
    """A line of each example."""
    table = Table(width=SUMMARY_COLUMNS, header_style="bold")
    table.add_column("example")
    for name in ("checks", "passed", "left out", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("not as it should be", overflow="fold", ratio=1)
    for each in outcomes:
        numbers = (len(each.steps), each.passed, each.left_out, f"{each.seconds:.1f}")
        table.add_row(each.name, *map(str, numbers), escape(each.wrong))
    console.print(table)
