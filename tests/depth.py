"""How far tests look that try what comes to mind: `make test` is to be quick, and `make faults` takes its time."""

import os
from collections.abc import Sequence
from itertools import product
from typing import TypeVar

DEEP = "HEADRACE_DEEP"


def examples(most: int) -> int:
    """So many where there is time; else a quarter of them."""
    return most if is_deep() else max(3, most // 4)


def is_deep() -> bool:
    """Whether there is time."""
    return bool(os.environ.get(DEEP))


Case, Way = TypeVar("Case"), TypeVar("Way")


def pairs(cases: Sequence[Case], ways: Sequence[Way]) -> list[tuple[Case, Way]]:
    """Each case in each way where there is time; else each case in one way, and each way with as many cases."""
    every = list(product(cases, ways))
    return every if is_deep() else [every[n * len(ways) + n % len(ways)] for n in range(len(cases))]
