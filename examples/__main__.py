"""`python -m examples [--start] [NAME …]`: run the examples against a running system. Exits with 1 if an answer differs.

HEADRACE_URL says where it is (http://127.0.0.1:8000 if it is not set); each example says which tokens it needs. With --start a
system is started for them, and its books are proven in the end.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from examples import cineweave, pixorly, reimaji, webclient
from examples.running import Example, Outcome, print_summary, run

EXAMPLES = {each.EXAMPLE.name: each.EXAMPLE for each in (cineweave, pixorly, webclient, reimaji)}


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(EXAMPLES)}")
    parser.add_argument("--start", action="store_true", help="start a system for it, and end it afterwards")
    given = parser.parse_args()
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
    if broken or not all(each.is_well for each in outcomes):
        sys.exit(1)


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
