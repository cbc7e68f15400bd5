"""A lone job on an idle system: how soon a worker has it, beside Procrastinate's; what is added to a provider's own time; the memory that a large
result takes.
"""

import time
from statistics import median, quantiles

import httpx

from benchmarks import peers
from benchmarks.queues import place_jobs
from benchmarks.stand import Report, Stand, _entry, memory_mb
from models.catalogue import entries
from models.db import transaction
from workers.doorbell import ring

LONE, SLOW = 100, 30


def measure(stand: Stand, report: Report) -> None:
    """Pickup, and the whole of a job over HTTP with a provider that takes half a second."""
    secrets = stand.fresh()
    peers.prepare_procrastinate()
    theirs: list[float] = []
    with peers.working("procrastinate", 8):
        time.sleep(3)
        peers.send("procrastinate", 0)
        theirs = peers.waits()
    stand.start("api", "worker", "scheduler", arguments="--threads 8")
    time.sleep(3)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{stand.port}", headers={"authorization": f"Bearer {secrets[0]}"}
    ) as http:
        for _ in range(5):
            _until_ended(http, http.post("/v1/jobs", json={"model": "bench", "input": {}}).json()["id"])
        begun = _now()
        for model in ["bench"] * LONE + ["bench-slow"] * SLOW:
            time.sleep(0.25)
            _until_ended(http, http.post("/v1/jobs", json={"model": model, "input": {}}).json()["id"])
    with transaction() as conn:
        picked, written, whole = (
            [float(row[0]) for row in conn.execute(statement, [begun]).fetchall()]
            for statement in (_PICKED, _WRITTEN, _WHOLE)
        )
    report.add("pickup of a lone job, begin of its submit to claim, p50", median(picked), "ms",
               ratio=median(picked) / median(theirs), to=f"Procrastinate's {median(theirs):.1f} ms")  # fmt: skip
    report.add("  of it: until the submit was committed, p50", median(written), "ms")
    report.add("pickup of a lone job, p50", median(picked), "ms", aim="< 3")
    report.add("pickup of a lone job, p99", quantiles(picked, n=100)[98], "ms", aim="< 15")
    report.add("added to a provider's own 500 ms, submit to settled, p50", median(whole) - 500, "ms", aim="< 8")
    _memory(stand, report)
    stand.stop()


def _now() -> object:
    with transaction() as conn:
        row = conn.execute("select app_now()").fetchone()
    return row[0] if row else None


def _until_ended(http: httpx.Client, job_id: str) -> None:
    while http.get(f"/v1/jobs/{job_id}").json()["ended_at"] is None:
        time.sleep(0.02)


def _memory(stand: Stand, report: Report) -> None:
    """Peak memory of the worker while it stores a result of 200 MB, above what it had idle."""
    with transaction() as conn:
        entry = _entry("bench-large", kind="video", instant=False, size_bytes=200_000_000)
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
        rings = place_jobs(1, model)
        ring(rings)
        while True:
            with transaction() as conn:
                row = conn.execute("select ended from jobs where id = %s", [rings[0].job_id]).fetchone()
            if row and row[0]:
                assert row[0] == "succeeded"
                break
            time.sleep(0.1)
    report.add("peak memory of a worker storing 200 MB, above a small film", memory_mb(pid) - idle, "MB", aim="< 40")


_PICKED = """
select extract(epoch from started_at - created_at) * 1000 from jobs
 where model_id = 'bench' and ended = 'succeeded' and created_at >= %s"""
_WRITTEN = """
select extract(epoch from pg_xact_commit_timestamp(l.xmin) - j.created_at) * 1000 from jobs j join ledger_entries l on l.job_id = j.id
 where j.model_id = 'bench' and j.ended = 'succeeded' and j.created_at >= %s and l.kind = 'reserve'"""
_WHOLE = """
select extract(epoch from ended_at - created_at) * 1000 from jobs where model_id = 'bench-slow' and created_at >= %s"""
