"""What is ours goes away while a job runs: PostgreSQL, the account's lock, S3, Redis, the disk.

The provider answers at once and cannot be asked again, so whoever loses its answer loses what was paid for. Each case
begins between the provider's work and its answer, where most is known and least is written, and must end with the job
succeeded, one generation in the provider's own book, its very bytes stored, and clean books.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from cli.embedded.locked import STOP_SECONDS
from cli.embedded.servers import Addresses
from common.errors import Unavailable
from common.settings import settings
from models import db
from storage.s3 import storage
from tests.conftest import environment, lending
from tests.databases import Spare
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.media import png, wav
from tests.far_side.openai import OpenAIFarSide
from tests.far_side.server import Answer, Ask
from tests.frozen import frozen
from tests.outages import Own, hang_up_all, own_servers, set_read_only
from tests.proxies import Mode, proxy
from tests.support import System, account, assert_books_are_clean, balance, ended, eventually, one, rows

pytestmark = pytest.mark.faults

LOCK_SECONDS = 2.0  # models.db.conninfo
LEASE_SECONDS = 2.0  # tests.conftest.system
# A lost answer is given up after so long: red comes soon, and nothing that is right takes half of it.
SETTINGS = {"RECONCILE_SECONDS": "25", deployment.KEY_VARIABLE: deployment.KEY}
# Pauses that double from one second on have grown to half a minute by then, most of which is still to come.
RINGS_GROW_SECONDS = 35.0
ANSWERS = ["b64", "url"]  # the bytes themselves, or where they lie
TEXT = {"type": "object", "additionalProperties": False, "properties": {"text": {"type": "string"}}}


class Painter(OpenAIFarSide):
    """Works at once, and answers when it is told to."""

    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self.has_worked, self.may_answer = threading.Event(), threading.Event()

    def answer(self, ask: Ask) -> Answer:
        answer = super().answer(ask)
        if ask.method == "POST":
            self.has_worked.set()
            assert self.may_answer.wait(60)
        return answer


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with own_servers(tmp_path_factory.mktemp("own")) as servers:
        yield servers


@pytest.fixture(scope="module")
def stack(own: Own) -> Addresses:
    """These tests' own servers, in the place of those that all others share."""
    return own.addresses


@pytest.fixture(scope="module")
def spare(stack: Addresses) -> Iterator[Spare]:
    """Databases of those servers."""
    with lending(stack) as lender:
        yield lender


@pytest.fixture
def painter(system: System, tmp_path: Path) -> Iterator[Painter]:
    far = Painter(Book(tmp_path / "far.db"))
    with environment(SETTINGS), far.running():
        deployment.provider("painter", "openai", far.url)
        deployment.routed("picture", {"provider": "painter", "model": "dall-e-3"})
        deployment.routed("voice", {"provider": "painter", "model": "tts"}, kind="speech", input_schema=TEXT)
        try:
            yield far
        finally:
            far.may_answer.set()
            system.stop()


@contextmanager
def in_mid_call(system: System, painter: Painter, name: str = "picture", **worker: str) -> Iterator["Job"]:
    """A job whose provider has done its work and has not answered yet; it answers at the end of the block at the latest."""
    who = account(amount=9)
    system.start("api", "scheduler")
    system.start("worker", worker=worker)
    values = {"text": "a lake"} if name == "voice" else {"prompt": "a lake"}
    with system.client(who) as http:
        answer = http.post("/v1/jobs", json={"model": name, "input": values})
        assert answer.status_code == 201, answer.text
        assert painter.has_worked.wait(20), "the provider was not asked"
        try:
            yield Job(http, painter, who, answer.json()["id"], wav("a lake") if name == "voice" else PICTURE)
        finally:
            painter.may_answer.set()


PICTURE = png("/files/a-lake-0.png")


