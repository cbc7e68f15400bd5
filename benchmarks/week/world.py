"""What the week is played with: tenants, providers, machines, and the costs that were measured. All of it pure but for one read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MEASURED = Path(__file__).parent / "measured.json"
# Threads are a part as well: one that a provider's call holds is busy, though it costs no processor time.
PARTS = ("API", "worker", "threads", "PostgreSQL", "Redis", "S3")
API, WORKER, THREADS, POSTGRES, REDIS, S3 = range(6)
# What has a part in each; what is seen elsewhere meanwhile is another's.
OPERATIONS = {
    "submit": ("API", "PostgreSQL", "Redis"), "job": ("worker", "PostgreSQL", "Redis", "S3"), "poll": ("worker", "PostgreSQL", "Redis"),
    "read": ("API", "PostgreSQL"), "list": ("API", "PostgreSQL"),
}  # fmt: skip
NOTHING = 1e-9  # milliseconds: so that all costs have a logarithm


class Operation(NamedTuple):
    """Milliseconds of each part for one, as measured where one process did so many a second: a row for each rate, lowest first."""

    rates: Numbers
    costs: Numbers

    def at(self, rate: float) -> Numbers:
        """The cost where one process does so many a second: between two measured rates it falls by a power of the rate."""
        place, known = np.log(max(rate, NOTHING)), np.log(self.rates)
        return np.exp([np.interp(place, known, part) for part in np.log(np.maximum(self.costs, NOTHING)).T])


def shared(rates: Sequence[float], costs: Sequence[Numbers]) -> Operation:
    """What was measured, without its noise: with fewer nothing costs less than together, and more load is never less work."""
    dearest = np.maximum.accumulate(np.array(costs)[::-1])[::-1]
    work = np.maximum.accumulate(dearest * np.array(rates)[:, None])
    return Operation(np.array(rates), work / np.array(rates)[:, None])


class Costs(NamedTuple):
    """What this project's own measurements say. `idle` is milliseconds a second of an API process that has nothing to do, and of a
    worker with what it asks of the rest; `duties` those of the scheduler, which are done once.
    """

    submit: Operation
    job: Operation
    poll: Operation
    read: Operation
    list: Operation
    idle: Numbers
    duties: Numbers
    pickup_ms: float


def vector(by_part: dict[str, float]) -> Numbers:
    return np.array([by_part.get(part, 0.0) for part in PARTS])


def costs_of(measured: dict[str, Any]) -> Costs:
    """The costs out of what `measured.json` holds."""
    found = {}
    for name, parts in OPERATIONS.items():
        given = measured["costs"][name]
        costs = [vector({part: each["cost"].get(part, 0) for part in parts}) for each in given]
        found[name] = shared([each["per_second"] for each in given], costs)
    idle, duties = (vector(measured[f"{name}_ms_per_second"]) for name in ("idle", "duties"))
    return Costs(**found, idle=idle, duties=duties, pickup_ms=measured["pickup_ms"])


def read_measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text())
    return found


@dataclass(frozen=True)
class Far:
    """A provider: its share of all jobs, how long it takes, how long that holds a thread, polls of a job, and its limits."""

    name: str
    share: float
    seconds: float
    holds_seconds: float
    polls: float
    per_second: float
    at_once: float
    outage_hours: tuple[float, float] = (0, 0)  # from, until, counted from Monday, 0:00

    @property
    def ceiling(self) -> float:
        """Jobs a second, of all providers', at which this one is full."""
        return min(self.per_second, self.at_once / self.seconds) / self.share


FARS = (
    Far("swift", 0.55, 4, 4.0, 0, 250, 1500, (62, 63)),  # pictures; the call holds its thread
    Far("canvas", 0.35, 25, 0.6, 5, 180, 6000, (10, 10.5)),  # pictures, polled
    Far("film", 0.10, 120, 3.0, 8, 50, 6000, (130, 136)),  # films, polled; 3 s to fetch and store one
)


