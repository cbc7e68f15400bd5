"""`python -m examples [--start] [--write] [NAME …]`: run the examples against a running system. Exits with 1 if an answer differs.

HEADRACE_URL says where it is (http://127.0.0.1:8000 if it is not set); each example says which tokens it needs. With --start a
system is started for them, its books are proven in the end, and what each step did is compared with the table in its document,
docs/port-NAME.md; --write writes the tables instead.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from examples import cineweave, pixorly, reimaji, webclient
from examples.running import Example, Outcome, print_summary, run
from examples.tables import DOCS, differences, write_table

EXAMPLES = {each.EXAMPLE.name: each.EXAMPLE for each in (cineweave, pixorly, webclient, reimaji)}


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(EXAMPLES)}")
    parser.add_argument("--start", action="store_true", help="start a system for it, and end it afterwards")
    parser.add_argument("--write", action="store_true", help="with --start: write the tables in docs/port-*.md")
    given = parser.parse_args()
    if given.write and not given.start:
        parser.error("--write goes with --start")  # another system may have other prices
    names: list[str] = given.names
    unknown = [name for name in names if name not in EXAMPLES]
    if unknown:
        parser.error(f"there is no example {unknown[0]}; there are: {', '.join(EXAMPLES)}")
    chosen = [EXAMPLES[name] for name in names or EXAMPLES]
    console = Console()
    outcomes, broken = _run_here(chosen, console) if given.start else (_run_there(chosen, console), [])
    print_summary(outcomes, console)
    if given.start and not broken:
        console.print("[green]the books hold: every credit is accounted for[/]")
    for rule in broken:
        console.print(f"[red]the books are wrong:[/] {rule}", highlight=False)
    stale = _told_apart(outcomes, console, write=given.write) if given.start and DOCS.is_dir() else False
    if broken or stale or not all(each.is_well for each in outcomes):
        sys.exit(1)


def _told_apart(outcomes: Sequence[Outcome], console: Console, *, write: bool) -> bool:
    """Whether what was done differs from what the documents say; with `write` they say it then."""
    is_stale = False
    for outcome in (each for each in outcomes if each.is_well):
        if found := differences(outcome):
            console.print(f"{'written' if write else '[red]stale[/]'}: the table in docs/port-{outcome.name}.md")
            if write:
                write_table(outcome)
            else:
                is_stale = True
                console.print(
                    *found, "python -m examples --start --write writes it", sep="\n", markup=False, highlight=False
                )
    return is_stale


def _run_there(chosen: Sequence[Example], console: Console) -> list[Outcome]:
    url = os.environ.get("HEADRACE_URL") or "http://127.0.0.1:8000"
    return run(chosen, url, os.environ, console)


def _run_here(chosen: Sequence[Example], console: Console) -> tuple[list[Outcome], list[str]]:
    from examples.starting import CannotStart, started  # noqa: PLC0415 - a client of a running system needs none of it

    console.print("starting PostgreSQL, Valkey, S3, API, worker, scheduler and sender")
    try:
        with started() as system:
            outcomes = run(chosen, system.url, system.environment, console, system.move_clock)
            return outcomes, system.broken_rules()
    except CannotStart as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