class Job:
    """A job under way, and what must have become of it."""

    def __init__(self, http: httpx.Client, painter: Painter, who: UUID, job_id: str, result: bytes) -> None:
        self.http, self.id = http, job_id
        self._painter, self._who, self._result = painter, who, result

    def assert_paid_once_and_stored(self) -> None:
        self._painter.may_answer.set()
        db.close()  # this process's own connections have ended as well
        done = ended(self.http, self.id, seconds=60)
        why = rows("select number, phase, error_code, error_message from attempts order by number")
        assert len(self._painter.book.generations()) == 1, f"bought more than once: {why}"
        assert done["status"] == "succeeded", f"a paid result was lost: {done['error']}, {why}"
        assert [row[:2] for row in why] == [(1, "done")]
        assert self.http.get(done["outputs"][0]["url"]).content == self._result
        for key in [key for row in rows("select key, thumbnail_key from assets") for key in row if key]:
            storage().head(key)
        assert balance(self._who) == (7, 0)
        assert_books_are_clean()


@pytest.mark.parametrize("answers", ANSWERS)
def test_every_connection_to_postgresql_is_dropped_during_the_call(
    system: System, painter: Painter, answers: str
) -> None:
    painter.script["*"] = {"answer": answers}
    with in_mid_call(system, painter) as job:
        hang_up_all(settings().database_url)
        job.assert_paid_once_and_stored()


@pytest.mark.parametrize("answers", ANSWERS)
def test_postgresql_is_restarted_during_the_call(system: System, painter: Painter, own: Own, answers: str) -> None:
    painter.script["*"] = {"answer": answers}
    with in_mid_call(system, painter) as job:
        own.stop_postgres()
        own.start_postgres()
        job.assert_paid_once_and_stored()


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("seconds", [1.0, 3 * LEASE_SECONDS])
def test_postgresql_is_away_when_the_answer_comes(
    system: System, painter: Painter, own: Own, answers: str, seconds: float
) -> None:
    """Also for longer than a lease: then whoever has the answer is a stranger to the job, and it counts all the same."""
    painter.script["*"] = {"answer": answers}
    with in_mid_call(system, painter) as job:
        own.stop_postgres()
        painter.may_answer.set()
        time.sleep(seconds)  # the outage
        own.start_postgres()
        job.assert_paid_once_and_stored()


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_accounts_row_is_locked_for_longer_than_the_lock_time_out_when_the_job_settles(
    system: System, painter: Painter, answers: str
) -> None:
    painter.script["*"] = {"answer": answers}
    with in_mid_call(system, painter) as job:
        with psycopg.connect(settings().database_url) as other:
            other.execute("select 1 from accounts for update")
            painter.may_answer.set()
            time.sleep(2 * LOCK_SECONDS + 1)  # the lock
        job.assert_paid_once_and_stored()


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_database_takes_no_writes_when_the_answer_comes(system: System, painter: Painter, answers: str) -> None:
    """As after a failover to a standby."""
    painter.script["*"] = {"answer": answers}
    with in_mid_call(system, painter) as job:
        set_read_only(settings().database_url, on=True)
        painter.may_answer.set()
        time.sleep(2 * LEASE_SECONDS)  # the outage
        set_read_only(settings().database_url, on=False)
        job.assert_paid_once_and_stored()


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.CUT, Mode.HANG])
def test_s3_is_away_when_the_answer_comes(system: System, painter: Painter, mode: Mode) -> None:
    url = settings().s3_endpoint_url
    assert url is not None
    with proxy(url) as s3, in_mid_call(system, painter, S3_ENDPOINT_URL=s3.place(url)) as job:
        with s3.being(mode):
            painter.may_answer.set()
            time.sleep(3 * LEASE_SECONDS)  # the outage
        job.assert_paid_once_and_stored()


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk to be filled is mounted, which takes root")
def test_the_temporary_folder_is_full_when_the_answer_comes(system: System, painter: Painter, tmp_path: Path) -> None:
    """Speech is spooled to disk to be measured."""
    with (
        full_disk(tmp_path / "full") as make_room,
        in_mid_call(system, painter, "voice", TMPDIR=str(tmp_path / "full")) as job,
    ):
        painter.may_answer.set()
        time.sleep(2 * LEASE_SECONDS)  # the outage
        make_room()
        job.assert_paid_once_and_stored()


