"""Jobs per second from submit to settled, S3 put included, beside no-op tasks of Dramatiq, Celery and Procrastinate;
how soon a lone job starts; what is added to a provider's own time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from benchmarks.stand import Report, Stand, memory_mb
from models.catalogue import entries
from models.db import transaction
from models.jobs.admission import Accepted, Order
from models.jobs.dispatch import Ring
from models.jobs.submit import submit
from workers.doorbell import ring

JOBS = 3000
TASKS = 6000


def _place(count: int, model: str = "bench") -> list[Ring]:
    """Submit through the verb, in batches; the messages are sent afterwards."""
    rings: list[Ring] = []
    with transaction() as conn:
        offer = entries.offers(conn)[model]
        accounts: list[UUID] = [row[0] for row in conn.execute("select id from accounts order by id").fetchall()]
    for begin in range(0, count, 100):
        orders = [
            Order(uuid7(), accounts[n % len(accounts)], offer, {"prompt": "a harbour at dawn", "seed": 7})
            for n in range(begin, min(begin + 100, count))
        ]
        with transaction() as conn:
            answers = submit(conn, orders, wait=True)
        rings += [Ring(a.job_id, a.queue) for a in answers if isinstance(a, Accepted)]
    return rings


def _alive() -> int:
    """Living jobs: a table that is as small as what is alive, so that counting costs the run nothing."""
    with transaction() as conn:
        row = conn.execute("select count(*) from job_runs").fetchone()
    return int(row[0]) if row else 0


def _rate(total: int, count: Callable[[], int]) -> float:
    """Per second between 5 % and 95 % done."""
    low, high = total * 0.05, total * 0.95
    begun = at_low = None
    end = time.monotonic() + 180
    while time.monotonic() < end:
        done, now = count(), time.perf_counter()
        if begun is None and done >= low:
            begun, at_low = now, done
        if begun is not None and at_low is not None and done >= high:
            return (done - at_low) / (now - begun)
        time.sleep(0.05)
    raise RuntimeError(f"only {count()} of {total} were done in time")


def throughput(stand: Stand, report: Report | None, *, label: str = "") -> float:
    """Jobs per second with one worker process of eight threads."""
    stand.start("worker", arguments="--threads 8")
    time.sleep(2)
    rings = _place(JOBS)
    for begin in range(0, len(rings), 500):
        ring(rings[begin : begin + 500])
    rate = _rate(JOBS, lambda: JOBS - _alive())
    stand.stop()
    if report:
        report.add(f"jobs from submit to settled, S3 put included{label}", rate, "1/s")
    return rate


def peers(report: Report, own: float) -> None:
    """No-op tasks of three task queues, one process of eight threads each."""
    for name, aim in (("dramatiq", "0.35"), ("celery", ""), ("procrastinate", "1.00")):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.peers", name, str(TASKS if name == "dramatiq" else 3000)],
            capture_output=True, text=True, check=False, env=os.environ.copy(),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-1500:]}")
        rate = float(done.stdout.split()[-1])
        report.add(
            f"  no-op tasks of {name}, 8 at once", rate, "1/s", ratio=own / rate, to=f"{name} (ours / its)", aim=aim
        )


def latency(stand: Stand, report: Report) -> None:
    """A lone job on an idle worker: pickup, and the whole of it over HTTP with a provider that takes half a second."""
    secrets = stand.fresh()
    stand.start("api", "worker", "scheduler", arguments="--threads 8")
    time.sleep(3)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{stand.port}", headers={"authorization": f"Bearer {secrets[0]}"}
    ) as http:
        for _ in range(2):
            _until_ended(http, http.post("/v1/jobs", json={"model": "bench", "input": {}}).json()["id"])
        for model in ["bench"] * 20 + ["bench-slow"] * 12:
            time.sleep(0.35)
            _until_ended(http, http.post("/v1/jobs", json={"model": model, "input": {}}).json()["id"])
    with transaction() as conn:
        picked = conn.execute(
            "select extract(epoch from started_at - created_at) * 1000 from jobs where model_id = 'bench' and ended = 'succeeded'"
        ).fetchall()
        whole = conn.execute(
            "select extract(epoch from ended_at - created_at) * 1000 from jobs where model_id = 'bench-slow'"
        ).fetchall()
    report.add("pickup of a lone job, commit to claim, p50", median(float(row[0]) for row in picked), "ms", aim="< 5")
    report.add(
        "added to a provider's own 500 ms, submit to settled, p50",
        median(float(row[0]) for row in whole) - 500,
        "ms",
        aim="< 25",
    )
    _memory(stand, report)
    stand.stop()


def _until_ended(http: httpx.Client, job_id: str) -> None:
    while http.get(f"/v1/jobs/{job_id}").json()["ended_at"] is None:
        time.sleep(0.02)


def _memory(stand: Stand, report: Report) -> None:
    """Peak memory of the worker while it stores a result of 200 MB, above what it had idle."""
    from benchmarks.stand import _entry

    with transaction() as conn:
        entry = _entry("bench-large", instant=False, size_bytes=200_000_000)
        video = entry.model_copy(update={"routes": [entry.routes[0].model_copy(update={"model": "video"})]})
        entries.apply(conn, [video])
        small = entry.model_copy(
            update={
                "id": "bench-film",
                "routes": [entry.routes[0].model_copy(update={"model": "video", "options": {}})],
            }
        )
        entries.apply(conn, [small])
    pid = stand.processes.pid("worker")
    for model in ("bench-film", "bench-film", "bench-large"):
        if model == "bench-large":
            idle = memory_mb(pid)
        rings = _place(1, model)
        ring(rings)
        while True:
            with transaction() as conn:
                row = conn.execute("select ended from jobs where id = %s", [rings[0].job_id]).fetchone()
            if row and row[0]:
                assert row[0] == "succeeded"
                break
            time.sleep(0.1)
    report.add("peak memory of a worker storing 200 MB, above a small film", memory_mb(pid) - idle, "MB", aim="< 40")
