"""No-op tasks of other task queues: `python -m benchmarks.peers NAME send COUNT` and `python -m benchmarks.peers NAME work THREADS`.

A task counts itself in Redis and leaves there how long it waited, in milliseconds: the cheapest way to be seen from outside.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
import redis

COUNTER, WAITS = "bench:done", "bench:waits"
NAMES = ("dramatiq", "celery", "procrastinate")


@cache
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["REDIS_URL"])


@contextmanager
def working(name: str, threads: int) -> Iterator[None]:
    """One worker process of a peer, with so many tasks at once, for the time of a block."""
    _redis().delete(COUNTER, WAITS)
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers", name, "work", str(threads)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()
        _redis().delete(COUNTER, WAITS)


def send(name: str, count: int) -> None:
    """Send tasks, from a process of its own, as a program would."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", name, "send", str(count)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-1500:]}")


def done() -> int:
    """How many tasks were done."""
    return int(_redis().get(COUNTER) or 0)


def waits() -> list[float]:
    """How long each lone task waited for a worker, in milliseconds."""
    return [float(each) for each in _redis().lrange(WAITS, 0, -1)]


def noop(sent_at: float) -> None:
    """What every peer's task does."""
    if sent_at:
        _redis().rpush(WAITS, 1000 * (time.time() - sent_at))
    _redis().incr(COUNTER)


LONE = 40  # tasks of a run for waits, each alone on an idle worker


def _send_all(send_one: Callable[[float], object], count: int) -> None:
    if count:
        for _ in range(count):
            send_one(0.0)
        return
    for number in range(LONE):
        time.sleep(0.25)
        send_one(time.time() if number >= LONE // 4 else 0.0)


def _dramatiq():  # type: ignore[no-untyped-def]  # it ships no types
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=os.environ["REDIS_URL"], namespace="bench-dramatiq")
    dramatiq.set_broker(broker)
    return broker, dramatiq.actor(queue_name="bench", broker=broker)(noop)


def send_dramatiq(count: int) -> None:
    _, actor = _dramatiq()
    _send_all(actor.send, count)


def work_dramatiq(threads: int) -> None:
    import dramatiq

    broker, _ = _dramatiq()
    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    time.sleep(600)


def _celery():  # type: ignore[no-untyped-def]  # it ships no types
    from celery import Celery

    app = Celery("bench", broker=os.environ["REDIS_URL"])
    app.conf.update(task_ignore_result=True, task_default_queue="bench-celery", broker_connection_retry_on_startup=True)
    return app, app.task(name="noop")(noop)


def send_celery(count: int) -> None:
    _, task = _celery()
    _send_all(task.delay, count)


def work_celery(threads: int) -> None:
    app, _ = _celery()
    app.worker_main(
        ["worker", "--pool", "threads", "--concurrency", str(threads), "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
    )  # fmt: skip


def _procrastinate():  # type: ignore[no-untyped-def]  # it ships no types
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))
    return app, app.task(name="noop", queue="bench")(noop)


def prepare_procrastinate() -> None:
    """Its tables, where they are not there."""
    app, _ = _procrastinate()

    async def go() -> None:
        async with app.open_async():
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
                if conn.execute("select to_regclass('procrastinate_jobs')").fetchone() == (None,):
                    await app.schema_manager.apply_schema_async()

    asyncio.run(go())


def send_procrastinate(count: int) -> None:
    app, task = _procrastinate()

    async def go() -> None:
        async with app.open_async():
            if count:
                await task.batch_defer_async(*({"sent_at": 0.0} for _ in range(count)))
                return
            for number in range(LONE):
                await asyncio.sleep(0.25)
                await task.defer_async(sent_at=time.time() if number >= LONE // 4 else 0.0)

    asyncio.run(go())


def work_procrastinate(threads: int) -> None:
    app, _ = _procrastinate()

    async def go() -> None:
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=threads, delete_jobs="never")

    asyncio.run(go())


SENDERS = {"dramatiq": send_dramatiq, "celery": send_celery, "procrastinate": send_procrastinate}
WORKERS = {"dramatiq": work_dramatiq, "celery": work_celery, "procrastinate": work_procrastinate}

if __name__ == "__main__":
    (SENDERS if sys.argv[2] == "send" else WORKERS)[sys.argv[1]](int(sys.argv[3]))
