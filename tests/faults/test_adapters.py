"""Each adapter against a far side that misbehaves at random while workers are killed: every job ends, the books are clean,
and what the provider began is what is on record, once.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.faults import Faults
from tests.faults.test_faults import SEED, reap, revive_all, submit_until_answered
from tests.support import System, account, assert_books_are_clean, eventually, one, rows

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

JOBS = 200
SHARE = {
    "limited": 0.06, "error": 0.06, "drop": 0.04, "stall": 0.02, "lose": 0.03, "late": 0.04, "cut": 0.03, "garble": 0.02,
    "slow": 0.03, "wrong_type": 0.04, "truncated": 0.04,
}  # fmt: skip
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1mYXItc2lkZSEh"


@dataclass(frozen=True)
class Side:
    """An adapter, its far side's module, and how its generations are."""

    adapter: str
    module: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    script: dict[str, Any] = field(default_factory=dict)
    provider_options: dict[str, Any] = field(default_factory=dict)


SIDES = [
    Side("openai", "tests.far_side.openai", "dall-e-3", {"cost_usd_micros_per_call": 40_000}),
    Side(
        "replicate", "tests.far_side.replicate", "owner/flux", {"poll_seconds": 0.3, "cost_usd_micros_per_call": 3_000},
        {"*": {"ready_seconds": 0.5, "webhook_secret": WEBHOOK_SECRET}}, {"webhook_secret": "WEBHOOK_SECRET"},
    ),
]  # fmt: skip


@contextmanager
def far_side(side: Side, book: Path) -> Iterator[str]:
    """The far side in a process of its own, which nothing here kills. Gives its address."""
    faults = Faults(seed=SEED, share=SHARE, per_key=2, seconds=1.5, retry_after=0.3)
    command = [
        sys.executable, "-m", side.module, "--port", "0", "--book", str(book), "--faults", faults.dump(),
        "--script", json.dumps(side.script),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.adapter)
def test_two_hundred_jobs_end_and_each_generation_is_on_record_once(system: System, tmp_path: Path, side: Side) -> None:
    print(f"\nseed {SEED}", end=" ")
    rng = random.Random(SEED)
    book_path = tmp_path / "far.db"
    more = {
        deployment.KEY_VARIABLE: deployment.KEY, "WEBHOOK_SECRET": WEBHOOK_SECRET, "CALLBACK_URL": system.url,
        "RECONCILE_SECONDS": "8", "RETRY_MAX_SECONDS": "2",
    }  # fmt: skip
    with environment(more), far_side(side, book_path) as url:
        deployment.provider("far", side.adapter, url, options=side.provider_options, faults=40, rest_seconds=0.5)
        deployment.routed(
            "made",
            {"provider": "far", "model": side.model, "options": side.options},
            max_attempts=6,
            timeout_seconds=60,
        )
        system.start("api", "worker", "scheduler")
        system.processes.start_one("worker", number=2)
        owners = [account(amount=1000, plan="studio") for _ in range(4)]
        accepted, killed = order_and_kill(system, owners, rng)
        eventually(lambda: _all_ended(system, killed), seconds=240, what="the end of all jobs")
        check(accepted, Book(book_path))
    print(f"{len(killed)} kills", end=" ")


def order_and_kill(system: System, owners: list[Any], rng: random.Random) -> tuple[list[str], list[str]]:
    clients = [system.client(owner) for owner in owners]
    accepted, killed = [], []
    try:
        for number in range(JOBS):
            body = {"model": "made", "input": {"prompt": f"lake {number}"}}
            accepted.append(submit_until_answered(rng.choice(clients), body, f"k{number}"))
            if number % 12 == 11:
                victim = rng.choice(["worker", "worker.2"])
                if system.processes.alive(victim):
                    system.processes.kill(victim)
                    killed.append(victim)
                time.sleep(rng.random() * 0.6)
                revive_all(system, killed)
    finally:
        for client in clients:
            client.close()
    return accepted, killed


def _all_ended(system: System, killed: list[str]) -> bool:
    revive_all(system, killed)
    return one("select count(*) from job_runs") == (0,)


def check(accepted: list[str], book: Book) -> None:
    """Every job has ended, and what was begun at the provider is on record."""
    ended = dict(rows("select id::text, ended from jobs"))
    assert set(ended) == set(accepted)
    assert_books_are_clean()
    attempts = {
        f"{job}:{number}": (phase, code, charged)
        for job, number, phase, code, charged in rows("select job_id, number, phase, error_code, charged from attempts")
    }
    begun = book.starts_per_key()
    assert set(begun) <= set(attempts), "the provider began something that is not on record"
    assert {key: count for key, count in begun.items() if count > 1} == {}, "one attempt was paid for twice"
    # Each attempt that the provider began ended in a way that says so: done, charged, failed there, or unknown. What is
    # on record as never begun was not begun.
    never = {key for key, (phase, code, _) in attempts.items() if phase == "failed" and code in NEVER_BEGAN}
    assert not never & set(begun), "an attempt is on record as never begun, and was begun"
    assert len(begun) == len(set(attempts) & set(begun))
    # No blind repeat: a job's later attempt begins only after the provider's word, or ours, that the earlier failed.
    for key, (phase, _, _) in attempts.items():
        job, _, number = key.rpartition(":")
        if f"{job}:{int(number) + 1}" in attempts:
            assert phase == "failed", f"{key} was {phase}, and the job was tried again"
    outcome = {status: list(ended.values()).count(status) for status in set(ended.values())}
    print(outcome, f"{len(attempts)} attempts, {len(begun)} begun", end=" ")
    assert outcome.get("succeeded", 0) > JOBS / 2
    reap()


NEVER_BEGAN = {"limited", "http_500", "unreachable", "never_began"}
