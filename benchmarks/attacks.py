"""`python -m benchmarks.attacks [--front nginx|caddy] [--seconds N] [ATTACK ...]`: what one stranger does to a tenant.

Each attack goes on for some seconds against a real API process, from a process of its own that begins anew whenever it is
cut off, while a well-behaved tenant orders a job every 25 ms and somebody asks for /healthz. Told are the p99 of its
orders without and under the attack, /healthz likewise, and the API's memory before, at most, and after. Rounds without
and under attack alternate, and medians are told, so that a busy machine counts for both.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.stand import Stand, stand
from storage.s3 import storage
from tests.fronts import front
from tests.storage.between import Between, between_us_and
from tests.strangers import CHUNKED, REQUEST, Stranger, crowd, memory_mb

ROUNDS = 3
PAUSE_SECONDS = 0.025  # between two orders of the tenant
BODY = b'{"model":"bench","input":{"prompt":"a harbour at dawn","seed":7}}'
AIM_RATIO, AIM_MB = 2.0, 200.0

# What is said first, then again and again.
FLOODS = {
    "pipelined": (b"", REQUEST),
    "header": (b"GET / HTTP/1.1\r\nHost: x\r\na: ", b"b" * 1024),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:b\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"a:b\r\n"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "body": (CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n"),
    "blank lines": (b"", b"\r\n" * 512),
}
CROWDS = {
    "1,100 idle": b"",
    "1,100 half heads": REQUEST[:20],
    "1,100 half bodies": b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{",
    "1,100 unread answers": b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 30,
}
HUNG = "45 downloads from a hung bucket"


# What runs in processes of its own


def flood(port: int, name: str, seconds: float) -> None:
    """50 MB, if they are taken; and again, until the time is over."""
    begin, piece = FLOODS[name]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), Stranger(port, source="127.0.0.9") as stranger:
            stranger.say(begin)
            stranger.pour(piece, 50_000_000, seconds=end - time.monotonic(), read=name == "pipelined")


def gather(port: int, name: str, seconds: float) -> None:
    """1,100 connections, opened anew when they are closed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with crowd(port, 1100, source="127.0.0.9") as strangers:
            for each in strangers:
                with contextlib.suppress(OSError):
                    each.say(CROWDS[name])
            while time.monotonic() < end and sum(each.is_open() for each in strangers) > 10:
                time.sleep(0.5)


def tenant(port: int, key: str, seconds: float) -> None:
    """Order at a steady pace, and print how long each took, in ms."""
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    took: list[float] = []
    end = time.monotonic() + seconds
    with Stranger(port) as line:
        while time.monotonic() < end:
            begun = time.perf_counter()
            line.say(head.encode() + BODY)
            answer = line.hear_until(b"}")
            took.append(1000 * (time.perf_counter() - begun))
            if not answer.startswith(b"HTTP/1.1 201"):
                raise RuntimeError(answer.decode())
            while not answer.endswith(b"}"):
                answer += line.hear_until(b"}")
            time.sleep(PAUSE_SECONDS)
    print(json.dumps(took))


# What measures


@dataclass
class Seen:
    """One kind of round: orders and looks at /healthz in ms, memory in MB."""

    orders: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def p99s(self) -> tuple[float, float]:
        return median(self.orders), median(self.health)


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


class Watch:
    """Looks at /healthz and at the API's memory, until it is left."""

    def __init__(self, port: int, pid: int) -> None:
        self._port, self._pid = port, pid
        self.health: list[float] = []
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._over.wait(0.03):
                begun = time.perf_counter()
                client.get(f"http://127.0.0.1:{self._port}/healthz").raise_for_status()
                self.health.append(1000 * (time.perf_counter() - begun))
                self.peak = max(self.peak, memory_mb(self._pid))


def a_round(port: int, pid: int, key: str, seconds: float, attack: list[str] | None, seen: Seen) -> None:
    """One round, with an attack from another process or without."""
    attacker = _role([*attack, str(seconds + 1)], nice=True) if attack else None
    time.sleep(0.5)
    with Watch(port, pid) as watch:
        orders = json.loads(_role(["tenant", str(port), key, str(seconds)]).communicate()[0])
    if attacker is not None:
        attacker.communicate()
    seen.orders.append(p99(orders))
    seen.health.append(p99(watch.health))
    seen.memory.append(watch.peak)