def test_a_stop_waits_for_an_answer_that_nobody_could_ask_for_again(system: System, painter: Painter) -> None:
    """The supervisor asks the worker to stop, and waits as well, for longer than it waits for anybody else."""
    with in_mid_call(system, painter) as job:
        answers = threading.Timer(STOP_SECONDS + 2, painter.may_answer.set)
        answers.start()
        system.processes.stop("worker")
        assert painter.may_answer.is_set(), "the worker was killed before its answer came"
        assert one("select ended from jobs") == ("succeeded",), "it left without what it had waited for"
        job.assert_paid_once_and_stored()


@pytest.mark.parametrize("answers", ANSWERS)
def test_a_worker_that_is_paused_past_its_lease_brings_its_answer_late(
    system: System, painter: Painter, answers: str
) -> None:
    """As a virtual machine that is moved: meanwhile another worker has the job, and can ask nobody."""
    painter.script["*"] = {"answer": answers}
    with in_mid_call(system, painter) as job:
        with frozen(system.processes.pid("worker")):
            system.processes.start_one("worker", number=2)
            eventually(lambda: one("select status from job_runs") == ("reconciling",), what="the other worker's look")
            painter.may_answer.set()
        job.assert_paid_once_and_stored()


@contextmanager
def full_disk(at: Path) -> Iterator[Callable[[], object]]:
    """A disk with room for one page, and what makes more of it."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "tmpfs", str(at)], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=16m", str(at)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def test_redis_is_away_when_the_answer_comes_and_comes_back_empty(system: System, painter: Painter, own: Own) -> None:
    with in_mid_call(system, painter) as job:
        own.stop_redis()
        painter.may_answer.set()
        job.assert_paid_once_and_stored()  # Redis is only the bell
        own.start_redis(empty=True)


def test_jobs_that_were_ordered_while_redis_was_away_run_soon_after_it_is_back(
    system: System, painter: Painter, own: Own
) -> None:
    """However long it was away: the pauses between two rings grow, but not while nobody could hear them."""
    painter.may_answer.set()
    who = account(amount=9)
    system.start("api", "scheduler", "worker")
    own.stop_redis()
    try:
        with system.client(who) as http:
            job = http.post("/v1/jobs", json={"model": "picture", "input": {"prompt": "a lake"}}).json()
            time.sleep(RINGS_GROW_SECONDS)  # the outage
            own.start_redis(empty=True)
            assert ended(http, job["id"], seconds=15)["status"] == "succeeded"
    finally:
        own.start_redis()
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()


@pytest.mark.parametrize("end", [Own.stop_postgres, Own.kill_postgres], ids=["stopped", "killed"])
def test_postgresql_ends_while_many_jobs_run(
    system: System, painter: Painter, own: Own, end: Callable[[Own], None]
) -> None:
    """Whatever each of them was at: all succeed, and each was bought once. What was accepted in its last moment is there."""
    painter.may_answer.set()
    who = account(amount=100, plan="studio")
    system.start("api", "scheduler", "worker")
    ordered: list[str] = []
    with system.client(who) as http:
        for number in range(30):
            ordered.append(submitted(http, f"k{number}"))
            if number in {10, 20}:
                end(own)
                own.start_postgres()
        db.close()
        eventually(nothing_runs, seconds=60, what="the end of all jobs")
        assert {str(job) for (job,) in rows("select id from jobs")} == set(ordered)
        ends = {ended(http, job_id)["status"] for job_id in ordered}
    assert len(set(ordered)) == 30
    assert ends == {"succeeded"}, rows(
        "select phase, error_code, error_message, count(*) from attempts group by 1, 2, 3"
    )
    assert len(painter.book.generations()) == 30
    assert balance(who) == (40, 0)
    assert_books_are_clean()


def submitted(http: httpx.Client, key: str) -> str:
    """The job of an order that is repeated with its key until it is answered, as clients do."""
    found: dict[str, Any] = {}

    def order() -> bool:
        body = {"model": "picture", "input": {"prompt": key}}
        try:
            answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            return False
        found.update(answer.json())
        assert answer.status_code in {201, 503}, (
            f"neither taken nor asked to come again: {answer.status_code} {answer.text}"
        )
        return answer.status_code == 201

    eventually(order, seconds=30, what=f"the order {key}")
    return str(found["id"])


def nothing_runs() -> bool:
    try:
        return one("select count(*) from job_runs") == (0,)
    except Unavailable:
        return False
