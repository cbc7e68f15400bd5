"""What a run says of a planted bug. Pure."""

from collections.abc import Sequence
from enum import StrEnum

from tests.mutants.lanes import Report


class Verdict(StrEnum):
    """What became of a mutant; all but the first are to be mended."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"  # a test could not even begin: that is no test's merit


def _of(test: str, reports: Sequence[Report]) -> list[Report]:
    """The reports of a node id: its own, those of its parameters, those of what is in it."""
    return [each for each in reports if each.test == test or each.test.startswith((f"{test}[", f"{test}::"))]


def sound(test: str, reports: Sequence[Report]) -> bool:
    """Whether a test ran, and passed, without any bug."""
    found = _of(test, reports)
    return any(each.when == "call" for each in found) and all(each.outcome == "passed" for each in found)


def verdict(tests: Sequence[str], reports: Sequence[Report]) -> Verdict:
    """Caught is what every one of its tests fails by, in the test itself and not on the way to it."""
    worst = Verdict.CAUGHT
    for test in tests:
        found = _of(test, reports)
        if any(each.when == "call" and each.outcome == "failed" for each in found):
            continue
        if not any(each.when == "call" for each in found):
            return Verdict.BROKEN
        worst = Verdict.SURVIVED
    return worst