def _role(arguments: list[str], *, nice: bool = False) -> "subprocess.Popen[str]":
    command = [
        *(["nice", "-n", "10"] if nice else []),
        sys.executable,
        "-m",
        "benchmarks.attacks",
        "--role",
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(name: str, port: int, pid: int, key: str, seconds: float, attack: list[str]) -> bool:
    """Tell of one attack. Returns whether it held."""
    idle, attacked = Seen(), Seen()
    before = memory_mb(pid)
    for _ in range(ROUNDS):
        a_round(port, pid, key, seconds, None, idle)
        a_round(port, pid, key, seconds, attack, attacked)
    (orders, health), (orders_then, health_then) = idle.p99s(), attacked.p99s()
    peak, after = max(attacked.memory), memory_mb(pid)
    held = orders_then <= AIM_RATIO * orders and peak - before < AIM_MB
    print(
        f"{name:<34} orders p99 {orders:6.1f} -> {orders_then:6.1f} ms ({orders_then / orders:4.2f})   "
        f"/healthz p99 {health:5.1f} -> {health_then:6.1f} ms   memory {before:4.0f}, {peak:4.0f}, {after:4.0f} MB   "
        f"{'holds' if held else 'DOES NOT HOLD'}",
        flush=True,
    )
    return held


@contextlib.contextmanager
def hung(between: Between, port: int, path: str) -> Iterator[None]:
    """45 downloads that ask again and again, while the bucket hangs."""
    over = threading.Event()
    between.be("silent")

    def ask() -> None:
        while not over.is_set():
            # Raw bytes: a client of httpx's own costs so much that it would be this process that is slow.
            with contextlib.suppress(OSError), Stranger(port, source="127.0.0.9") as line:
                line.say(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                line.hear(30)
            over.wait(0.5)

    threads = [threading.Thread(target=ask) for _ in range(45)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        between.be("away")
        for thread in threads:
            thread.join()


def measure_hung(between: Between, port: int, pid: int, key: str, seconds: float) -> bool:
    """The same for a bucket that hangs."""
    from tests.api.edge.test_serving import stored
    from tests.storage.buckets import make_bucket

    make_bucket(storage())
    path = stored().path
    idle, attacked, before = Seen(), Seen(), memory_mb(pid)
    for _ in range(ROUNDS):
        a_round(port, pid, key, seconds, None, idle)
        with hung(between, port, path):
            a_round(port, pid, key, seconds, None, attacked)
        between.be("")
    (orders, health), (orders_then, health_then) = idle.p99s(), attacked.p99s()
    peak = max(attacked.memory)
    held = orders_then <= AIM_RATIO * orders and peak - before < AIM_MB
    print(
        f"{HUNG:<34} orders p99 {orders:6.1f} -> {orders_then:6.1f} ms ({orders_then / orders:4.2f})   "
        f"/healthz p99 {health:5.1f} -> {health_then:6.1f} ms   memory {before:4.0f}, {peak:4.0f}, "
        f"{memory_mb(pid):4.0f} MB   {'holds' if held else 'DOES NOT HOLD'}",
        flush=True,
    )
    return held


def measured(place: Stand, between: Between, kind: str, seconds: float, names: list[str]) -> bool:
    """All of the attacks that are named."""
    keys = place.fresh()
    proxies = {"TRUSTED_PROXIES": "127.0.0.1"} if kind else {}
    place.start("api", extra={"S3_ENDPOINT_URL": between.url, **proxies})
    pid = place.processes.pid("api")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(front(kind, place.port, folder)) if kind else place.port
        warm: Any = _role(["tenant", str(port), keys[0], "3"])
        warm.communicate()
        held = True
        for name in names:
            if name == HUNG:
                held &= measure_hung(between, port, pid, keys[0], seconds)
            else:
                kind_of = "flood" if name in FLOODS else "gather"
                held &= measure(name, port, pid, keys[0], seconds, [kind_of, str(port), name])
    place.stop()
    return held


def main() -> None:
    roles: dict[str, Callable[[int, str, float], None]] = {"flood": flood, "gather": gather, "tenant": tenant}
    if sys.argv[1:2] == ["--role"]:
        role, port, name, seconds = sys.argv[2:6]
        roles[role](int(port), name, float(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--front", choices=["nginx", "caddy"], default="")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("attacks", nargs="*", default=[*FLOODS, *CROWDS, HUNG])
    chosen = parser.parse_args()
    with stand() as place, between_us_and(place.environment["S3_ENDPOINT_URL"]) as between:
        held = measured(place, between, chosen.front, chosen.seconds, chosen.attacks)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
