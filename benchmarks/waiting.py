"""Ten thousand jobs that wait at a polled provider, one worker process: what waiting costs.

The provider is sketch, but its book is in the worker's memory: asked of its file, each poll would cost the worker a
millisecond that no far side costs it. It has no progress to tell.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.processor import cpu_seconds
from benchmarks.queues import alive, place_jobs
from benchmarks.stand import Report, Stand, _entry, memory_mb
from common.settings import settings
from models.catalogue import entries
from models.db import transaction
from workers.doorbell import ring
from workers.main import main
from workers.providers.registry import ADAPTERS
from workers.providers.sketch import Sketch
from workers.providers.sketch.book import Book, CallKind, CallState, Generation

JOBS = 10_000
POLL_SECONDS = 60.0
READY_SECONDS = 1e8  # far enough that no poll has progress to tell
LOOK_SECONDS = POLL_SECONDS  # a whole round, after the first has begun


def measure(stand: Stand, report: Report) -> None:
    """Start them all, wait until all are at the provider, then look at the worker while they wait and are polled."""
    stand.fresh()
    with transaction() as conn:
        options: dict[str, Any] = {"pending": True, "ready_seconds": READY_SECONDS, "poll_after_seconds": POLL_SECONDS}
        entries.apply(conn, [_entry("bench-polled", instant=True, **options)])
    stand.start("scheduler")
    command = [sys.executable, "-m", "benchmarks.waiting", "--threads", "8"]
    with subprocess.Popen(command, env={**os.environ, **stand.environment}, stderr=subprocess.DEVNULL) as worker:
        try:
            _look(worker.pid, report)
        finally:
            worker.terminate()
    stand.stop()


def _look(pid: int, report: Report) -> None:
    time.sleep(5)
    idle, idle_threads, server = memory_mb(pid, "VmRSS"), _threads(pid), _postmaster()
    idle_cpu = _spent(pid, server, 10.0)
    rings = place_jobs(JOBS, "bench-polled")
    for begin in range(0, JOBS, 500):
        ring(rings[begin : begin + 500])
    end = time.monotonic() + 300
    while _accepted() < JOBS:
        if time.monotonic() > end:
            raise RuntimeError(f"only {_accepted()} of {JOBS} are at the provider")
        time.sleep(0.5)
    time.sleep(POLL_SECONDS)
    before = _leases()
    shares = _spent(pid, server, LOOK_SECONDS)
    polls = (_leases() - before) / LOOK_SECONDS
    assert alive() == JOBS
    report.add("jobs waiting at a polled provider, one worker process", JOBS, "jobs")
    report.add("  its threads, above idle", _threads(pid) - idle_threads, "threads", aim="< 0")
    report.add("  its memory, above idle", memory_mb(pid, "VmRSS") - idle, "MB")
    report.add(f"  polls, each job every {POLL_SECONDS:.0f} s", polls, "1/s")
    for name, share, rest in zip(("its CPU", "PostgreSQL's, all duties with it"), shares, idle_cpu, strict=True):
        report.add(f"  {name}", 100 * share, "% core", aim="< 5" if name == "its CPU" else "")
        report.add("    per poll, above idle", 1000 * (share - rest) / polls, "ms")


def _spent(worker: int, server: int, seconds: float) -> tuple[float, float]:
    """Shares of a core that a worker and a PostgreSQL server take over so many seconds."""
    before, begun = (cpu_seconds(worker), _server_cpu(server)), time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - begun
    return (cpu_seconds(worker) - before[0]) / passed, (_server_cpu(server) - before[1]) / passed


def _postmaster() -> int:
    with transaction() as conn:
        row = conn.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    return _fields(row[0])[1]


def _fields(pid: int) -> list[int]:
    """The numbers of a process's `stat`, from its state on, which is none."""
    return [0, *map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:])]


def _server_cpu(postmaster: int) -> float:
    """CPU of a server: its own, that of its ended children, and that of each that runs."""
    ticks = sum(_fields(postmaster)[11:15])
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = _fields(int(place.name))
        except OSError:
            continue
        if fields[1] == postmaster:
            ticks += sum(fields[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def _count(statement: str) -> int:
    with transaction() as conn:
        row = conn.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _accepted() -> int:
    return _count("select count(*) from attempts where phase = 'accepted'")


def _leases() -> int:
    """How many polls there have been: each is one claim more."""
    return _count("select sum(token) from job_runs")


def _threads(pid: int) -> int:
    return len(os.listdir(Path("/proc") / str(pid) / "task"))


class MemoryBook(Book):
    """A book of one process, for as long as it lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generations: dict[str, Generation] = {}

    def call(self, kind: CallKind, idempotency_key: str | None, provider_job_id: str | None = None) -> None:
        """Nothing is noted of calls."""

    def begin(self, key: str, request: Mapping[str, Any], ready_seconds: float, charged: int, state: CallState) -> Generation:  # fmt: skip
        now = time.time()
        made = Generation("sketch-" + key, key, dict(request), now, now + ready_seconds, charged, state, None)
        with self._lock:
            return self._generations.setdefault(made.provider_job_id, made)

    def find(self, *, key: str | None = None, provider_job_id: str | None = None) -> Generation | None:
        return self._generations.get(provider_job_id or f"sketch-{key}")


if __name__ == "__main__":
    settings()
    ADAPTERS["sketch"] = lambda _endpoint: Sketch(MemoryBook())
    main()
