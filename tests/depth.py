"""How far tests look that try what comes to mind: `make test` is to be quick, and `make faults` takes its time."""

import os

DEEP = "HEADRACE_DEEP"


def examples(most: int) -> int:
    """So many where there is time; else a third of them."""
    return most if os.environ.get(DEEP) else max(3, most // 3)
