"""What a submit, a job, a poll and a status read cost, by part: alone, some together and as many as can be, on this machine, in about four
minutes.
"""

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from benchmarks.processor import cpu_by_part
from benchmarks.queues import alive, place_jobs, throughput
from benchmarks.stand import Stand, _entry
from benchmarks.waiting import _count, _leases
from benchmarks.week.world import MEASURED, OPERATIONS
from models.catalogue import entries
from models.db import transaction
from workers.doorbell import ring

SECONDS, FEW, SOME = 10.0, 15.0, 60.0  # how long each is looked at; so many a second count as alone, and as some
IDLE_WORKERS, IDLE_SECONDS = 5, 20.0  # a hundredth of a second more or less is then 0.1 ms a second of one worker
FEW_POLLED, MANY_POLLED, POLL_SECONDS = 20, 600, 2.0


class Machine(NamedTuple):
    """What there is to be had: cores beside what else runs here, and milliseconds of processor time that a fixed piece of work takes
    now: neighbours also make a core slower, and so what everything costs.
    """

    cores: float
    yardstick_ms: float


def probe_machine(seconds: float = 2.0) -> Machine:
    """Work on all cores for a while."""
    count = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        found = pool.map(_burn, [seconds] * count, chunksize=1)
    return Machine(sum(each.cores for each in found), median(each.yardstick_ms for each in found))


def _burn(seconds: float) -> Machine:
    begun, used, pieces = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < seconds:
        json.loads(json.dumps({str(key): [key] * 8 for key in range(500)}))
        pieces += 1
    spent = time.process_time() - used
    return Machine(spent / (time.perf_counter() - begun), 1000 * spent / pieces)


@contextmanager
def spending() -> Iterator[dict[str, float]]:
    """Milliseconds a second by part, filled in at the end of the block, and how long that was."""
    found: dict[str, float] = {}
    before, begun = cpu_by_part(), time.perf_counter()
    yield found
    found["seconds"] = time.perf_counter() - begun
    found |= {part: 1000 * (used - before.get(part, 0)) / found["seconds"] for part, used in cpu_by_part().items()}


def each(spent: dict[str, float], idle: dict[str, float], rate: float) -> dict[str, float]:
    """Milliseconds for one, by part, above what is spent when nothing happens."""
    parts = {part: (value - idle.get(part, 0)) / rate for part, value in spent.items() if part != "seconds"}
    return {part: round(value, 4) for part, value in parts.items() if value > 0.001 and part != "scheduler"}


def less(cost: dict[str, float], known: dict[str, float]) -> dict[str, float]:
    """What is left of a cost without the part of it that is known."""
    return {part: round(value - known.get(part, 0), 4) for part, value in cost.items() if value > known.get(part, 0)}


def until_empty() -> None:
    """Wait until no job lives."""
    while alive():
        time.sleep(0.1)


def pickups_since(begun: object) -> list[float]:
    """Milliseconds from each job's commit to its claim."""
    statement = "select extract(epoch from started_at - created_at)::float * 1000 from jobs where created_at >= %s and started_at is not null"
    with transaction() as conn:
        return [row[0] for row in conn.execute(statement, [begun]).fetchall()]


def database_time() -> object:
    with transaction() as conn:
        row = conn.execute("select app_now()").fetchone()
    return row[0] if row else None


def measure_costs(stand: Stand) -> dict[str, Any]:
    """All that `measured.json` holds."""
    load_before, probed = os.getloadavg(), [probe_machine()]
    found: dict[str, Any] = {name: [] for name in OPERATIONS}
    keys = stand.fresh()
    _measure_submits(stand, keys, found)
    probed.append(probe_machine())
    of_one, duties = _measured_idle(stand)
    stand.load(keys, clients=4, seconds=1)
    until_empty()
    with spending() as idle:
        time.sleep(4)
    for pace, submit in ((SOME, found["submit"][1]), (FEW, found["submit"][0])):
        begun = database_time()
        with spending() as spent:
            rate = stand.load(keys, clients=16, seconds=SECONDS, pace=pace)["rate"]
            until_empty()
        count = rate * SECONDS / spent["seconds"]
        found["job"].insert(0, _point(count, less(each(spent, idle, count), submit["cost"])))
    picked = pickups_since(begun)
    _measure_reads(stand, keys, idle, found)
    stand.stop()
    probed.append(probe_machine())
    together = throughput(stand, 8, jobs=1500)
    found["job"].append(
        _point(together.rate, {k: round(v, 4) for k, v in together.by_part.items() if k != "scheduler"})
    )
    found["poll"] = _measured_polls(stand)
    yardstick = median(each.yardstick_ms for each in [*probed, probe_machine()])
    return {
        "machine": f"{os.cpu_count()} cores for all parts together, {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python -m benchmarks.week --measure",
        "load_average": [round(value, 1) for value in (*load_before[:1], *os.getloadavg()[:1])],
        "costs": found, "pickup_ms": round(median(picked), 2), "yardstick_ms": round(yardstick, 3),
        "idle_ms_per_second": of_one, "duties_ms_per_second": duties,
    }  # fmt: skip