@dataclass(frozen=True)
class World:
    """The machines of an installation. Prices are list prices of a large cloud, rounded: dollars a month."""

    workers: int = 100
    threads: int = 8
    worker_hosts: int = 20
    host_cores: int = 8
    api_processes: int = 16
    primaries: int = 1
    primary_cores: int = 16
    replica_cores: int = 0
    redis_cores: int = 1
    s3_cores: int = 16
    pooled: bool = False
    broker_apart: bool = False
    max_connections: int = 1500
    reads_per_job: float = 4.0
    lists_per_job: float = 0.5
    fair: bool = True
    fars: tuple[Far, ...] = FARS

    @property
    def budget(self) -> Numbers:
        """Milliseconds that each part has in a second. A Python process has one core at most."""
        worker = min(self.workers, self.worker_hosts * self.host_cores)
        cores = [self.api_processes, worker, self.workers * self.threads, self.primaries * self.primary_cores]
        return np.array([*cores, self.redis_cores, self.s3_cores], dtype=float) * 1000

    @property
    def connections(self) -> int:
        """To each primary: pools of the API, threads and two more of a worker; behind a pooler four for each core."""
        return 4 * self.primary_cores if self.pooled else self.api_processes * 8 + self.workers * (self.threads + 2)

    @property
    def dollars(self) -> float:
        """A month's machines: 25 for a core, 60 for one of a database with its disk; S3's and the providers' bills are not ours."""
        plain = self.worker_hosts * self.host_cores + self.api_processes + 4 * (1 + self.broker_apart) + 2 * self.pooled
        return 25.0 * plain + 60.0 * (self.primaries * self.primary_cores + self.replica_cores)


def entering(world: World, costs: Costs, rate: float) -> Numbers:
    """Milliseconds of each part for one order and the looks at it, at so many orders a second."""
    look = costs.read.at(rate * world.reads_per_job / world.api_processes) * world.reads_per_job
    page = costs.list.at(rate * world.lists_per_job / world.api_processes) * world.lists_per_job
    if world.replica_cores:  # a job's own status stays the primary's
        page = np.where(np.arange(len(PARTS)) == POSTGRES, 0.0, page)
    return _relieved(world, costs.submit.at(rate / world.api_processes) + look + page)


def working(world: World, costs: Costs, rate: float) -> Numbers:
    """Milliseconds of each part for a job of each provider, from its ring to its end, polls included."""
    job, poll = costs.job.at(rate / world.workers), costs.poll.at(rate / world.workers)
    made = np.array([_relieved(world, job + poll * far.polls) for far in world.fars])
    made[:, THREADS] = [1000 * far.holds_seconds for far in world.fars]
    return made


def _relieved(world: World, cost: Numbers) -> Numbers:
    """A pooler costs a twentieth (0.95 of the rate, `python -m benchmarks pooler`); a broker apart takes half of Redis's work (assumed)."""
    factor = np.ones(len(PARTS))
    factor[POSTGRES] = 1.05 if world.pooled else 1.0
    factor[REDIS] = 0.5 if world.broker_apart else 1.0
    return cost * factor


def lightened(world: World, costs: Costs, rate: float) -> float:
    """What a job's work takes at so many a second, beside that of one which comes alone: less, since what comes together shares it."""
    mix = np.array([far.share for far in world.fars])
    now, alone = (
        np.delete(entering(world, costs, each) + mix @ working(world, costs, each), THREADS).sum()
        for each in (rate, 0.0)
    )
    return float(now / alone)


def lengthened(busy: Numbers, servers: Numbers) -> Numbers:
    """How many times as long work takes where so many serve one line and are busy for this share of the time (about M/M/c's)."""
    return 1 / (1 - np.minimum(0.99, busy) ** servers)


def idling(world: World, costs: Costs) -> Numbers:
    """Milliseconds a second that are spent though nothing is ordered: each worker's and API's own, and what workers ask of the rest."""
    return costs.idle * [world.api_processes, world.workers, 0, world.workers, world.workers, 0] + costs.duties


