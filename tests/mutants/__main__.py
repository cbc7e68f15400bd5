"""`python -m tests.mutants [--only NAME]... [--lanes N]`: plant each bug and see that its tests turn red.

First all named tests must pass as the tree is. Exit 1 where a bug survives, or an entry is stale.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.mutants.judge import Verdict, sound, verdict
from tests.mutants.lanes import BASELINE_SECONDS, Lane, lanes
from tests.mutants.table import NAME_CHARACTERS, Mutant, read, stale

WIDTH = 80
BASELINE_PARTS = 2  # per lane


class Result(NamedTuple):
    """How one mutant fared."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    said: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutant alone; may be said more than once")
    parser.add_argument("--lanes", type=int, default=2, help="how many run at once (2)")
    options = parser.parse_args(argv)
    mutants = read()
    if options.only:
        unknown = sorted(set(options.only) - {each.name for each in mutants})
        if unknown:
            parser.error(f"there is no mutant {unknown[0]!r}; there are {', '.join(each.name for each in mutants)}")
        mutants = [each for each in mutants if each.name in options.only]
    console = Console(width=WIDTH, stderr=True)
    wrong = stale(mutants)
    if wrong:
        console.print("\n".join(wrong), style="red", soft_wrap=True, markup=False)
        return 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-") as folder:
        with lanes(Path(folder), min(options.lanes, len(mutants))) as made:
            found = run(mutants, made, console)
    if found is None:
        return 1
    show(found, time.monotonic() - began)
    return 0 if all(each.verdict is Verdict.CAUGHT for each in found) else 1


def run(mutants: Sequence[Mutant], made: Sequence[Lane], console: Console) -> list[Result] | None:
    """All mutants over these lanes. None: a test fails without any bug."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    parts = min(len(tests), BASELINE_PARTS * len(made))  # in the order of their files, so that each is read about once
    groups = [tests[len(tests) * n // parts : len(tests) * (n + 1) // parts] for n in range(parts)]
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("tests as they are", total=len(groups))

        def baseline(lane: Lane, group: list[str]) -> str:
            reports, said = lane.run(group, seconds=BASELINE_SECONDS)
            progress.advance(bar)
            return "" if all(sound(test, reports) for test in group) else said

        broken = [said for said in _over(made, groups, baseline) if said]
        if broken:
            console.print("\n".join(broken), soft_wrap=True, markup=False)
            console.print("these tests do not pass as the tree is, so they catch nothing", style="red")
            return None
        bar = progress.add_task("with a bug each", total=len(mutants))

        def plant(lane: Lane, mutant: Mutant) -> Result:
            began = time.monotonic()
            reports, said = lane.run(mutant.tests, mutant)
            result = Result(mutant, verdict(mutant.tests, reports), time.monotonic() - began, said)
            progress.advance(bar)
            if result.verdict is not Verdict.CAUGHT:
                progress.console.print(f"{mutant.name}: {result.verdict}: {mutant.why}", markup=False)
                progress.console.print(result.said[-2000:], markup=False, soft_wrap=True)
            return result

        return _over(made, mutants, plant)


Item = TypeVar("Item")
Answer = TypeVar("Answer")


def _over(made: Sequence[Lane], items: Sequence[Item], act: Callable[[Lane, Item], Answer]) -> list[Answer]:
    """Do something with each item in whichever lane is free. Returns the answers in the items' order."""
    free: Queue[Lane] = Queue()
    for lane in made:
        free.put(lane)

    def go(item: Item) -> Answer:
        lane = free.get()
        try:
            return act(lane, item)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(len(made)) as pool:
        return list(pool.map(go, items))


def show(results: Sequence[Result], seconds: float) -> None:
    """The table, for a terminal of 80 columns."""
    table = Table(width=WIDTH, box=None, pad_edge=False)
    table.add_column("mutant", width=NAME_CHARACTERS, no_wrap=True)
    table.add_column("caught by", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("s", justify="right", width=5)
    for each in results:
        caught = each.verdict is Verdict.CAUGHT
        more = f" +{len(each.mutant.tests) - 1}" if len(each.mutant.tests) > 1 else ""
        first = each.mutant.tests[0].rpartition("::")[2].removeprefix("test_")
        table.add_row(
            each.mutant.name, escape(first + more) if caught else f"[red]{each.verdict}[/]", f"{each.seconds:.1f}"
        )
    console = Console(width=WIDTH)
    console.print(table)
    left = [each.mutant.name for each in results if each.verdict is not Verdict.CAUGHT]
    console.print(f"{len(results) - len(left)} of {len(results)} planted bugs caught in {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
