"""How long a small tenant waits behind a large one: 5,000 jobs of one account, and a minute later 5 jobs each of 20 others; with the
large one away, with it, and with the same load on plain Dramatiq, whose line is first in, first out.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from uuid import UUID

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import psycopg
import redis
from uuid_utils.compat import uuid7

from benchmarks.queues import alive
from benchmarks.stand import RESULTS, Report, Stand, _entry
from common.settings import settings
from models.catalogue import entries
from models.db import transaction
from models.jobs.admission import Accepted, Order
from models.jobs.dispatch import Ring
from models.jobs.submit import submit
from workers.doorbell import ring

LARGE, SMALL, EACH = 5000, 20, 5
LATER_SECONDS = 60.0
ROUND_SECONDS = 0.25  # that a provider takes: one round of all slots
THREADS = 16
MODEL = "bench-fair"
STARTED = "bench:started"  # of Dramatiq's tasks: how long each waited, in seconds


def measure(stand: Stand, report: Report) -> None:
    """The same load three times, and a picture of how long each of the small tenants' jobs waited."""
    alone, beside = _waits(stand, large=0), _waits(stand, large=LARGE)
    fifo_alone, fifo = _fifo_waits(large=0), _fifo_waits(large=LARGE)
    rounds = (median(beside) - median(alone)) / ROUND_SECONDS
    report.add(f"wait of {SMALL} tenants with {EACH} jobs each, nobody else, p50", median(alone), "s")
    report.add(
        f"  behind one with {LARGE:,} jobs, p50", median(beside), "s", ratio=median(beside) / median(alone),
        to=f"nobody else {median(alone):.2f} s",
    )  # fmt: skip
    report.add(f"  longer by, in rounds of {ROUND_SECONDS:g} s", rounds, "rounds", aim="< 2")
    report.add("  the longest of theirs", max(beside), "s")
    report.add("  Dramatiq, nobody else, p50", median(fifo_alone), "s")
    report.add(
        f"  Dramatiq, behind {LARGE:,}, p50", median(fifo), "s", ratio=median(beside) / median(fifo),
        to=f"Dramatiq {median(fifo):.1f} s (ours / its)",
    )  # fmt: skip
    _draw({"nobody else": alone, f"Headrace, behind {LARGE:,}": beside, f"plain Dramatiq, behind {LARGE:,}": fifo})


def _waits(stand: Stand, *, large: int) -> list[float]:
    """From commit to claim, of each job of the small ones, in seconds."""
    stand.fresh()
    with transaction() as conn:
        entries.apply(conn, [_entry(MODEL, delay_seconds=ROUND_SECONDS)])
        conn.execute("update plans set slots = %s where id = 'bench'", [THREADS])
    stand.start("worker", "scheduler", arguments=f"--threads {THREADS}")
    accounts = _accounts()
    _order(accounts[-1:])  # once it has ended, the worker is there
    _until(lambda: alive() == 0, "the first job's end")
    if large:
        _order([accounts[0]] * large)
        time.sleep(LATER_SECONDS)
        left = alive()
        assert left > 2 * THREADS * EACH, f"only {left} are left of the large one: there is nothing to wait behind"
    small = _order([each for each in accounts[1 : SMALL + 1] for _ in range(EACH)])
    with psycopg.connect(settings().database_url, autocommit=True) as conn:
        waiting = "select count(*) from jobs where id = any(%s) and started_at is null"
        _until(lambda: conn.execute(waiting, [small]).fetchone() == (0,), "the start of the small tenants' jobs")
        rows = conn.execute(
            "select extract(epoch from started_at - created_at)::float from jobs where id = any(%s)", [small]
        ).fetchall()
    stand.stop()
    stand.clear_runs()
    return [row[0] for row in rows]


def _until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 180
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come in time")
        time.sleep(0.1)


def _accounts() -> list[UUID]:
    with transaction() as conn:
        return [row[0] for row in conn.execute("select id from accounts order by id").fetchall()]


def _order(accounts: Sequence[UUID]) -> list[UUID]:
    """Submit a job for each of these, in this order, and ring."""
    ids, rings = list[UUID](), list[Ring]()
    with transaction() as conn:
        offer = entries.offers(conn)[MODEL]
    for begin in range(0, len(accounts), 100):
        orders = [Order(uuid7(), each, offer, {"prompt": "a harbour"}) for each in accounts[begin : begin + 100]]
        with transaction() as conn:
            answers = submit(conn, orders, wait=True)
        taken = [each for each in answers if isinstance(each, Accepted)]
        assert len(taken) == len(orders), "all are accepted"
        ids += [each.job_id for each in taken]
        rings += [Ring(each.job_id, each.queue) for each in taken if each.dispatched]
    ring(rings)
    return ids


def _fifo_waits(*, large: int) -> list[float]:
    """The same on plain Dramatiq, one process of as many threads, and tasks that take as long."""
    with _fifo_worker(), redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        actor = _actor()
        actor.send("small", time.time())  # once it has begun, the worker is there
        _until(lambda: client.llen(STARTED) == 1, "Dramatiq's first task")
        client.delete(STARTED)
        for _ in range(large):
            actor.send("large", 0.0)
        if large:
            time.sleep(LATER_SECONDS)
        for _ in range(SMALL * EACH):
            actor.send("small", time.time())
        _until(lambda: client.llen(STARTED) >= SMALL * EACH, "the start of Dramatiq's tasks")
        return [float(each) for each in client.lrange(STARTED, 0, -1)]


def _actor():  # type: ignore[no-untyped-def]  # it ships no types
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=os.environ["REDIS_URL"], namespace="bench-fifo")
    dramatiq.set_broker(broker)
    client = redis.Redis.from_url(os.environ["REDIS_URL"])

    def wait(kind: str, sent: float) -> None:
        if kind == "small":
            client.rpush(STARTED, time.time() - sent)
        time.sleep(ROUND_SECONDS)

    return dramatiq.actor(queue_name="fifo", broker=broker, actor_name="wait")(wait)


@contextmanager
def _fifo_worker() -> Iterator[None]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fair"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def work() -> None:
    """Be Dramatiq's worker, until it is ended."""
    import dramatiq

    worker = dramatiq.Worker(_actor().broker, worker_threads=THREADS)
    worker.start()
    while True:
        time.sleep(600)


def _draw(waits: dict[str, list[float]]) -> None:
    """How many of the small tenants' jobs had begun after so long."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    for (name, each), color in zip(waits.items(), ("#8a8f98", "#3b6ea5", "#e4572e"), strict=True):
        axes.step(
            sorted(each),
            [(n + 1) / len(each) * 100 for n in range(len(each))],
            where="post",
            label=name,
            color=color,
            linewidth=2,
        )
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds after it was ordered")
    axes.set_ylabel("% of the small tenants' jobs begun")
    axes.set_title(
        f"One tenant has ordered {LARGE:,} jobs; a minute later {SMALL} others order {EACH} each", fontsize=10
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "fair.png", dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    work()