def utilisation(world: World, costs: Costs, rate: float) -> Numbers:
    """The share of each part that is used at so many jobs a second; above 1 it cannot be."""
    mix = np.array([far.share for far in world.fars])
    spent = idling(world, costs) + rate * (entering(world, costs, rate) + mix @ working(world, costs, rate))
    return np.asarray(spent / world.budget)


def saturations(world: World, costs: Costs) -> dict[str, float]:
    """Jobs a second at which each part is full, the first first."""
    found = {f"provider {far.name}": far.ceiling for far in world.fars}
    for at, part in enumerate(PARTS):
        low, high = 0.0, 1e6
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if utilisation(world, costs, middle)[at] < 1 else (low, middle)
        found[part] = low
    # Workers beyond the last connection do not start, and their threads are missing.
    found["connections"] = found["threads"] * world.max_connections / world.connections
    return dict(sorted(found.items(), key=lambda item: item[1]))


def raised(world: World, times: float = 2) -> World:
    """The same with larger limits at each provider."""
    more = (replace(far, per_second=far.per_second * times, at_once=far.at_once * times) for far in world.fars)
    return replace(world, fars=tuple(more))


LARGEST_PRIMARY = 64  # cores
# The cheapest first.
REMEDIES: dict[str, Callable[[World], World]] = {
    "PgBouncer": lambda w: replace(w, pooled=True),
    "twice the limits at the providers": raised,
    "twice the API processes": lambda w: replace(w, api_processes=w.api_processes * 2),
    "RabbitMQ in place of Redis's queues": lambda w: replace(w, broker_apart=True),
    "twice the cores of S3": lambda w: replace(w, s3_cores=w.s3_cores * 2),
    "twice the workers and hosts": lambda w: replace(w, workers=w.workers * 2, worker_hosts=w.worker_hosts * 2),
    "a primary twice as large": lambda w: replace(w, primary_cores=min(LARGEST_PRIMARY, w.primary_cores * 2)),
    "a replica for reads": lambda w: replace(w, replica_cores=w.primary_cores),
    "accounts parted over two primaries": lambda w: replace(w, primaries=w.primaries * 2),
}


def ladder(world: World, costs: Costs, steps: int = 12) -> list[tuple[str, World]]:
    """Step by step: the cheapest remedy by which the whole bears at least a hundredth more, and the world with it."""
    taken = [("as it is", world)]
    while len(taken) <= steps:
        now = min(saturations(world, costs).values())
        made = ((name, change(world)) for name, change in REMEDIES.items())
        better = next((each for each in made if min(saturations(each[1], costs).values()) > 1.01 * now), None)
        if better is None:
            break
        taken.append(better)
        world = better[1]
    return taken


class Tenants(NamedTuple):
    """A row is one of the largest accounts, or a class of smaller ones, whose own slots hardly ever bind them."""

    rank: Numbers  # of the first in the row
    accounts: Numbers
    share: Numbers  # of all jobs
    slots: Numbers
    burst: Numbers  # jobs that are ordered at once

    @staticmethod
    def zipf(world: World, rate: float, accounts: int = 1_000_000, alone: int = 128) -> "Tenants":
        """Use falls with the rank (Zipf, exponent 1): each doubling of ranks orders as much as the one before it."""
        edges = sorted({*range(1, alone), *(min(alone * 2**n, accounts + 1) for n in range(40))})
        weight = 1 / np.arange(1, accounts + 1)
        shares = [weight[low - 1 : high - 1].sum() / weight.sum() for low, high in pairwise(edges)]
        count, share = np.diff(edges).astype(float), np.array(shares)
        each = rate * share / count
        held = sum(far.share * far.seconds for far in world.fars)
        return Tenants(
            np.array(edges[:-1], dtype=float), count, share,
            # A plan's slots fit three times the account's usual load, four at least; an hour's jobs come at once, 10,000 at most.
            np.maximum(4, np.ceil(3 * each * held)) * count, np.round(np.clip(each * 3600, 1, 10_000)),
        )  # fmt: skip
