"""Each adapter against a far side that misbehaves at random, while workers are killed and our own servers go away in turn:
every job ends, the books are clean, what the provider began is on record, and what it delivered is stored.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.embedded.servers import free_ports
from common.settings import settings
from models.jobs import callbacks
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.http import SECRET as OWN_SECRET
from tests.far_side.queue_faults import Book as QueueBook
from tests.faults.outages import Outages, Turns, fill, small_disk
from tests.faults.test_faults import SEED, reap, revive_all, submit_until_answered
from tests.proxies import Mode, Proxy, proxy
from tests.support import System, account, assert_books_are_clean, eventually, one, rows
from tests.workers.providers.test_cog import cog_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

JOBS = 200
PER_KILL = 12  # jobs between two kills
S3_AWAY_SECONDS, DISK_FULL_SECONDS = 20.0, 8.0
SHARE = {
    "limited": 0.06, "error": 0.06, "drop": 0.04, "stall": 0.02, "lose": 0.03, "late": 0.04, "cut": 0.03, "garble": 0.02,
    "slow": 0.03, "wrong_type": 0.04, "truncated": 0.04, "missing": 0.06, "forbidden": 0.04,
}  # fmt: skip
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1mYXItc2lkZSEh"


QUEUE_SHARE = {
    "limited": 0.06, "error": 0.06, "drop": 0.04, "stall": 0.02, "lose": 0.03, "late": 0.03, "cut": 0.03, "slow": 0.03,
    "twice": 0.05, "wrong_type": 0.04, "truncated": 0.04, "missing": 0.06, "forbidden": 0.04,
}  # fmt: skip
BIG = 0.15  # of the pictures are spooled to disk
STORM = {"share": 0.05, "progress": 101, "forged": 5}  # calls back after a result's own


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
    # No id and no key: of a result in an answer that its worker did not outlive nothing can be asked.
    mute: bool = False


SIDES = [
    Side(
        "openai", "tests.far_side.openai", "dall-e-3", {"cost_usd_micros_per_call": 40_000},
        {"*": {"answer": "mixed", "big": BIG}}, mute=True,
    ),
    Side(
        "replicate", "tests.far_side.replicate", "owner/flux", {"poll_seconds": 0.3, "cost_usd_micros_per_call": 3_000},
        {"*": {"ready_seconds": 0.5, "webhook_secret": WEBHOOK_SECRET, "big": BIG, "storm": STORM}}, {"options": {"webhook_secret": "WEBHOOK_SECRET"}},
    ),
    Side(
        "fal", "tests.far_side.fal", "owner/flux", {"poll_seconds": 0.3, "cost_usd_micros_per_call": 3_000},
        {"*": {"ready_seconds": 0.5, "big": BIG, "storm": STORM}}, {"options": {"jwks_url": "{url}/.well-known/jwks.json"}}, QUEUE_SHARE, QueueBook,
    ),
    Side(
        "http", "tests.far_side.http", "images", {"poll": True},
        {"*": {"ready_seconds": 0.5, "poll_after_seconds": 0.3, "big": BIG, "storm": STORM}}, {"options": {"secret": "OWN_SECRET"}}, QUEUE_SHARE, QueueBook,
    ),
    # The real server, three of them behind a gateway that misbehaves; its own results are not touched.
    Side(
        "cog", "tests.far_side.cog_relay", "cog", {}, {}, {"concurrency": 3},
        {name: QUEUE_SHARE[name] for name in ("limited", "error", "drop", "stall", "lose", "cut", "slow")},
        QueueBook, {"answer": "words"}, mute=True,
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
def test_what_was_delivered_is_stored_and_nothing_is_bought_twice(
    system: System, outages: Outages, tmp_path: Path, side: Side
) -> None:
    print(f"\nseed {SEED}", end=" ")
    book_path = tmp_path / "far.db"
    s3_url = settings().s3_endpoint_url or ""
    with ExitStack() as stack:
        to_s3 = stack.enter_context(proxy(s3_url))
        disk = stack.enter_context(small_disk(tmp_path / "disk"))
        more = {
            deployment.KEY_VARIABLE: deployment.KEY, "WEBHOOK_SECRET": WEBHOOK_SECRET, "CALLBACK_URL": system.url,
            "OWN_SECRET": OWN_SECRET, "RECONCILE_SECONDS": "20", "RETRY_MAX_SECONDS": "2",
            "S3_ENDPOINT_URL": to_s3.place(s3_url), **({"TMPDIR": str(disk)} if disk else {}),
        }  # fmt: skip
        stack.enter_context(environment(more))
        url = stack.enter_context(far_side(side, book_path, tmp_path))
        stack.callback(system.stop)  # before its disk goes
        more_of_it = json.loads(json.dumps(side.provider).replace("{url}", url))
        deployment.provider("far", side.adapter, url, **{"faults": 40, "rest_seconds": 0.5, **more_of_it})
        kind: dict[str, Any] = {"input_schema": COG_SCHEMA, "kind": "text"} if side.adapter == "cog" else {}
        deployment.routed(
            "made", {"provider": "far", "model": side.model, "options": side.options}, max_attempts=6,
            timeout_seconds=60, **kind,
        )  # fmt: skip
        system.start("api", "worker", "scheduler")
        system.processes.start_one("worker", number=2)
        owners = [account(amount=1000, plan="studio") for _ in range(4)]
        run = Run(system, owners, outages, to_s3, disk, side.input)
        run.order()
        run.turns.are_over()
        eventually(run.is_over, seconds=600, what="the end of all jobs")
        check(side, run, far_sides_word(side, side.book(book_path)))
    print(f"{len(run.killed)} kills, {', '.join(run.turns.happened)}", end=" ")


class Run:
    """Two hundred orders, and what befalls us meanwhile."""

    def __init__(
        self,
        system: System,
        owners: Sequence[Any],
        outages: Outages,
        to_s3: Proxy,
        disk: Path | None,
        more: dict[str, Any],
    ) -> None:
        self._system, self._outages, self._to_s3, self._disk, self._more = system, outages, to_s3, disk, more
        self._clients = [system.client(owner) for owner in owners]
        self._rng = random.Random(SEED)
        self.accepted: list[str] = []
        self.killed: list[str] = []
        self.turns = Turns()

    def order(self) -> None:
        turns = {
            30: self._restart_postgres, 70: self._swap_redis, 105: self._take_s3_away, 150: self._fill_the_disk,
            185: self._restart_postgres,
        }  # fmt: skip
        try:
            for number in range(JOBS):
                body = {"model": "made", "input": {"prompt": f"lake {number}", **self._more}}
                client = self._rng.choice(self._clients)
                self.accepted.append(submit_until_answered(client, body, f"k{number}"))
                if number in turns:
                    turns[number]()
                if number % PER_KILL == PER_KILL - 1:
                    self._kill()
        finally:
            for client in self._clients:
                client.close()

    def is_over(self) -> bool:
        revive_all(self._system, self.killed)
        return one("select count(*) from job_runs") == (0,)

    def _kill(self) -> None:
        victim = self._rng.choice(["worker", "worker.2"])
        if self._system.processes.alive(victim):
            self._system.processes.kill(victim)
            self.killed.append(victim)
        time.sleep(self._rng.random() * 0.6)
        revive_all(self._system, self.killed)

    def _restart_postgres(self) -> None:
        self._outages.restart_postgres()
        self.turns.happened.append("PostgreSQL restarted")

    def _swap_redis(self) -> None:
        self._outages.swap_redis()
        self.turns.happened.append("Redis swapped")

    def _take_s3_away(self) -> None:
        self._to_s3.set(Mode.CUT)
        self.turns.lasts(f"S3 away for {S3_AWAY_SECONDS:g} s", S3_AWAY_SECONDS, partial(self._to_s3.set, Mode.PASS))

    def _fill_the_disk(self) -> None:
        if self._disk is None:
            self.turns.happened.append("no disk of its own could be had")
            return
        taken = fill(self._disk)
        self.turns.lasts(f"disk full for {DISK_FULL_SECONDS:g} s", DISK_FULL_SECONDS, taken.unlink)


class Word(NamedTuple):
    """What the far side's book says, by our names of attempts (`job:number`)."""

    begun: Counter[str]  # how often
    delivered: set[str]  # a complete answer with the result, or with its addresses, has left for us


