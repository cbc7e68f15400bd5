"""See `tests.hosts`. `python -m tests.hosts --only cut-database` plays one scene; `--list` names all."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.hosts import house, load, network, truth
from tests.hosts.play import Recovery, Stuck, play
from tests.hosts.scenes import Scene, scenes

FOLDER = network.ROOT / ".headrace" / "hosts"
BEGINS, ENDS = "<!-- hosts: written by `python -m tests.hosts --write docs/growth.md` -->", "<!-- hosts end -->"
COLUMNS = "first submit", "first job done", "backlog ended", "longest wait"


def main() -> int:
    """Play the scenes. 0: everything holds; 3: there can be no hosts here."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="play this scene; may be given several times")
    parser.add_argument("--list", action="store_true", help="name all scenes")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="write the table of recovery times, in Markdown: between its marks where the file has them",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where servers and logs are, until the next run")
    options = parser.parse_args()
    chosen = list(scenes())
    if options.list:
        print("\n".join(f"{each.name:<26} {each.meaning}" for each in chosen))
        return 0
    if unknown := set(options.only or ()) - {each.name for each in chosen}:
        parser.error(f"there is no scene {min(unknown)!r}; see --list")
    chosen = [each for each in chosen if not options.only or each.name in options.only]
    if why := network.why_not():
        print(f"there can be no hosts here: {why}")
        return 3
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended as on a Ctrl-C
    began = time.monotonic()
    recoveries, found, ended = run(options.folder.resolve(), chosen)
    print(shown(recoveries))
    print("\n".join(f"  {name:<34} {count:>6,}" for name, count in ended.items()))
    for each in found[:40]:
        print(each)
    print(f"{len(chosen)} scenes, {len(found) or 'no'} findings in {(time.monotonic() - began) / 60:.1f} minutes")
    if options.write:
        write_table(options.write, markdown(recoveries))
    return 1 if found else 0


def run(folder: Path, chosen: Sequence[Scene]) -> tuple[list[Recovery], list[str], dict[str, int]]:
    """Play these scenes in one house. Returns what was measured, what was found, and how jobs ended."""
    recoveries, found = list[Recovery](), list[str]()
    console = Console(width=80)
    columns = TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("hosts are started", total=len(chosen) + 2)
        with house.running(folder) as made:
            progress.advance(task)
            with load.ordering(made.api_urls()) as clients:
                for scene in chosen:
                    progress.update(task, description=scene.name)
                    try:
                        recoveries.append(play(made, clients, scene))
                        said = _line(recoveries[-1])
                    except Stuck as error:
                        said = f"{scene.name}: {error}"
                        found.append(said)
                    found += [f"{scene.name}: what ran on {each} has ended by itself" for each in made.dead()]
                    progress.advance(task)
                    if not console.is_terminal:
                        print(said, flush=True)
            progress.update(task, description="everything ends")
            found += truth.drain()
            found += truth.broken(made, clients)
            ended = truth.outcomes(made)
            progress.advance(task)
    return recoveries, found, ended


def write_table(path: Path, table: str) -> None:
    """Write a file, or only the part of it that is between the marks."""
    before, mark, rest = path.read_text().partition(BEGINS) if path.exists() else ("", "", "")
    path.write_text(f"{before}{BEGINS}\n{table}{ENDS}{rest.partition(ENDS)[2]}" if mark else table)


def shown(recoveries: Sequence[Recovery]) -> str:
    """The table for a terminal of 80 columns; seconds."""
    return "\n".join(
        (f"{'scene':<28}{'orders':>7}{'submit':>9}{'done':>9}{'backlog':>9}{'longest':>9}", *map(_line, recoveries))
    )


def _line(each: Recovery) -> str:
    return f"{each.scene.name:<28}{each.orders:>7}{each.submit:>9.1f}{each.done:>9.1f}{each.backlog:>9.1f}{each.longest:>9.1f}"


def markdown(recoveries: Sequence[Recovery]) -> str:
    """The table for the documents."""
    lines = [f"| what happens | orders meanwhile | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) + 1)]
    for each in recoveries:
        figures = " | ".join(f"{value:.1f} s" for value in (each.submit, each.done, each.backlog, each.longest))
        lines.append(f"| {each.scene.meaning} | {each.orders} | {figures} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
