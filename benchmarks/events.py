"""5,000 listeners on one API process while 200 jobs run: from the commit of an event to each client that hears it. Each job has three
events that are kept. A ping beside them tells how long an answer takes meanwhile that waits for no event.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from uuid_utils.compat import uuid7

from benchmarks.processor import cpu_seconds
from benchmarks.stand import Report, Stand, memory_mb
from models.catalogue import entries
from models.db import transaction
from models.jobs import submit
from models.jobs.admission import Accepted, Order
from models.jobs.dispatch import Ring
from workers import doorbell

LISTENERS = 5000
PINGS = 500
JOBS = 200
PER_SECOND = 10


def measure(place: Stand, report: Report) -> None:
    """Latency, CPU and memory, beside a ping and a single listener of the same run."""
    place.flush_redis()  # another part has left word of its jobs there
    keys = place.fresh()
    place.start("api", "scheduler", extra={"LISTENERS_PER_ACCOUNT": "5000"})
    place.start("worker")
    time.sleep(2)
    ping = _ping(place, PINGS)
    report.add("ping: GET /healthz, nothing else going on, p50", ping[len(ping) // 2], "ms")
    unloaded = ping[int(len(ping) * 0.99)]
    report.add("the same, p99", unloaded, "ms")
    with _listening(place, keys, 1) as ask:
        with _pinging(place) as pings:
            _run(50, PER_SECOND)
        _latencies(report, "one listener, 50 jobs", ask()["heard"], unloaded, pings)
    for what, listeners, per_second in (
        (f"{LISTENERS} listeners, {JOBS} jobs at {PER_SECOND}/s", LISTENERS, PER_SECOND),
        (f"{LISTENERS} listeners, {JOBS} jobs at once", LISTENERS, JOBS),
    ):
        _many(place, report, keys, what, listeners, per_second, unloaded)
    place.stop()


def _many(
    place: Stand, report: Report, keys: list[str], what: str, listeners: int, per_second: int, unloaded: float
) -> None:
    api = place.processes.pid("api")
    before = memory_mb(api, "VmRSS")
    with _listening(place, keys, listeners) as ask:
        time.sleep(3)
        opened = memory_mb(api, "VmRSS")
        cpu, begun = cpu_seconds(api), time.perf_counter()
        with _pinging(place) as pings:
            numbers = _run(JOBS, per_second)
        took = time.perf_counter() - begun
        cpu = cpu_seconds(api) - cpu
        found = ask()
    if found["lost"]:
        raise RuntimeError(f"{found['lost']} listeners were lost")
    _complete(found["heard"], numbers, listeners, len(keys))
    _latencies(report, what, found["heard"], unloaded, pings)
    report.add(f"{what}: CPU of the API while they ran", 100 * cpu / took, "%")
    report.add(f"{what}: frames sent", len(found["heard"]), "")
    if before < opened / 1.1:  # a second run finds the memory of the first
        report.add(f"{what}: memory per listener", 1024 * (opened - before) / listeners, "KB")
    report.add(f"{what}: memory of the API", memory_mb(api, "VmRSS"), "MB")


def _ping(place: Stand, most: int, until: threading.Event | None = None) -> list[float]:
    """So many answers' milliseconds, the shortest first; fewer where the end comes before."""
    took: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{place.port}") as http:
        while len(took) < most and not (until and until.wait(0.02)):
            begun = time.perf_counter()
            http.get("/healthz")
            took.append(1000 * (time.perf_counter() - begun))
            time.sleep(0.002)
    return sorted(took[20:])


@contextmanager
def _pinging(place: Stand) -> Iterator[list[float]]:
    """Ping for the block; the list is filled at its end."""
    found: list[float] = []
    over = threading.Event()
    thread = threading.Thread(target=lambda: found.extend(_ping(place, 1_000_000, over)))
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


@contextmanager
def _listening(place: Stand, keys: list[str], listeners: int) -> Iterator[Any]:
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.listeners"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    stdin, stdout = child.stdin, child.stdout

    def say(text: str) -> Any:
        stdin.write(text + "\n")
        stdin.flush()
        return json.loads(answer) if (answer := stdout.readline()).startswith("{") else answer

    try:
        if say(json.dumps({"port": place.port, "keys": keys, "listeners": listeners})) != "open\n":
            raise RuntimeError("the streams did not open")
        yield lambda: say("what was heard")
    finally:
        child.terminate()
        child.wait()


def _run(jobs: int, per_second: int) -> dict[int, int]:
    """Order jobs, from here and not through the API under test, and wait for their ends. Returns the account's numbers."""
    with transaction() as conn:
        offer = entries.offers(conn)["bench"]
        accounts = [row[0] for row in conn.execute("select id from accounts order by id").fetchall()]
    begun = time.monotonic()
    for number in range(jobs):
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()) if per_second < jobs else 0)
        account = accounts[number % len(accounts)] if jobs >= JOBS else accounts[0]
        order = Order(uuid7(), account, offer, offer.checked({"prompt": "a harbour at dawn", "seed": number}))
        with transaction() as conn:
            answer = submit.submit(conn, [order], wait=True)[0]
        assert isinstance(answer, Accepted), answer
        doorbell.ring([Ring(order.job_id, answer.queue)], wake_listeners_of=[account])
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with transaction() as conn:
            if conn.execute("select 1 from job_runs limit 1").fetchone() is None:
                numbers = conn.execute("select event_number from accounts order by id").fetchall()
                time.sleep(1)  # for what is on its way
                return {place: row[0] for place, row in enumerate(numbers)}
        time.sleep(0.05)
    raise RuntimeError("the jobs do not end")


def _complete(heard: list[list[Any]], numbers: dict[int, int], listeners: int, accounts: int) -> None:
    """Each listener heard each event of its account once: so many times in all, and the newest of each account."""
    newest: dict[int, int] = {}
    count: dict[tuple[int, int], int] = {}
    for account, number, _ in heard:
        newest[account] = max(newest.get(account, 0), number)
        count[account, number] = count.get((account, number), 0) + 1
    wrong = {key: found for key, found in count.items() if found != len(range(key[0], listeners, accounts))}
    if wrong or any(newest.get(account) != number for account, number in numbers.items()):
        raise RuntimeError(f"events were missed or repeated: {list(wrong.items())[:5]}")


def _latencies(report: Report, what: str, heard: list[list[Any]], unloaded: float, pings: list[float]) -> None:
    with transaction() as conn:
        rows = conn.execute(
            """select e.account_id, e.number, extract(epoch from pg_xact_commit_timestamp(e.xmin))::float
                 from events e"""
        ).fetchall()
        accounts = [row[0] for row in conn.execute("select id from accounts order by id").fetchall()]
    committed = {(accounts.index(row[0]), row[1]): row[2] for row in rows if row[0] in accounts}
    took = sorted(1000 * (at - committed[account, number]) for account, number, at in heard)
    report.add(f"{what}: commit to client, p50", took[len(took) // 2], "ms")
    p99 = took[int(len(took) * 0.99)]
    report.add(f"{what}: commit to client, p99", p99, "ms")
    report.add(f"{what}: p99 above the idle ping's p99", p99 - unloaded, "ms", aim="< 3")
    report.add(f"{what}: ping meanwhile, p50", pings[len(pings) // 2], "ms")
    report.add(f"{what}: ping meanwhile, p99", pings[int(len(pings) * 0.99)], "ms")
