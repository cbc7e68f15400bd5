"""Jobs per second and processor time per job, S3 put included, beside no-op tasks of three task queues: in turns, with the same
number of threads. Then the same over HTTP, behind a long line, and over many accounts.
"""

import time
from collections.abc import Callable
from statistics import median
from uuid import UUID

from uuid_utils.compat import uuid7

from benchmarks import peers
from benchmarks.processor import Spent, cpu_by_part
from benchmarks.stand import Report, Stand
from models.catalogue import entries
from models.db import transaction
from models.jobs.admission import Accepted, Order
from models.jobs.dispatch import Ring
from models.jobs.submit import submit
from workers.doorbell import ring

JOBS = 2000
TASKS = {"dramatiq": 8000, "celery": 3000, "procrastinate": 3000}
THREADS = (8, 16)
ROUNDS = 5
AIMS = {"dramatiq": "0.40", "celery": "", "procrastinate": "1.80"}
MAX_CPU_MS = "< 2.0"
HTTP_SECONDS = 6.0
LINE, SHORT, SLOTS, ACCOUNTS = 20_000, 400, 2, 10_000


def place_jobs(count: int, model: str = "bench") -> list[Ring]:
    """Submit through the verb, in batches; the messages are sent afterwards."""
    rings: list[Ring] = []
    with transaction() as conn:
        offer = entries.offers(conn)[model]
        ids: list[UUID] = [row[0] for row in conn.execute("select id from accounts order by id").fetchall()]
    for begin in range(0, count, 100):
        orders = [
            Order(uuid7(), ids[n % len(ids)], offer, {"prompt": "a harbour at dawn", "seed": 7})
            for n in range(begin, min(begin + 100, count))
        ]
        with transaction() as conn:
            answers = submit(conn, orders, wait=True)
        rings += [Ring(a.job_id, a.queue) for a in answers if isinstance(a, Accepted) and a.dispatched]
    return rings


def alive() -> int:
    """Living jobs: a table that is as small as what is alive, so that counting costs the run nothing."""
    with transaction() as conn:
        row = conn.execute("select count(*) from job_runs").fetchone()
    return int(row[0]) if row else 0


def watch(total: int, count: Callable[[], int]) -> Spent:
    """What was done a second, and what each cost, between 5 % and 95 % done."""
    low, high = total * 0.05, total * 0.95
    begun: tuple[int, float, dict[str, float]] | None = None
    end = time.monotonic() + 300
    while time.monotonic() < end:
        done = count()
        if begun is None and done >= low:
            begun = done, time.perf_counter(), cpu_by_part()
        elif begun is not None and done >= high:
            number, seconds, used = done - begun[0], time.perf_counter() - begun[1], cpu_by_part()
            by_part = {part: 1000 * (used[part] - begun[2].get(part, 0)) / number for part in used}
            return Spent(number / seconds, {part: each for part, each in by_part.items() if each > 0})
        time.sleep(0.05)
    raise RuntimeError(f"only {count()} of {total} were done in time")


def throughput(stand: Stand, threads: int = 8, *, jobs: int = JOBS) -> Spent:
    """Jobs from their ring to settled, with one worker process."""
    stand.flush_redis()  # who worked on another database has left word of its jobs there
    before = alive()
    stand.start("worker", arguments=f"--threads {threads}")
    time.sleep(2)
    place_jobs(jobs)
    with transaction() as conn:
        rings = [Ring(*row) for row in conn.execute("select job_id, queue from job_runs where dispatched").fetchall()]
    for begin in range(0, len(rings), 500):
        ring(rings[begin : begin + 500])
    spent = watch(jobs, lambda: before + jobs - alive())
    stand.stop()
    return spent


def _peer(name: str, threads: int) -> Spent:
    """No-op tasks, sent before the worker starts."""
    peers.send(name, TASKS[name])
    with peers.working(name, threads):
        return watch(TASKS[name], peers.done)


def measure(stand: Stand, report: Report) -> None:
    """Everything about throughput."""
    _beside_peers(stand, report)
    _over_http(stand, report)
    _behind_a_line(stand, report)
    _over_many_accounts(stand, report)


