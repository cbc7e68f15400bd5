"""`make sweep`: every single fault of every kind of job, and all invariants after each.

`python -m tests.sweep --kind polled --call 17 --way lost` repeats one of them; `--list` shows a kind's calls.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.sweep.boundary import FOUR, WAYS, Call, Fault
from tests.sweep.crew import Crew, crew
from tests.sweep.kinds import KINDS
from tests.sweep.pairs import drawn
from tests.sweep.sweeping import Violation

CHUNK = 16  # runs that one process does before it is given others; the audit looks at them together
SHOWN = 40


def main() -> int:
    """Sweep, show, and say by the exit code whether anything was found."""
    chosen = _parsed()
    names = chosen.kind or list(KINDS)
    if unknown := set(names) - set(KINDS):
        sys.exit(f"there is no kind {min(unknown)!r}; there are {', '.join(KINDS)}")
    began = time.monotonic()
    with crew(chosen.processes) as workers:
        records, found = _record(workers, names)
        if chosen.list:
            _show_calls(records)
            return 0
        if chosen.pairs:
            tasks = drawn(records, chosen.pairs, chosen.seed)
        elif chosen.call:
            ways = chosen.way or ["fail"] * len(chosen.call)
            tasks = [(name, tuple(map(Fault, chosen.call, ways))) for name in names]
        else:
            tasks = _single(records, chosen.way)
        found += _swept(workers, tasks, records)
    print(table(records, tasks, found))
    broken = len({(each.kind, each.faults) for each in found})
    print(f"\n{len(tasks)} runs in {time.monotonic() - began:.0f} s; {broken} broke a promise, in {len(found)} ways")
    show(found)
    if chosen.write:
        Path(chosen.write).write_text("\n".join(_line(each) for each in found) + "\n")
    return 1 if found else 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("--kind", action="append", help="only this kind; may be given several times")
    parser.add_argument("--call", action="append", type=int, help="only this call, by its number; two make a pair")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way to fail; one for each --call")
    parser.add_argument("--pairs", type=int, default=0, help="so many pairs of faults instead of single ones")
    parser.add_argument("--seed", type=int, default=1, help="of the pairs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="show the calls and how each can fail")
    parser.add_argument("--write", help="a file for what is found")
    return parser.parse_args()


Records = dict[str, Sequence[Call]]
Tasks = list[tuple[str, tuple[Fault, ...]]]


def _record(workers: Crew, names: Sequence[str]) -> tuple[Records, list[Violation]]:
    records: Records = {}
    found: list[Violation] = []
    for done, (name, calls, wrong) in enumerate(workers.record(names), 1):
        records[name] = calls
        found += wrong
        progress("recording", done, len(names), len(found))
    return {name: records[name] for name in names}, found


def _single(records: Records, ways: Sequence[str] | None) -> Tasks:
    return [
        (name, (Fault(number, way),))
        for name, calls in records.items()
        for number, call in enumerate(calls)
        for way in call.ways
        if not ways or way in ways
    ]


def _swept(workers: Crew, tasks: Tasks, records: Records) -> list[Violation]:
    found: list[Violation] = []
    done = 0
    for count, wrong in workers.sweep(_chunks(tasks), records):
        done += count
        found += wrong
        progress("sweeping", done, len(tasks), len(found))
    return found


def _chunks(tasks: Tasks) -> Iterable[tuple[str, list[tuple[Fault, ...]]]]:
    """Runs of one kind together, so that the audit need not look after each."""
    part: list[tuple[Fault, ...]] = []
    for number, (name, faults) in enumerate(tasks):
        part.append(faults)
        if len(part) == CHUNK or number + 1 == len(tasks) or tasks[number + 1][0] != name:
            yield name, part
            part = []


def progress(doing: str, done: int, of: int, found: int) -> None:
    """A bar on one line, where somebody looks."""
    if not sys.stderr.isatty() and done < of and done % 160 >= CHUNK:
        return
    filled = 40 * done // max(1, of)
    end = "\n" if done >= of or not sys.stderr.isatty() else "\r"
    print(
        f"{doing:9} [{'#' * filled}{'.' * (40 - filled)}] {done}/{of}, {found} found",
        end=end,
        file=sys.stderr,
        flush=True,
    )


def table(records: Records, tasks: Tasks, found: Sequence[Violation]) -> str:
    """Kinds by ways to fail: runs, and what was found. 80 columns."""
    runs: Counter[tuple[str, str]] = Counter()
    for name, faults in tasks:
        runs[name, "pair" if len(faults) > 1 else faults[0].way if faults[0].way in FOUR else "other"] += 1
    columns = [*FOUR, "other"] if not any(way == "pair" for _, way in runs) else ["pair"]
    wrong = Counter(name for name, _ in {(each.kind, each.faults) for each in found})
    width = max(20, 80 - 15 - 8 * len(columns))
    lines = [f"{'kind':{width}}{'calls':>6}" + "".join(f"{each:>8}" for each in columns) + f"{'found':>8}"]
    lines.append("-" * len(lines[0]))
    for name, calls in records.items():
        cells = "".join(f"{runs[name, each]:>8}" for each in columns)
        lines.append(f"{name:{width}}{len(calls):>6}{cells}{wrong[name]:>8}")
    lines.append("-" * len(lines[0]))
    sums = "".join(f"{sum(count for (_, way), count in runs.items() if way == each):>8}" for each in columns)
    lines.append(f"{f'{len(records)} kinds':{width}}{sum(map(len, records.values())):>6}{sums}{sum(wrong.values()):>8}")
    return "\n".join(lines)


def show(found: Sequence[Violation]) -> None:
    """How many of each rule, then each with the command that shows it again."""
    for rule, count in Counter(each.rule for each in found).most_common():
        print(f"  {count:5} {rule}")
    for each in found[:SHOWN]:
        print(f"\n{each.command()}\n  {each.call}\n  {each.rule}: {each.seen}")
    if len(found) > SHOWN:
        print(f"\n… and {len(found) - SHOWN} more: --write FILE keeps all")


def _line(each: Violation) -> str:
    return f"{each.command()} | {each.call} | {each.rule} | {' '.join(each.seen.split())}"


def _show_calls(records: Records) -> None:
    for name, calls in records.items():
        print(f"\n{name}")
        for number, call in enumerate(calls):
            print(f"{number:4} {call.process:9} {call.sort:8} {call.name[:90]}  ({' '.join(call.ways)})")


if __name__ == "__main__":
    sys.exit(main())
