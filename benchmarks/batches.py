"""Batches: lines accepted per second over HTTP, and what requests of others wait meanwhile."""

import json
import threading
import time
from statistics import median
from typing import Any

import httpx

from benchmarks.stand import Report, Stand, memory_mb
from models.db import transaction

ROUNDS = 5
LINES = 10_000
ALONE_SECONDS = 3.0


def body(lines: int) -> bytes:
    """As many orders of sketch as there are lines, each with a prompt and a name of its own."""
    return b"".join(
        json.dumps(
            {
                "custom_id": f"line-{n}",
                "model": "bench",
                "input": {"prompt": f"a harbour at dawn, number {n}", "seed": n},
            }
        ).encode()
        + b"\n"
        for n in range(lines)
    )


def order(stand: Stand, key: str, content: bytes, tail: str) -> float:
    """Order a batch whole. Returns the seconds from the first byte sent to the answer."""
    with httpx.Client(base_url=f"http://127.0.0.1:{stand.port}", timeout=60) as http:
        begun = time.perf_counter()
        answer = http.post(f"/v1/batches{tail}", content=content, headers={"authorization": f"Bearer {key}"})
        took = time.perf_counter() - begun
    if answer.status_code != 201 or answer.json()["accepted"] != LINES:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
    return took


def measure(stand: Stand, report: Report) -> None:
    """Each round orders for an account of its own; then another one's requests are timed beside two batches."""
    keys = stand.fresh()
    with transaction() as conn:
        conn.execute("update plans set slots = 10 where id = 'bench'")
    stand.start("api")
    stand.load(keys[-1:], clients=4, seconds=1)
    content = body(LINES)
    order(stand, keys[0], content, "")
    stand.analyze()
    for number, (name, tail) in enumerate((("", ""), (", at most 10 at a time", "?max_running=10"))):
        took = [order(stand, key, content, tail) for key in keys[1 + number * ROUNDS : 1 + (number + 1) * ROUNDS]]
        report.add(
            f"lines of a batch of 10,000{name} ({median(took):.2f} s)", LINES / median(took), "1/s",
            ratio=LINES / median(took) / 5000, to="5,000 as asked", aim="1.00",
        )  # fmt: skip
    _beside(stand, report, keys, content)
    report.add("peak memory of the API process that took them", memory_mb(stand.processes.pid("api")), "MB")
    stand.stop()


def _beside(stand: Stand, report: Report, keys: list[str], content: bytes) -> None:
    """Another account's lone client, alone and while batches are ordered one after the other."""
    reader, orderers = keys[-1], keys[-9:-1]
    for what, method, path in (
        ("GET /v1/credits", "GET", "/v1/credits"),
        ("POST /v1/jobs", "POST", "/v1/jobs"),
    ):
        alone = _timed(stand, reader, method, path, ALONE_SECONDS)
        stop = threading.Event()
        thread = threading.Thread(target=_order_on, args=(stand, orderers, content, stop))
        thread.start()
        beside = _timed(stand, reader, method, path, 2 * ALONE_SECONDS)
        stop.set()
        thread.join()
        report.add(
            f"{what} of another account beside batches, p99 (p50 {beside['p50_ms']:.1f}, longest {beside['max_ms']:.0f} ms)",
            beside["p99_ms"], "ms", ratio=beside["p99_ms"] / alone["p99_ms"], to=f"alone {alone['p99_ms']:.1f} ms",
        )  # fmt: skip


def _order_on(stand: Stand, keys: list[str], content: bytes, stop: threading.Event) -> None:
    for key in keys * 10:
        if stop.is_set():
            return
        order(stand, key, content, "")


def _timed(stand: Stand, key: str, method: str, path: str, seconds: float) -> dict[str, Any]:
    return stand.load([key], clients=1, seconds=seconds, method=method, path=path)