def _measured_idle(stand: Stand) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds a second of what has nothing to do: of one worker, or the API's process, with what it asks of the rest; and of
    the duties. Several workers, since a process's time comes in hundredths of a second.
    """
    with spending() as bare:
        time.sleep(IDLE_SECONDS)
    for count in range(1, IDLE_WORKERS + 1):
        stand.processes.start_one("worker", number=count, arguments="--threads 8")
    time.sleep(8)
    with spending() as several:
        time.sleep(IDLE_SECONDS)
    for count in range(2, IDLE_WORKERS + 1):
        stand.processes.stop(f"worker.{count}")
    stand.start("scheduler")
    time.sleep(4)
    with spending() as all_:
        time.sleep(IDLE_SECONDS)
    of_one = {
        part: (several.get(part, 0) - bare.get(part, 0)) / IDLE_WORKERS for part in ("worker", "PostgreSQL", "Redis")
    }
    rest = {part: all_.get(part, 0) - bare.get(part, 0) - of_one[part] for part in ("PostgreSQL", "Redis")}
    of_one["API"] = bare.get("API", 0)
    return _rounded(of_one), _rounded(rest)


def _rounded(spent: dict[str, float]) -> dict[str, float]:
    return {part: round(max(0.0, value), 2) for part, value in spent.items()}


def _measure_submits(stand: Stand, keys: list[str], found: dict[str, Any]) -> None:
    """With no worker there: what follows an order is not part of it."""
    stand.start("api")
    stand.load(keys, clients=16, seconds=1)
    with spending() as idle:
        time.sleep(2)
    found["submit"] = _each_way(
        idle, lambda pace, seconds: stand.load(keys, clients=16, seconds=seconds, pace=pace)["rate"]
    )
    stand.clear_runs()


def _measure_reads(stand: Stand, keys: list[str], idle: dict[str, float], found: dict[str, Any]) -> None:
    """A job's status, and a page of twenty jobs."""
    with transaction() as conn:
        rows = conn.execute("select (select j.id from jobs j where j.account_id = a.id limit 1) from accounts a order by a.id").fetchall()  # fmt: skip
    found["read"] = _each_way(idle, partial(_read, stand, keys, [f"/v1/jobs/{row[0]}" for row in rows]))
    found["list"] = _each_way(idle, partial(_read, stand, keys, ["/v1/jobs?limit=20"] * len(rows)))


def _read(stand: Stand, keys: list[str], paths: list[str], pace: float | None, seconds: float) -> float:
    return stand.load(keys, clients=16, seconds=seconds, pace=pace, method="GET", path=paths)["rate"]


def _each_way(idle: dict[str, float], load: Callable[[float | None, float], float]) -> list[dict[str, Any]]:
    """The cost of what a load asks for: of few, of some, and of as many as can be."""
    found = []
    for pace, seconds in ((FEW, SECONDS), (SOME, SECONDS), (None, SECONDS / 4)):
        with spending() as spent:
            rate = load(pace, seconds)
        found.append(_point(rate, each(spent, idle, rate * seconds / spent["seconds"])))
    return found


def _point(rate: float, cost: dict[str, float]) -> dict[str, Any]:
    return {"per_second": round(rate, 1), "cost": cost}


def _measured_polls(stand: Stand) -> list[dict[str, Any]]:
    """Jobs that wait at a polled provider for ever, few and many. Its book is in the worker's memory, as no far side's would be here."""
    stand.fresh()
    with transaction() as conn:
        entries.apply(conn, [_entry("bench-polled", pending=True, ready_seconds=1e8, poll_after_seconds=POLL_SECONDS)])
    command = [sys.executable, "-m", "benchmarks.waiting", "--threads", "8"]
    stand.start("scheduler")
    with subprocess.Popen(command, env={**os.environ, **stand.environment}, stderr=subprocess.DEVNULL) as worker:
        try:
            _polled(1, {})  # once it has polled, the worker has started
            with spending() as idle:
                time.sleep(2)
            found = [_polled(jobs, idle) for jobs in (FEW_POLLED, MANY_POLLED)]
        finally:
            worker.terminate()
    stand.stop()
    return found


def _polled(jobs: int, idle: dict[str, float]) -> dict[str, Any]:
    """The cost of a poll once all of these have been started and polled, and how many there were a second."""
    ring(place_jobs(jobs, "bench-polled"))
    while _count("select count(*) from attempts where phase = 'accepted'") < jobs:
        time.sleep(0.2)
    time.sleep(2 * POLL_SECONDS)
    before = _leases()
    with spending() as spent:
        time.sleep(SECONDS)
    rate = (_leases() - before) / spent["seconds"]
    return _point(rate, each(spent, idle, rate))


def write_measured(found: dict[str, Any]) -> None:
    MEASURED.write_text(json.dumps(found, indent=1) + "\n")
