"""Usage after many jobs of all kinds while workers are killed: a recount, in plain Python, comes to the same.

`HEADRACE_JOBS=10000` makes it long.
"""

import os
import random
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.usage.entries import ALL_USAGE
from tests.faults.test_faults import SEED, make_models, revive_all, submit_until_answered
from tests.support import System, account, assert_books_are_clean, eventually, one, rows

JOBS = int(os.environ.get("HEADRACE_JOBS", "600"))
PER_KILL = 60
pytestmark = [pytest.mark.faults, pytest.mark.timeout(300 + JOBS)]

Key = tuple[Any, ...]
COUNTED = ("succeeded", "failed", "canceled", "credits", "cost_usd_micros", "results")


def test_usage_is_what_a_recount_says(system: System) -> None:
    print(f"\nseed {SEED}", end=" ")
    rng, models, killed = random.Random(SEED), make_models(), []
    owners = [account(amount=JOBS, plan="studio") for _ in range(6)]
    with ExitStack() as stack:
        clients = [stack.enter_context(system.client(owner)) for owner in owners]
        system.start("api", "worker", "scheduler")
        system.processes.start_one("worker", number=2)
        for number in range(JOBS):
            body: dict[str, Any] = {"model": rng.choice(models), "input": {"seed": number}}
            if rng.random() < 0.7:
                body["labels"] = {
                    "customer": rng.choice(("acme", "bolt")),
                    **({"env": "test"} if rng.random() < 0.3 else {}),
                }
            client = rng.choice(clients)
            job = submit_until_answered(client, body, f"k{number}")
            if rng.random() < 0.05:
                client.post(f"/v1/jobs/{job}/cancel")
            if number % PER_KILL == PER_KILL - 1:
                victim = rng.choice(("worker", "worker.2"))
                if system.processes.alive(victim):
                    system.processes.kill(victim)
                    killed.append(victim)
                revive_all(system, killed)

        def over() -> bool:
            revive_all(system, killed)
            return one("select count(*) from job_runs") == (0,)

        eventually(over, seconds=120 + JOBS / 2, what="the end of all jobs")
        assert_books_are_clean()
        day = datetime.now(UTC).date()
        for owner, client in zip(owners, clients, strict=True):
            recounted = recount(owner)
            for by, key in (("day", lambda job: job["day"]), ("day,model", lambda job: (job["day"], job["model"])),
                            ("day,label:customer", lambda job: (job["day"], job["customer"]))):  # fmt: skip
                answer = client.get("/v1/usage", params={"by": by, "since": f"{day - timedelta(days=1)}"}).json()[
                    "rows"
                ]
                found = {
                    tuple(row[name] for name in ("begins", "model", "label") if name in row):
                    {name: row[name] for name in COUNTED if name in row}
                    for row in answer
                }  # fmt: skip
                wanted: dict[Key, Counter[str]] = {}
                for job in recounted:
                    group = key(job)
                    counter = wanted.setdefault(group if isinstance(group, tuple) else (group,), Counter())
                    counter.update({name: job[name] for name in COUNTED if name != "cost_usd_micros"})
                for group, counter in wanted.items():
                    assert {name: counter[name] for name in found[group]} == found[group], (by, group)
        total = sum(row[0] for row in rows(f"select succeeded + failed + canceled from {ALL_USAGE}"))
        requests = one("select sum(requests) from usage")
        print(f"{total} jobs counted, {len(killed)} kills, {requests[0]} requests", end=" ")
        assert total == JOBS


def recount(owner: Any) -> list[dict[str, Any]]:
    """An account's ended jobs, as their own rows say."""
    found = rows(
        """select date_trunc('day', ended_at, 'UTC'), model_id, labels->>'customer', ended, charged_credits,
                  (select count(*) from assets s where s.job_id = j.id) from jobs j where account_id = %s""",
        owner,
    )
    return [
        {"day": day.astimezone(UTC).isoformat(), "model": model, "customer": customer, "credits": credits, "results": results,
         **{name: int(ended == name) for name in ("succeeded", "failed", "canceled")}}
        for day, model, customer, ended, credits, results in found
    ]  # fmt: skip
