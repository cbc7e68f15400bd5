"""What it costs to know who asks: per request with a key that was seen before, as a share of a submit's CPU."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from benchmarks.processor import cpu_seconds
from benchmarks.stand import Report, Stand
from models.access.scopes import Caller

CALLS = 50_000
SECONDS = 4.0


def measure(stand: Stand, report: Report) -> None:
    """The API's CPU per submit, and that of `permitted` alone, in this process."""
    secrets = stand.fresh()
    stand.start("api")
    pid = stand.processes.pid("api")
    stand.load(secrets, clients=16, seconds=2)
    before = cpu_seconds(pid)
    rate = stand.load(secrets, clients=16, seconds=SECONDS)["rate"]
    submit_us = 1e6 * (cpu_seconds(pid) - before) / (rate * SECONDS)
    stand.stop()
    auth_us = asyncio.run(_permitted_us(secrets[0]))
    report.add("the API's CPU per submit, 16 clients", submit_us, "us")
    report.add(
        "  of it, knowing who asks and that they may",
        auth_us,
        "us",
        ratio=auth_us / submit_us,
        to="a submit",
        aim="< 0.05",
    )


async def _permitted_us(secret: str) -> float:
    from api.auth.keyring import KeyRing

    keys = KeyRing()
    request: Any = SimpleNamespace(headers={"authorization": f"Bearer {secret}"}, scope={}, client=None)
    who: Caller = await keys.permitted(request, "generate")
    assert who.key_id is not None
    begin = time.thread_time()
    for _ in range(CALLS):
        await keys.permitted(request, "generate")
    used = time.thread_time() - begin
    await keys.close()
    return 1e6 * used / CALLS
