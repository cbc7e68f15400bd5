"""Processor time of everything that the measuring process has started, by part."""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

# What stands in a process's command, and the part that it belongs to; the first that fits.
_PARTS = (
    ("postgres", "PostgreSQL"),
    ("valkey", "Redis"),
    ("weed", "S3"),
    ("benchmarks.load", ""),  # what asks is no part of what is asked
    ("benchmarks.peers", "worker"),
    ("benchmarks.waiting", "worker"),
    ("workers", "worker"),
    ("scheduler", "scheduler"),
    ("api", "API"),
)


class Spent(NamedTuple):
    """What was done in a time: how many a second, and milliseconds of processor time for each, by part."""

    rate: float
    by_part: dict[str, float]

    @property
    def milliseconds(self) -> float:
        return sum(self.by_part.values())

    def shown(self) -> str:
        """The parts, those that cost most first."""
        parts = sorted(self.by_part.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {value:.2f}" for name, value in parts if value >= 0.01)


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def cpu_by_part() -> dict[str, float]:
    """Seconds that each part's living processes have used."""
    used: dict[str, float] = defaultdict(float)
    for pid in _descendants():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            part = next((name for word, name in _PARTS if word in command), "")
            if part:
                used[part] += cpu_seconds(pid)
        except OSError:  # it has ended meanwhile
            continue
    return used


def _descendants() -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children[parent].append(int(place.name))
    found, ahead = list[int](), [os.getpid()]
    while ahead:
        for child in children[ahead.pop()]:
            found.append(child)
            ahead.append(child)
    return found
