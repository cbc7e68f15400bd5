"""The model's predictions beside a real system on this machine, at a fifth, half and four fifths of what it predicts that this machine can do."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.stand import Stand
from benchmarks.waiting import _count
from benchmarks.week.measuring import database_time, pickups_since, probe_machine, spending, until_empty
from benchmarks.week.world import (
    OPERATIONS,
    PARTS,
    THREADS,
    Costs,
    Far,
    Numbers,
    World,
    costs_of,
    entering,
    idling,
    lengthened,
    lightened,
    working,
)

CHECKED = Path(__file__).parent / "checked.json"
SHARES, SECONDS, WITHIN = (
    (0.2, 0.45, 0.7),
    20.0,
    0.2,
)  # of what fills it: where it is almost full, a wait hangs on the last hundredth
# One process of each kind, a provider that answers at once, and nobody who looks.
HERE = World(
    workers=1, api_processes=1, reads_per_job=0, lists_per_job=0, fars=(Far("here", 1, 0.01, 0.01, 0, 1e9, 1e9),)
)


class Row(NamedTuple):
    """One figure, as it was predicted and as it was."""

    load: float
    what: str
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        return self.measured / self.predicted

    @property
    def is_near(self) -> bool:
        return abs(self.ratio - 1) <= WITHIN


def spent_at(costs: Costs, rate: float) -> Numbers:
    """Milliseconds of processor time a second, by part, of one process of each kind."""
    spent = idling(HERE, costs) + rate * (entering(HERE, costs, rate) + working(HERE, costs, rate)[0])
    return np.where(np.arange(len(PARTS)) == THREADS, 0.0, spent)


def capacity(costs: Costs, cores: float) -> float:
    """Jobs a second that fill so many cores, which all parts share."""
    low, high = 0.0, 1e5
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if spent_at(costs, middle).sum() < 1000 * cores else (low, middle)
    return low


def predicted(costs: Costs, rate: float, cores: float) -> dict[str, float]:
    """What is expected of a load: milliseconds a second of each part, jobs a second, and the median of the wait."""
    spent = spent_at(costs, rate)
    busy = float(spent.sum()) / 1000 / cores
    parts = {f"{part}, ms/s": float(value) for part, value in zip(PARTS, spent, strict=True) if value > 0}
    wait = costs.pickup_ms * lightened(HERE, costs, rate) * float(lengthened(np.array(busy), np.array(cores)))
    return {**parts, "jobs/s": min(rate, capacity(costs, cores)), "median wait, ms": wait}


def slowed(costs: Costs, times: float) -> Costs:
    """The same costs on cores that take so many times as long."""
    made = {name: getattr(costs, name) for name in OPERATIONS}
    made = {name: each._replace(costs=each.costs * times) for name, each in made.items()}
    return Costs(**made, idle=costs.idle * times, duties=costs.duties * times, pickup_ms=costs.pickup_ms * times)


def check(stand: Stand, measured: dict[str, Any], show: Callable[[str], None] = print) -> dict[str, Any]:
    """Drive the real system and compare."""
    costs, probed = costs_of(measured), [probe_machine()]
    cores, slower = probed[0].cores, probed[0].yardstick_ms / measured["yardstick_ms"]
    full = capacity(slowed(costs, slower), cores)
    keys = stand.fresh()
    stand.start("api", "worker", "scheduler", arguments="--threads 8")
    stand.load(keys, clients=8, seconds=1)
    until_empty()
    rows = list[Row]()
    show(
        f"{cores:.2f} cores to be had, {slower:.2f} times as slow as when costs were measured; predicted to be full at {full:.0f} jobs/s; load average {os.getloadavg()[0]:.1f}"
    )
    for share in SHARES:
        load, begun = share * full, database_time()
        with spending() as spent:
            stand.load(keys, clients=64, seconds=SECONDS, pace=load)
            ended = _count(f"select count(*) from jobs where ended_at >= '{begun}'")
        seen = {**{f"{part}, ms/s": value for part, value in spent.items()}, "jobs/s": ended / spent["seconds"]}
        seen["median wait, ms"] = median(pickups_since(begun))
        # What a piece of work takes here changes within minutes: that of before and after each load counts for it.
        probed.append(probe_machine())
        now = sum(each.yardstick_ms for each in probed[-2:]) / 2 / measured["yardstick_ms"]
        expected = predicted(slowed(costs, now), load, cores)
        rows += [Row(load, what, value, seen.get(what, 0.0)) for what, value in expected.items()]
        for row in rows:
            if row.load == load:
                show(
                    f"  {load:6.0f}/s  {row.what:<18} {row.predicted:9.1f} {row.measured:9.1f} {row.ratio:6.2f}{'' if row.is_near else '  off'}"
                )
        until_empty()
    stand.stop()
    return {"date": datetime.now(UTC).date().isoformat(), "cores": round(cores, 2), "slower": round(median(each.yardstick_ms for each in probed) / measured["yardstick_ms"], 2), "capacity": round(full, 1),
            "load_average": round(os.getloadavg()[0], 1), "rows": [[round(v, 2) if isinstance(v, float) else v for v in row] for row in rows]}  # fmt: skip


def write_checked(found: dict[str, Any]) -> None:
    CHECKED.write_text(json.dumps(found, indent=1) + "\n")


def read_checked() -> dict[str, Any] | None:
    """The last comparison, or None: there was none."""
    return json.loads(CHECKED.read_text()) if CHECKED.exists() else None
