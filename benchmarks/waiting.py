"""Ten thousand jobs that wait at a polled provider, one worker process: what waiting costs."""

import os
import time
from pathlib import Path

from benchmarks.queues import _alive, _place
from benchmarks.stand import Report, Stand, _entry, cpu_seconds, memory_mb
from models.catalogue import entries
from models.db import transaction
from workers.doorbell import ring

JOBS = 10_000
POLL_SECONDS = 60.0
LOOK_SECONDS = POLL_SECONDS  # a whole round, after the first has begun


def measure(stand: Stand, report: Report) -> None:
    """Start them all, wait until all are at the provider, then look at the worker while they wait and are polled."""
    stand.fresh()
    with transaction() as conn:
        entry = _entry("bench-polled", instant=True, pending=True, ready_seconds=3600, poll_after_seconds=POLL_SECONDS)
        entries.apply(conn, [entry])
    book = {"SKETCH_BOOK": str(stand.folder / "polled.db")}
    stand.start("worker", "scheduler", arguments="--threads 8", extra=book)
    time.sleep(2)
    pid = stand.processes.pid("worker")
    idle, idle_threads = memory_mb(pid, "VmRSS"), _threads(pid)
    rings = _place(JOBS, "bench-polled")
    for begin in range(0, JOBS, 500):
        ring(rings[begin : begin + 500])
    end = time.monotonic() + 300
    while _accepted() < JOBS:
        if time.monotonic() > end:
            raise RuntimeError(f"only {_accepted()} of {JOBS} are at the provider")
        time.sleep(0.5)
    time.sleep(POLL_SECONDS)
    before, begun = cpu_seconds(pid), time.perf_counter()
    time.sleep(LOOK_SECONDS)
    share = (cpu_seconds(pid) - before) / (time.perf_counter() - begun)
    assert _alive() == JOBS
    report.add("jobs waiting at a polled provider, one worker process", JOBS, "jobs")
    report.add("  its threads, above idle", _threads(pid) - idle_threads, "threads", aim="0")
    report.add("  its memory, above idle", memory_mb(pid, "VmRSS") - idle, "MB")
    report.add(f"  its CPU, each job polled every {POLL_SECONDS:.0f} s", 100 * share, "% core")
    stand.stop()


def _accepted() -> int:
    with transaction() as conn:
        row = conn.execute("select count(*) from attempts where phase = 'accepted'").fetchone()
    return int(row[0]) if row else 0


def _threads(pid: int) -> int:
    return len(os.listdir(Path("/proc") / str(pid) / "task"))
