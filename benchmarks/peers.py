"""`python -m benchmarks.peers NAME COUNT`: no-op tasks per second of another task queue, eight at once, one process."""

import os
import subprocess
import sys
import time

import redis

REDIS_URL = os.environ["REDIS_URL"]
COUNTER = "bench:done"


def rate(total: int, client: "redis.Redis") -> float:
    """Per second between 5 % and 95 % done."""
    begun = at_low = 0.0
    end = time.monotonic() + 120
    while time.monotonic() < end:
        done, now = int(client.get(COUNTER) or 0), time.perf_counter()
        if not begun and done >= total * 0.05:
            begun, at_low = now, done
        if begun and done >= total * 0.95:
            return (done - at_low) / (now - begun)
        time.sleep(0.02)
    raise RuntimeError("not done in time")


def main() -> None:
    name, count = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        WORKERS[name]()
        return
    with redis.Redis.from_url(REDIS_URL) as client:
        client.delete(COUNTER)
        SENDERS[name](count)
        worker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers", name, "0", "work"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            print(rate(count, client))
        finally:
            worker.terminate()
            worker.wait()
            client.delete(COUNTER)


# The task counts itself in Redis: the cheapest way to see from outside how many are done. Ours is counted in Postgres.
_client = redis.Redis.from_url(REDIS_URL)


def count_one() -> None:
    _client.incr(COUNTER)


def _dramatiq():  # type: ignore[no-untyped-def]  # it ships no types
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=REDIS_URL, namespace="bench-dramatiq")
    dramatiq.set_broker(broker)
    return broker, dramatiq.actor(queue_name="bench", broker=broker)(_noop)


def _noop() -> None:
    count_one()


def send_dramatiq(count: int) -> None:
    broker, actor = _dramatiq()
    broker.flush_all()
    for _ in range(count):
        actor.send()


def work_dramatiq() -> None:
    import dramatiq

    broker, _ = _dramatiq()
    worker = dramatiq.Worker(broker, worker_threads=8)
    worker.start()
    time.sleep(600)


def _celery():  # type: ignore[no-untyped-def]  # it ships no types
    from celery import Celery

    app = Celery("bench", broker=REDIS_URL)
    app.conf.update(task_ignore_result=True, task_default_queue="bench-celery", broker_connection_retry_on_startup=True)
    return app, app.task(name="noop")(_noop)


def send_celery(count: int) -> None:
    app, task = _celery()
    app.control.purge()
    for _ in range(count):
        task.delay()


def work_celery() -> None:
    app, _ = _celery()
    app.worker_main(
        [
            "worker",
            "--pool",
            "threads",
            "--concurrency",
            "8",
            "--loglevel",
            "ERROR",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _procrastinate():  # type: ignore[no-untyped-def]  # it ships no types
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))
    return app, app.task(name="noop", queue="bench")(_noop)


def send_procrastinate(count: int) -> None:
    import asyncio

    import psycopg

    app, task = _procrastinate()

    async def go() -> None:
        async with app.open_async():
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
                if conn.execute("select to_regclass('procrastinate_jobs')").fetchone() == (None,):
                    await app.schema_manager.apply_schema_async()
            await task.batch_defer_async(*({} for _ in range(count)))

    asyncio.run(go())


def work_procrastinate() -> None:
    import asyncio

    app, _ = _procrastinate()

    async def go() -> None:
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=8, delete_jobs="never")

    asyncio.run(go())


SENDERS = {"dramatiq": send_dramatiq, "celery": send_celery, "procrastinate": send_procrastinate}
WORKERS = {"dramatiq": work_dramatiq, "celery": work_celery, "procrastinate": work_procrastinate}

if __name__ == "__main__":
    main()
