"""Each adapter against a far side that misbehaves at random while workers are killed: every job ends, the books are clean,
and what the provider began is what is on record, once.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.embedded.servers import free_ports
from models import callbacks
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.http import SECRET as OWN_SECRET
from tests.far_side.queue_faults import Book as QueueBook
from tests.faults.test_faults import SEED, reap, revive_all, submit_until_answered
from tests.support import System, account, assert_books_are_clean, eventually, one, rows
from tests.workers.providers.test_cog import cog_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

JOBS = 200
SHARE = {
    "limited": 0.06, "error": 0.06, "drop": 0.04, "stall": 0.02, "lose": 0.03, "late": 0.04, "cut": 0.03, "garble": 0.02,
    "slow": 0.03, "wrong_type": 0.04, "truncated": 0.04,
}  # fmt: skip
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1mYXItc2lkZSEh"


QUEUE_SHARE = {
    "limited": 0.06, "error": 0.06, "drop": 0.04, "stall": 0.02, "lose": 0.03, "late": 0.03, "cut": 0.03, "slow": 0.03,
    "twice": 0.05, "wrong_type": 0.04, "truncated": 0.04,
}  # fmt: skip


COG_SCHEMA = {
    "type": "object", "additionalProperties": False,
    "properties": {"prompt": {"type": "string"}, "answer": {"type": "string"}},
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """An adapter, its far side's module, and how its generations are."""

    adapter: str
    module: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    script: dict[str, Any] = field(default_factory=dict)
    provider: dict[str, Any] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=lambda: SHARE)
    book: type[Any] = Book
    input: dict[str, Any] = field(default_factory=dict)


SIDES = [
    Side("openai", "tests.far_side.openai", "dall-e-3", {"cost_usd_micros_per_call": 40_000}),
    Side(
        "replicate", "tests.far_side.replicate", "owner/flux", {"poll_seconds": 0.3, "cost_usd_micros_per_call": 3_000},
        {"*": {"ready_seconds": 0.5, "webhook_secret": WEBHOOK_SECRET}}, {"options": {"webhook_secret": "WEBHOOK_SECRET"}},
    ),
    Side(
        "fal", "tests.far_side.fal", "owner/flux", {"poll_seconds": 0.3, "cost_usd_micros_per_call": 3_000},
        {"*": {"ready_seconds": 0.5}}, {"options": {"jwks_url": "{url}/.well-known/jwks.json"}}, QUEUE_SHARE, QueueBook,
    ),
    Side(
        "http", "tests.far_side.http", "images", {"poll": True}, {"*": {"ready_seconds": 0.5, "poll_after_seconds": 0.3}},
        {"options": {"secret": "OWN_SECRET"}}, QUEUE_SHARE, QueueBook,
    ),
    # The real server, three of them behind a gateway that misbehaves; its own results are not touched.
    Side(
        "cog", "tests.far_side.cog_relay", "cog", {}, {}, {"concurrency": 3},
        {name: part for name, part in QUEUE_SHARE.items() if name not in {"late", "twice", "wrong_type", "truncated"}},
        QueueBook, {"answer": "words"},
    ),
]  # fmt: skip


@contextmanager
def far_side(side: Side, book: Path, folder: Path) -> Iterator[str]:
    """The far side in a process of its own, which nothing here kills. Gives its address."""
    with ExitStack() as stack:
        script = side.script
        if side.adapter == "cog":
            servers = [stack.enter_context(cog_server(made(folder / f"cog{number}"))) for number in range(3)]
            script = {"*": {"servers": [each.url for each in servers]}}
        plan = {"seed": SEED, "share": side.share, "per_key": 2, "seconds": 1.5, "retry_after": 0.3}
        command = [
            sys.executable, "-m", side.module, "--port", str(free_ports(1)[0]), "--book", str(book), "--faults",
            json.dumps(plan), "--script", json.dumps(script),
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().split()[-1]
            finally:
                process.terminate()


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.adapter)
def test_two_hundred_jobs_end_and_each_generation_is_on_record_once(system: System, tmp_path: Path, side: Side) -> None:
    print(f"\nseed {SEED}", end=" ")
    rng = random.Random(SEED)
    book_path = tmp_path / "far.db"
    more = {
        deployment.KEY_VARIABLE: deployment.KEY, "WEBHOOK_SECRET": WEBHOOK_SECRET, "CALLBACK_URL": system.url,
        "OWN_SECRET": OWN_SECRET, "RECONCILE_SECONDS": "8", "RETRY_MAX_SECONDS": "2",
    }  # fmt: skip
    with environment(more), far_side(side, book_path, tmp_path) as url:
        more_of_it = json.loads(json.dumps(side.provider).replace("{url}", url))
        deployment.provider("far", side.adapter, url, **{"faults": 40, "rest_seconds": 0.5, **more_of_it})
        deployment.routed(
            "made", {"provider": "far", "model": side.model, "options": side.options}, max_attempts=6,
            timeout_seconds=60, **({"input_schema": COG_SCHEMA} if side.adapter == "cog" else {}),
        )  # fmt: skip
        system.start("api", "worker", "scheduler")
        system.processes.start_one("worker", number=2)
        owners = [account(amount=1000, plan="studio") for _ in range(4)]
        accepted, killed = order_and_kill(system, owners, rng, side.input)
        eventually(lambda: _all_ended(system, killed), seconds=240, what="the end of all jobs")
        check(accepted, begun(side, side.book(book_path)))
    print(f"{len(killed)} kills", end=" ")


def order_and_kill(
    system: System, owners: list[Any], rng: random.Random, more: dict[str, Any]
) -> tuple[list[str], list[str]]:
    clients = [system.client(owner) for owner in owners]
    accepted, killed = [], []
    try:
        for number in range(JOBS):
            body = {"model": "made", "input": {"prompt": f"lake {number}", **more}}
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


def begun(side: Side, book: Any) -> Counter[str]:
    """How often the provider began each of our attempts."""
    if side.adapter != "fal":
        return Counter(book.starts_per_key())
    # fal knows no key of ours, but the address that it is to call back names the attempt.
    tokens = [each["facts"]["webhook"].rpartition("/")[2] for each in book.generations()]
    return Counter("{}:{}".format(*callbacks.attempt_of(token)) for token in tokens)


def check(accepted: list[str], begun: Counter[str]) -> None:
    """Every job has ended, and what was begun at the provider is on record."""
    ended = dict(rows("select id::text, ended from jobs"))
    assert set(ended) == set(accepted)
    assert_books_are_clean()
    attempts = {
        f"{job}:{number}": (phase, code, charged)
        for job, number, phase, code, charged in rows("select job_id, number, phase, error_code, charged from attempts")
    }
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


NEVER_BEGAN = {"limited", "http_500", "unreachable", "never_began", "busy", "not_ready"}
