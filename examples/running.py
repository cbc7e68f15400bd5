"""What every example is made of: steps that ask a running system, and compare what it answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, NamedTuple

import httpx
from headrace_client import Headrace, Pager, Refused
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from examples.noting import NOTES, Noted, NotingHeadrace

TIMEOUT_SECONDS = 30.0
PATIENCE_SECONDS = 10.0
SHOWN_CHARACTERS = 2000
SUMMARY_COLUMNS = 80


class Difference(Exception):
    """The system answered something else than it should."""


class NotHere(Exception):
    """A step cannot be done on this machine, or with this system, and says what is lacking: it is left out."""


class Place(NamedTuple):
    """Where the system is. `http` is for what needs no key: pages, and what other companies send."""

    url: str
    http: httpx.Client

    def client(self, key: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Headrace:
        """A client with a key, or with a person's token; your own program says `Headrace(key, url)`."""
        return NotingHeadrace(key, self.url, patience_seconds=patience_seconds, http_client=self.http)

    def fetch(self, address: str, what: str = "the address") -> httpx.Response:
        """What is at an address, to somebody without a key."""
        NOTES.call(f"GET {what}, without a key")
        return self.http.get(address)


class Step(NamedTuple):
    """One thing that a product does. `ports`: the part of the product and the function in it that this is, such as
    `A2 reserveCredits`. `do` raises Difference and NotHere. `days`: so many days later than now, so it is left out where nobody can
    move the system's clock.
    """

    ports: str
    says: str
    do: Callable[[], None]
    days: int = 0


class Example(NamedTuple):
    """A product. `needs`: what must stand in the environment; `steps` get the system's place, the environment, and a
    stack that closes what they open.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    steps: Callable[[Place, Mapping[str, str], ExitStack], Sequence[Step]]


class Outcome:
    """How far an example came, and what each step did that was done."""

    def __init__(self, name: str, steps: Sequence[Step] = (), wrong: str = "") -> None:
        self.name, self.steps, self.wrong = name, steps, wrong
        self.noted: dict[Step, Noted] = {}
        self.passed = self.left_out = 0
        self.seconds = 0.0

    @property
    def is_well(self) -> bool:
        return not self.wrong


def same(found: Any, wanted: Any, what: str) -> None:
    """Raises Difference where an answer is not what it should be."""
    if found != wanted:
        raise Difference(f"{what}\n  should be {_shown(wanted)}\n  but is    {_shown(found)}")
    NOTES.fact(what, wanted)


def fulfilled(holds: bool, what: str) -> None:
    """Raises Difference where something does not hold."""
    if not holds:
        raise Difference(what)


def refused(status: int, code: str, ask: Callable[..., object], *given: Any, **named: Any) -> Refused:
    """What a call is answered that must be refused so: nonsense too, which is why types are not looked at. Raises Difference."""
    try:
        _done(ask, *given, **named)
    except Refused as no:
        if (no.status, no.code) != (status, code):
            raise Difference(f"it is refused with {no}, and should be with {status} {code}") from None
        NOTES.fact(f"refused with {status} `{code}`")
        return no
    raise Difference(f"it is not refused, and should be with {status} {code}")


def answered(ask: Callable[..., object], *given: Any, **named: Any) -> int:
    """The status with which a call is answered."""
    try:
        _done(ask, *given, **named)
    except Refused as no:
        return no.status
    return httpx.codes.OK


def _done(ask: Callable[..., object], *given: Any, **named: Any) -> None:
    found = ask(*given, **named)
    if isinstance(found, Pager):  # which asks when it is read
        found.first()


def eventually(look: Callable[[], Any], wanted: Any, what: str, *, seconds: float = 30) -> None:
    """Wait until what is seen is as it should be. Raises Difference."""
    end = time.monotonic() + seconds
    while (found := look()) != wanted:
        if time.monotonic() > end:
            same(found, wanted, f"{what}, after {seconds:g} s")
        time.sleep(0.5)  # those that are refused are counted: FAILED_AUTH_PER_MINUTE
    NOTES.fact(what, wanted)


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
        place = Place(url, client)
        outcomes = [_begun(each, place, environment, stack) for each in examples]
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


def _begun(example: Example, place: Place, environment: Mapping[str, str], stack: ExitStack) -> Outcome:
    missing = [name for name in example.needs if not environment.get(name)]
    if missing:
        return Outcome(example.name, wrong=f"set {', '.join(missing)}")
    try:
        return Outcome(example.name, example.steps(place, environment, stack))
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
    NOTES.begin()
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
        outcome.noted[step] = NOTES.end()
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
