"""The same with few and with many jobs stored: cost per job must not grow with what is stored. Both databases pass their own audit."""

import time
from statistics import median

from benchmarks import queues
from benchmarks.stand import Report, Stand
from models.db import transaction
from scheduler.duties import results

FEW, MANY, MILLIONS = 10_000, 1_000_000, 5_000_000
ROUNDS = 5
SWEPT = 2_000


def measure(stand: Stand, report: Report) -> None:
    """A million beside ten thousand."""
    _compare(stand, report, MANY)


def measure_millions(stand: Stand, report: Report) -> None:
    """Five million beside ten thousand. The filling takes most of an hour."""
    _compare(stand, report, MILLIONS)


def _compare(stand: Stand, report: Report, many: int) -> None:
    """Two databases of one server in turns, so that a machine that slows down meanwhile slows both; medians."""
    sizes = (FEW, many)
    keys = {size: stand.fresh(stored_jobs=size, database=f"stored_{size}") for size in sizes}
    found: dict[str, dict[int, list[float]]] = {}
    for number in range(ROUNDS):
        for size in sizes if number % 2 == 0 else sizes[::-1]:
            stand.use(f"stored_{size}")
            for name, value in _round(stand, keys[size]).items():
                found.setdefault(name, {}).setdefault(size, []).append(value)
            print(f"\r  round {number + 1} of {ROUNDS}, {size:,} stored" + " " * 20, end="", flush=True)
    print("\r" + " " * 60 + "\r", end="", flush=True)
    for name, by_size in found.items():
        few, value = median(by_size[FEW]), median(by_size[many])
        cost = name.endswith("ms")
        report.add(f"{name.removesuffix(', ms')}, {many:,} stored", value, "ms" if cost else "1/s", ratio=value / few,
                   to=f"{FEW:,} {few:,.1f}", aim="< 1.05" if cost else "0.95")  # fmt: skip


def _round(stand: Stand, keys: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    stand.start("api")
    stand.load(keys, clients=16, seconds=2)
    found["submits, 16 clients"] = stand.load(keys, clients=16, seconds=3)["rate"]
    with transaction() as conn:
        paths = [
            f"/v1/jobs/{row[0]}"
            for row in conn.execute(
                """select (select j.id from jobs j where j.account_id = a.id order by j.id offset 20 limit 1) from accounts a order by a.id"""
            ).fetchall()
        ]
    found["GET of an old job, 16 clients"] = stand.load(keys, clients=16, seconds=2, method="GET", path=paths)["rate"]
    stand.stop()
    stand.clear_runs()
    spent = queues.throughput(stand, 16)
    found["jobs from ring to settled, 16 threads"] = spent.rate
    found["processor time per job, ms"] = spent.milliseconds
    found["results swept"] = _sweep()
    return found


def _sweep() -> float:
    with transaction() as conn:
        conn.execute(
            """update assets set expires_at = app_now() where id in
                 (select id from assets where status = 'stored' and expires_at > app_now() order by id limit %s)""",
            [SWEPT],
        )
    begun = time.perf_counter()
    while results.expire_results(500):
        pass
    return SWEPT / (time.perf_counter() - begun)