def far_sides_word(side: Side, book: Any) -> Word:
    begun, delivered = Counter[str](), set[str]()
    for each in book.generations():
        key = each["key"]
        if side.adapter == "fal":  # knows no key of ours, but the address that it is to call back names the attempt
            key = "{}:{}".format(*callbacks.attempt_of(each["facts"]["webhook"].rpartition("/")[2]))
        begun[key] += 1
        if each["delivered"]:
            delivered.add(key)
    return Word(begun, delivered)


class OnRecord(NamedTuple):
    """What our own books say of an attempt."""

    phase: str
    code: str | None
    charged: bool | None


# What an attempt says of a result that was delivered and is not there, besides what its result itself was.
LOST_WITH_A_WORKER = {"outcome_unknown", "result_lost"}
NEVER_BEGAN = {"limited", "http_500", "unreachable", "never_began", "busy", "not_ready", "never_called"}


def check(side: Side, run: Run, word: Word) -> None:
    """Every job has ended; what was begun at the provider is on record, and what it delivered is stored."""
    ended = dict(rows("select id::text, ended from jobs"))
    assert set(ended) == set(run.accepted)
    assert_books_are_clean()
    found = rows("select job_id, number, phase, error_code, charged from attempts")
    attempts = {f"{job}:{number}": OnRecord(*rest) for job, number, *rest in found}
    done = {key for key, each in attempts.items() if each.phase == "done"}
    outcome, codes = Counter(ended.values()), Counter(each.code for each in attempts.values() if each.code)
    print(dict(outcome), f"{len(attempts)} attempts, {len(word.begun)} begun, {len(word.delivered)} delivered", end=" ")
    print(dict(codes), end=" ")

    # Begun once each, and on record as that.
    assert set(word.begun) - set(attempts) == set(), "the provider began something that is not on record"
    assert {key for key, count in word.begun.items() if count != 1} == set(), "one attempt was paid for twice"
    never = {key for key, each in attempts.items() if each.phase == "failed" and each.code in NEVER_BEGAN}
    assert never & set(word.begun) == set(), "an attempt is on record as never begun, and was begun"
    # No blind repeat: a job's later attempt begins only after the provider's word, or ours, that the earlier failed.
    followed = {key for key in attempts if _next(key) in attempts}
    assert {key: attempts[key] for key in followed if attempts[key].phase != "failed"} == {}

    # A job has ended well exactly if one attempt of it is done, which the provider began, and whose result is here.
    well = sorted(job for job, status in ended.items() if status == "succeeded")
    assert sorted(key.rpartition(":")[0] for key in done) == well
    assert done - set(word.begun) == set(), "a result is stored of what the provider never began"
    assert sorted(str(job) for (job,) in rows("select distinct job_id from assets where status = 'stored'")) == well

    # Nothing that was delivered is lost: what can be asked for again is stored, whatever was killed. What cannot be is lost
    # only with a worker that was killed, and says so.
    missing = {key: attempts[key] for key in word.delivered - done}
    assert {key: each for key, each in missing.items() if each.code is None} == {}, "lost, and nobody says why"
    if side.mute:
        assert {each.code for each in missing.values()} <= LOST_WITH_A_WORKER, missing
        assert len(missing) <= len(run.killed) * settings().worker_threads
    else:
        assert missing == {}, "a result that could have been asked for again is lost"
    assert outcome["succeeded"] + outcome["failed"] == JOBS
    asked = {key.rpartition(":")[0] for key in attempts}
    given_up = {job for job, status in ended.items() if status == "failed"} - asked
    assert given_up == set(), "a job was given up before its provider was asked"
    reap()


def _next(key: str) -> str:
    job, _, number = key.rpartition(":")
    return f"{job}:{int(number) + 1}"
