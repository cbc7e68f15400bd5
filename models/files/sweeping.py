"""What sweeps of results and of uploads tell the scheduler."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class Swept(NamedTuple):
    """How many were expired of how many that were found due, and whose accounts were locked meanwhile."""

    done: int
    picked: int = 0
    busy: Sequence[UUID] = ()


class Purgeable(NamedTuple):
    """Something out of reach whose objects are to go; `expired_at` and `id` are its place in the walk."""

    id: UUID
    keys: list[str]
    expired_at: datetime
