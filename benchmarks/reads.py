"""GET /v1/jobs/{id}, beside the same endpoint on an ORM session."""

import subprocess
import sys
import time
from statistics import median

import httpx

from benchmarks.stand import Report, Stand
from cli.embedded.servers import free_ports
from models.db import transaction

ROUNDS = 3
SECONDS = 2.0


def measure(stand: Stand, report: Report) -> None:
    """The same jobs, the same load, one endpoint after the other."""
    keys = stand.fresh()
    stand.start("api")
    stand.load(keys, clients=16, seconds=1)
    with transaction() as conn:
        rows = conn.execute(
            "select distinct on (account_id) account_id, id from jobs order by account_id, id"
        ).fetchall()
    paths = [f"/v1/jobs/{row[1]}" for row in rows][:16]
    port = free_ports(1)[0]
    peer = subprocess.Popen([sys.executable, "-m", "benchmarks.orm_endpoint", str(port)])
    try:
        _wait(port)
        own, other = [], []
        for _ in range(ROUNDS):
            own.append(stand.load(keys[: len(paths)], clients=16, seconds=SECONDS, method="GET", path=paths)["rate"])
            stand.port, before = port, stand.port
            other.append(stand.load(keys[: len(paths)], clients=16, seconds=SECONDS, method="GET", path=paths)["rate"])
            stand.port = before
    finally:
        peer.terminate()
        peer.wait()
    report.add(
        "GET /v1/jobs/{id}, 16 clients",
        median(own),
        "1/s",
        ratio=median(own) / median(other),
        to=f"an ORM session {median(other):,.0f}",
        aim="2.70",
    )
    stand.stop()


def _wait(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the ORM endpoint does not start")
