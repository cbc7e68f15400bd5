"""Seeded pairs of faults: two single ones of the same kind, in one run."""

import random
from collections.abc import Mapping, Sequence

from tests.sweep.boundary import Call, Fault


def drawn(records: Mapping[str, Sequence[Call]], count: int, seed: int) -> list[tuple[str, tuple[Fault, ...]]]:
    """So many pairs, spread over the kinds; the same for the same seed and records."""
    dice = random.Random(seed)
    names = [name for name, calls in records.items() if len(calls) > 1]
    found = []
    for number in range(count):
        name = names[number % len(names)]
        first, second = sorted(dice.sample(range(len(records[name])), 2))
        ways = [dice.choice(records[name][call].ways) for call in (first, second)]
        found.append((name, (Fault(first, ways[0]), Fault(second, ways[1]))))
    return sorted(found, key=lambda each: each[0])
