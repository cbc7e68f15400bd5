"""Do one run, and judge it."""

import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.sweep import checks
from tests.sweep.boundary import Call, Fault
from tests.sweep.house import House
from tests.sweep.kinds import KINDS
from tests.sweep.run import Run

RUN_SECONDS = 90  # thousands of times what one takes
AGAIN = 6  # on a busy machine two threads of a worker ask in another order now and then


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold in a run."""

    kind: str
    faults: tuple[Fault, ...]
    call: str
    rule: str
    seen: str

    def command(self) -> str:
        """How to see it again."""
        calls = " ".join(f"--call {each.call} --way {each.way}" for each in self.faults)
        return f"python -m tests.sweep --kind {self.kind} {calls}"


def record(house: House, name: str) -> tuple[list[Call], list[Violation]]:
    """A run without faults: its calls, and what is wrong with it all the same."""
    warm(house, name)
    run = _played(house, name, (), None)
    found: list[Violation] = []
    for _ in range(AGAIN):
        calls, before = list(house.boundary.calls), run
        found += _judged(before, ())
        run = _played(house, name, (), None)
        if calls == house.boundary.calls:
            break
    else:
        pairs = enumerate(zip(calls, house.boundary.calls, strict=False))
        seen = next(
            (f"call {number}: {one}, then {other}" for number, (one, other) in pairs if one != other), "its end"
        )
        found.append(Violation(name, (), "", "not_repeatable", seen))
    return calls, found + _judged(run, ()) + _audited([before, run], [(), ()])


_warm: set[str] = set()


def warm(house: House, name: str) -> None:
    """What a process does only once in its life, such as loading a script into Redis, is not a part of any run."""
    if name not in _warm:
        _warm.add(name)
        _played(house, name, (), None).leave()


def sweep(house: House, name: str, faults: Sequence[tuple[Fault, ...]], expected: Sequence[Call]) -> list[Violation]:
    """One run for each of these faults; the audit looks at all of them at the end."""
    warm(house, name)
    runs, found = [], []
    for each in faults:
        run = _played(house, name, each, expected)
        found += _judged(run, each)
        runs.append(run)
    return found + _audited(runs, list(faults))


def _played(house: House, name: str, faults: tuple[Fault, ...], expected: Sequence[Call] | None) -> Run:
    """A run up to where all is quiet. One that cannot be judged, because the machine was too slow for it to be the same
    as it was recorded, is done again.
    """
    kind = KINDS[name]
    for _ in range(AGAIN):
        run = Run(house, kind)
        # After a first fault a run goes its own ways: of a pair the second falls on whatever has its number then.
        house.boundary.begin(faults, expected if len(faults) == 1 else None)
        try:
            with _watched(RUN_SECONDS):
                kind.play(run)
                run.settle()
        except Exception as error:  # noqa: BLE001 - the sweep goes on, and shows it
            where = "".join(traceback.format_exception(error)[-3:])
            run.problem("broke_off", f"{type(error).__name__}: {error} {where}"[-600:])
        if house.boundary.missed() is None:
            break
        run.leave()
    return run


@contextmanager
def _watched(seconds: int) -> Iterator[None]:
    """Whatever hangs is ended, and is found where it hung."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"it hung for {seconds} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _judged(run: Run, faults: tuple[Fault, ...]) -> list[Violation]:
    missed = run.house.boundary.missed()
    if missed is not None:
        run.problem("diverged", missed)
    checks.check(run)
    run.leave()
    call = "; ".join(
        f"{number} {call.process} {call.sort} {call.name}" for number, _, call in run.house.boundary.happened
    )
    return [Violation(run.kind.name, faults, call, rule, seen) for rule, seen in run.problems]


def _audited(runs: list[Run], faults: list[tuple[Fault, ...]]) -> list[Violation]:
    found = []
    for rule, seen, whose in checks.broken_rules():
        mine = [(run, fault) for run, fault in zip(runs, faults, strict=True) if run.account_id in whose]
        for run, fault in mine:
            found.append(Violation(run.kind.name, fault, "", rule, seen))
        if not whose:
            found.append(Violation(runs[0].kind.name, (), "", rule, seen))
    return found
