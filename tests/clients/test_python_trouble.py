"""The Python client where things go wrong between it and a running system."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from headrace_client import AsyncFinishedJob, FinishedJob, Headrace, errors
from headrace_client.models import Event

from tests.clients.conftest import OUTAGE_SECONDS, Running
from tests.proxies import Mode, Proxy, proxy
from tests.support import account, assert_books_are_clean, balance, eventually, one

MANY = 500


@pytest.fixture
def line(running: Running) -> Iterator[Proxy]:
    with proxy(running.system.url) as made:
        yield made


def jobs_of(who: UUID) -> int:
    count: int = one("select count(*) from jobs where account_id = %s", who)[0]
    return count


def test_an_order_whose_answer_is_lost_is_ordered_once(running: Running, line: Proxy) -> None:
    who = account(amount=10)
    with running.client(who, line.place(running.system.url)) as client:
        client.credits.get()
        line.lose_answer_to(b"POST /v1/jobs")
        job = client.jobs.run("quick")
        assert (jobs_of(who), job.status) == (1, "succeeded")
        line.lose_answer_to(b"POST /v1/holds")
        hold = client.holds.create(amount=2)
        assert [each.id for each in client.holds.list()] == [hold.id]
        line.lose_answer_to(b"POST /v1/batches")
        client.batches.create([{"model": "quick", "input": {}}])
        assert jobs_of(who) == 2
        line.lose_answer_to(b"DELETE /v1/webhooks")
        hook = client.webhooks.create(url=running.receiver.url)
        client.webhooks.delete(hook.id)
        line.lose_answer_to(b"POST /v1/events/token")
        with pytest.raises(errors.ConnectionFailed, match="not known"):
            client.events.create_stream_token()
    assert_books_are_clean()


class Listener:
    """Follows a job in a thread."""

    def __init__(self, client: Headrace, job_id: str) -> None:
        self.events: list[Event] = []
        self.failed: list[Exception] = []
        self._client, self._job = client, job_id
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for event in self._client.jobs.stream(self._job):
                self.events.append(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, `end` says so
            self.failed.append(error)

    def heard(self, kind: str) -> bool:
        return any(event.type == kind for event in self.events)

    def end(self) -> list[str]:
        self._thread.join(60)
        assert self.failed == []
        return [event.type for event in self.events]


def test_a_server_that_restarts_in_mid_stream_is_not_noticed(running: Running) -> None:
    with running.client(account(amount=10)) as client:
        job = client.jobs.submit("slow", {})
        told = Listener(client, job.id)
        eventually(lambda: told.heard("job.running") or told.heard("job.progress"), what="a sign of the job")
        running.system.processes.stop("api")
        running.system.start("api", api={"HEARTBEAT_SECONDS": "1"})
        kinds = told.end()
        assert (kinds[0], kinds[-1]) == ("job", "job.succeeded")
        numbers = [event.number for event in told.events if event.number is not None]
        assert numbers == sorted(set(numbers)), "nothing twice, and in order"
        assert kinds.count("job") == 1


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.CUT, Mode.HANG])
def test_a_job_ends_although_there_was_no_network(running: Running, line: Proxy, mode: Mode) -> None:
    """As long as it takes to notice: where nothing arrives, that is `silence_seconds`."""
    who = account(amount=10)
    done: list[FinishedJob] = []
    with running.client(who, line.place(running.system.url)) as client, running.client(who) as beside:
        heard: list[str] = []
        thread = threading.Thread(
            target=lambda: done.append(client.jobs.run("slow", on_event=lambda e: heard.append(e.type)))
        )
        thread.start()
        eventually(lambda: "job" in heard, what="the stream")
        with line.being(mode):
            eventually(lambda: beside.jobs.list().first().data[0].status == "succeeded", what="the end")
            time.sleep(OUTAGE_SECONDS)
            assert done == []
        thread.join(60)
        assert [job.status for job in done] == ["succeeded"]
        assert len(done[0].read()) == done[0].outputs[0].size_bytes
    assert jobs_of(who) == 1


def test_a_download_goes_on_after_cuts(running: Running, line: Proxy) -> None:
    with running.client(account(amount=10), line.place(running.system.url)) as client:
        job = client.jobs.run("sketch-image", prompt="x", width=1024, height=1024)
        address = line.place(job.outputs[0].url)
        line.lose_answer_to(b"GET /files/")
        assert len(client.files.read(job.outputs[0].model_copy(update={"url": address}))) == job.outputs[0].size_bytes


@pytest.mark.timeout(280)  # 500 jobs, on two cores that others use too
def test_five_hundred_jobs_at_once_all_end(running: Running) -> None:
    who = account(amount=MANY, plan="enterprise")

    asked: Counter[str] = Counter()

    async def count(request: httpx.Request) -> None:
        asked[f"{request.method} {request.url.path.rpartition('/')[2][:8]}"] += 1

    async def run() -> list[AsyncFinishedJob]:
        async with running.waiting(who) as client:
            client._sender.http.event_hooks["request"] = [count]
            runs = [client.jobs.run("quick", seed=number) for number in range(MANY)]
            return await asyncio.gather(*runs)

    begun = time.monotonic()
    cpu = time.process_time()
    done = asyncio.run(run())
    took, cpu = time.monotonic() - begun, time.process_time() - cpu
    moments = [job.ended_at for job in done if job.ended_at] + [job.created_at for job in done]
    system = (max(moments) - min(moments)).total_seconds()
    print(
        f"{MANY} jobs in {took:.1f} s, {system:.1f} s from the first order to the last end, {cpu:.1f} s of the client's CPU; {asked['POST jobs']} orders, {asked['GET events']} streams, {asked.total()} requests"
    )
    assert len({job.id for job in done}) == MANY == jobs_of(who)
    assert balance(who) == (0, 0)
    assert_books_are_clean()