def _beside_peers(stand: Stand, report: Report) -> None:
    stand.fresh()
    peers.prepare_procrastinate()
    found: dict[tuple[str, int], list[Spent]] = {}
    for number in range(ROUNDS):
        for threads in THREADS:
            names = ("ours", *peers.NAMES)
            for name in names if number % 2 == 0 else names[::-1]:
                spent = throughput(stand, threads) if name == "ours" else _peer(name, threads)
                found.setdefault((name, threads), []).append(spent)
                print(f"\r  round {number + 1} of {ROUNDS}, {threads} threads, {name}" + " " * 20, end="", flush=True)
    print("\r" + " " * 60 + "\r", end="", flush=True)
    rates = {key: median(each.rate for each in rounds) for key, rounds in found.items()}
    for threads in THREADS:
        typical = sorted(found["ours", threads], key=lambda each: each.milliseconds)[ROUNDS // 2]
        report.add(f"jobs from ring to settled, S3 put included, {threads} threads", rates["ours", threads], "1/s")
        report.add("  processor time per job, all processes", typical.milliseconds, "ms", aim=MAX_CPU_MS)
        print(f"    {typical.shown()}")
        for name in peers.NAMES:
            cost = median(each.milliseconds for each in found[name, threads])
            report.add(
                f"  no-op tasks of {name} ({cost:.2f} ms each)", rates[name, threads], "1/s",
                ratio=median(o.rate / p.rate for o, p in zip(found["ours", threads], found[name, threads], strict=True)),
                to="its own (ours / its)",
            )  # fmt: skip
    best = {name: max(rates[name, threads] for threads in THREADS) for name in ("ours", *peers.NAMES)}
    for name, aim in AIMS.items():
        report.add(f"  our best of {THREADS} ÷ the best of {name}", best["ours"], "1/s", ratio=best["ours"] / best[name],
                   to=f"{name} {best[name]:,.0f}", aim=aim)  # fmt: skip


def _over_http(stand: Stand, report: Report) -> None:
    """From the first request to the last end, submits and work beside each other on the same cores."""
    keys = stand.fresh()
    stand.start("api", "worker", arguments="--threads 16")
    stand.load(keys, clients=16, seconds=1)
    while alive():
        time.sleep(0.1)
    rounds = []
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), cpu_by_part()
        ordered = stand.load(keys, clients=16, seconds=HTTP_SECONDS)
        while alive():
            time.sleep(0.02)
        seconds, now = time.perf_counter() - begun, cpu_by_part()
        count = ordered["rate"] * HTTP_SECONDS
        rounds.append(Spent(count / seconds, {part: 1000 * (now[part] - used.get(part, 0)) / count for part in now}))
    typical = sorted(rounds, key=lambda each: each.rate)[ROUNDS // 2]
    report.add("jobs from their request over HTTP to settled, 16 threads", typical.rate, "1/s")
    report.add("  processor time per job, all processes", typical.milliseconds, "ms")
    print(f"    {typical.shown()}")
    stand.stop()


def _behind_a_line(stand: Stand, report: Report) -> None:
    """One account with two slots: the front of a line of 20,000, beside a line that is soon over. Dispatch runs at every end."""
    for name in ("line_long", "line_short"):
        stand.fresh(database=name, slots=SLOTS, accounts=1)
        if name == "line_long":
            place_jobs(LINE)
            stand.analyze()
    found: dict[str, list[Spent]] = {"line_long": [], "line_short": []}
    for number in range(ROUNDS):
        for name in sorted(found, reverse=bool(number % 2)):
            stand.use(name)
            found[name].append(throughput(stand, jobs=SHORT))
    rates = {name: median(each.rate for each in rounds) for name, rounds in found.items()}
    costs = {name: median(each.milliseconds for each in rounds) for name, rounds in found.items()}
    report.add(
        f"jobs of an account with {SLOTS} slots and {LINE:,} in line", rates["line_long"], "1/s",
        ratio=rates["line_long"] / rates["line_short"], to=f"a line of {SHORT} {rates['line_short']:,.0f}", aim="0.83",
    )  # fmt: skip
    report.add(
        "  processor time per job", costs["line_long"], "ms", ratio=costs["line_long"] / costs["line_short"],
        to=f"a line of {SHORT} {costs['line_short']:.1f}", aim="< 1.2",
    )  # fmt: skip


def _over_many_accounts(stand: Stand, report: Report) -> None:
    """The same jobs over 10,000 accounts as over 64."""
    sizes = {"accounts_few": 64, "accounts_many": ACCOUNTS}
    for name, accounts in sizes.items():
        stand.fresh(database=name, accounts=accounts)
    found: dict[str, list[Spent]] = {name: [] for name in sizes}
    for number in range(ROUNDS):
        for name in sorted(sizes, reverse=bool(number % 2)):
            stand.use(name)
            found[name].append(throughput(stand, 16))
    few, many = (median(each.rate for each in found[name]) for name in sizes)
    report.add(
        f"jobs from ring to settled, {ACCOUNTS:,} accounts",
        many,
        "1/s",
        ratio=many / few,
        to=f"64 {few:,.0f}",
        aim="0.95",
    )
