"""See `tests.year`."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.embedded.servers import servers
from tests.conftest import FAST, fresh_database, prepared
from tests.year import picture, run

PICTURE = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "year.png"


def main() -> int:
    """Live through the year. 0: everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.year", description=__doc__)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=None, help="that of an earlier run, to see it again")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    console, began = Console(), time.monotonic()
    console.print(f"a year of {options.users} users over {options.days} days, seed {seed}")
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        tempfile.TemporaryDirectory(prefix="headrace-year-") as folder,
        servers(Path(folder) / "servers", postgres_settings=FAST) as addresses,
        prepared(addresses),
        fresh_database(addresses) as database,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("begins", total=run.steps_of(options.days))

        def advance(said: str) -> None:
            progress.update(task, advance=1, description=said)
            if not console.is_terminal and progress.tasks[0].completed % 20 == 0:  # a log gets a line now and then
                print(f"{time.monotonic() - began:6.0f} s  {said}", flush=True)

        outcome = run.live(database, Path(folder), users=options.users, days=options.days, seed=seed, advance=advance)
    for name, count in outcome.figures.items():
        console.print(f"  {name:<32} {count:>10,}")
    title = f"{options.users} users, {options.days} days, seed {seed}"
    picture.draw(outcome.moments, options.picture, title)
    for each in outcome.findings[:40]:
        console.print(f"[red]{each}[/]")
    minutes = (time.monotonic() - began) / 60
    console.print(
        f"{len(outcome.findings) or 'no'} findings in {minutes:.1f} minutes; picture: {options.picture}; again: --seed {seed}"
    )
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
