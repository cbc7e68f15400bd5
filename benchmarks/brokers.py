"""`python -m benchmarks.brokers`: RabbitMQ for messages beside Redis, in turns on the same database: how soon an idle worker has a
lone job, how long the ring takes whoever orders, and jobs a second from their ring to settled (S3 put included). About a minute.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.queues import alive, place_jobs, watch
from benchmarks.stand import Report, Stand, stand
from common.settings import settings
from models.db import transaction
from tests.rabbits import PROGRAMS, Rabbit, rabbitmq
from workers import doorbell
from workers.doorbell import ring

ROUNDS, LONE, JOBS, THREADS = 3, 30, 400, 8
REDIS, RABBITMQ = "Redis", "RabbitMQ"


class Found(NamedTuple):
    """Of one carrier, over all rounds: milliseconds of each lone job and of its ring; jobs a second of each round."""

    picked: list[float]
    rung: list[float]
    rates: list[float]


def main() -> None:
    """Measure, and print."""
    if not (PROGRAMS / "rabbitmq-server").exists():
        sys.exit("RabbitMQ is not installed: make tools")
    with stand() as place, rabbitmq(Path(place.folder) / "rabbitmq") as rabbit:
        place.fresh()
        found = {REDIS: Found([], [], []), RABBITMQ: Found([], [], [])}
        for number in range(ROUNDS):
            for name in found if number % 2 == 0 else reversed(found):
                with _carried(place, rabbit if name == RABBITMQ else None):
                    _round(place, found[name])
        _tell(found)


@contextmanager
def _carried(place: Stand, rabbit: Rabbit | None) -> Iterator[None]:
    """Messages go this way, here and in processes that are started."""
    doorbell.close()
    place.flush_redis()
    value = rabbit.url if rabbit is not None else ""
    os.environ["BROKER_URL"] = place.environment["BROKER_URL"] = value
    settings.cache_clear()
    place.use("headrace")
    try:
        yield
    finally:
        doorbell.close()


def _round(place: Stand, found: Found) -> None:
    place.start("worker", arguments=f"--threads {THREADS}")
    time.sleep(2)
    for number in range(LONE + 3):
        rings = place_jobs(1)
        begun = time.perf_counter()
        assert ring(rings)
        took = 1000 * (time.perf_counter() - begun)
        while alive():
            time.sleep(0.005)
        with transaction() as conn:
            row = conn.execute(
                "select extract(epoch from started_at - created_at)::float from jobs where id = %s", [rings[0].job_id]
            ).fetchone()
        assert row is not None
        if number >= 3:
            found.picked.append(1000 * row[0])
            found.rung.append(took)
    place.stop()
    rings = place_jobs(JOBS)
    for begin in range(0, len(rings), 200):
        assert ring(rings[begin : begin + 200])
    place.start("worker", arguments=f"--threads {THREADS}")
    found.rates.append(watch(JOBS, lambda: JOBS - alive()).rate)
    while alive():
        time.sleep(0.05)
    place.stop()


def _tell(found: dict[str, Found]) -> None:
    report, base = Report(), found[REDIS]
    for name, each in found.items():
        rows = [("a lone job, commit to claim", each.picked, base.picked), ("its ring", each.rung, base.rung)]
        for what, values, theirs in rows:
            for share, of in (("median", median), ("p95", _p95)):
                _add(report, name, f"{what}, {share}", of(values), "ms", of(theirs))
        _add(
            report, name, f"jobs from ring to settled, {THREADS} threads", median(each.rates), "1/s", median(base.rates)
        )
        print(f"    rounds: {', '.join(f'{rate:.0f}' for rate in each.rates)}")


def _add(report: Report, name: str, what: str, value: float, unit: str, theirs: float) -> None:
    beside = name != REDIS
    report.add(f"{name}: {what}", value, unit, ratio=value / theirs if beside else None, to=REDIS)


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[18]


if __name__ == "__main__":
    main()
