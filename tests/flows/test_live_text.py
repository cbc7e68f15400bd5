"""A text is read while it is written: real API, workers and scheduler, a far side that writes slowly, and sketch."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.redis_client import redis_client
from common.settings import settings
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.openai import OpenAIFarSide
from tests.listening import Listening
from tests.support import System, account, assert_books_are_clean, ended, eventually, key_of, model, rows

WORDS = [f"word{number} " for number in range(30)]
TEXT_SCHEMA = {"type": "object", "additionalProperties": False, "properties": {"prompt": {"type": "string"}}}
TEXT = {"kind": "text", "input_schema": TEXT_SCHEMA, "price": {"unit": "token", "credits": 1, "per": 1000}}


@pytest.fixture
def far(system: System, tmp_path: Path) -> Iterator[OpenAIFarSide]:
    with (
        environment({deployment.KEY_VARIABLE: deployment.KEY}),
        OpenAIFarSide(Book(tmp_path / "far.db"), script={"slow": {"deltas": WORDS, "pause": 0.1}}).running() as side,
    ):
        deployment.provider("writer", "openai", side.url)
        price = {"cost_usd_micros_per_1k_tokens_in": 1000, "cost_usd_micros_per_1k_tokens_out": 2000}
        deployment.routed("chat", {"provider": "writer", "model": "slow", "options": price}, **TEXT)
        yield side
        system.stop()


def headers_of(account_id: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(account_id)}"}


def order(http: httpx.Client, name: str, prompt: str = "Tell me.") -> str:
    answer = http.post("/v1/jobs", json={"model": name, "input": {"prompt": prompt}})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def read(heard: Listening) -> str:
    """What a client has that puts each part where it belongs: one at position 0 begins anew."""
    text = ""
    for frame in list(heard.frames):
        if frame["event"] == "job.text":
            said = frame["data"]
            assert said["position"] in (0, len(text)), (said, text)
            text = text[: said["position"]] + said["text"]
    return text


def whole(http: httpx.Client, job: dict[str, Any]) -> str:
    return httpx.get(job["outputs"][0]["url"], follow_redirects=True).text


def test_a_text_is_read_as_it_is_written_also_by_who_comes_in_the_middle(system: System, far: OpenAIFarSide) -> None:
    system.start("api", "worker", "scheduler")
    who = account(amount=20)
    with system.client(who) as http:
        job_id = order(http, "chat")
        url = f"{system.url}/v1/jobs/{job_id}/events"
        with Listening(url, headers_of(who)) as first, Listening(f"{system.url}/v1/events", headers_of(who)) as all_:
            eventually(lambda: "word3 " in read(first), what="the first words")
            before = len(read(first))
            assert before < len("".join(WORDS))
            with Listening(url, headers_of(who)) as second:
                eventually(lambda: "word0 word1 word2 " in read(second), seconds=2, what="what was written before")
                job = ended(http, job_id)
                assert first.over.wait(10)
                assert second.over.wait(10)
            eventually(lambda: "job.succeeded" in all_.kinds(), what="the end")
        text = whole(http, job)
        assert text == "".join(WORDS)
        for heard in (first, second):
            assert text.startswith(read(heard)), "something else than the text was told"
            assert len(read(heard)) > len(text) * 3 // 4
        assert len([frame for frame in first.frames if frame["event"] == "job.text"]) > 5
        # Nothing of it is kept, numbered, or told to those who follow the account.
        assert "job.text" not in all_.kinds()
        assert {frame["number"] for frame in first.frames if frame["event"] == "job.text"} == {None}
        assert rows("select count(*) from events where type = 'job.text'") == [(0,)]
        assert rows("select usage, cost_usd_micros from attempts") == [
            ({"tokens": 37, "tokens_in": 7, "tokens_out": 30}, 67)
        ]
        assert job["credits"] == {"reserved": 1, "charged": 1}
    assert_books_are_clean()


def test_nothing_is_sent_of_a_text_that_nobody_follows(system: System, far: OpenAIFarSide) -> None:
    system.start("api", "worker", "scheduler")
    who = account(amount=20)
    with redis_client(settings().redis_url, timeout_seconds=5) as client, system.client(who) as http:
        with client.pubsub() as channel, Listening(f"{system.url}/v1/events", headers_of(who)):
            channel.subscribe("headrace:live")
            ended(http, order(http, "chat"))
            said = b"".join(
                m["data"] for m in iter(lambda: channel.get_message(timeout=0.2), None) if m["type"] == "message"
            )
        assert b"job.running" in said
        assert b"job.text" not in said
        assert client.keys("headrace:text:*") == []


def test_sketch_writes_as_well_and_its_text_is_its_result(system: System) -> None:
    model("slow-sketch", **TEXT, **sketch())
    system.start("api", "worker", "scheduler")
    who = account(amount=20)
    with system.client(who) as http:
        job_id = order(http, "slow-sketch", "What does a lighthouse keeper do all day?")
        with Listening(f"{system.url}/v1/jobs/{job_id}/events", headers_of(who)) as heard:
            eventually(lambda: len(read(heard)) > 10, what="the first words")
            assert "job.succeeded" not in heard.kinds()
            job = ended(http, job_id)
            assert heard.over.wait(10)
        assert job["status"] == "succeeded"
        assert whole(http, job).startswith(read(heard))
        assert "lighthouse" in whole(http, job)
    assert_books_are_clean()


def sketch() -> dict[str, Any]:
    return {"routes": [{"provider": "sketch", "model": "text", "options": {"delay_seconds": 2.0}}]}


@pytest.mark.parametrize("name", ["chat-again", "slow-sketch"])
def test_a_worker_killed_while_it_writes_loses_nothing(system: System, far: OpenAIFarSide, name: str) -> None:
    """Where the provider takes the same call again, the text is told anew from its beginning."""
    model("slow-sketch", **TEXT, **sketch())
    far.script["slow"]["idempotent"] = True
    deployment.provider("repeater", "openai", far.url, options={"idempotent": True})
    deployment.routed("chat-again", {"provider": "repeater", "model": "slow"}, **TEXT)
    system.start("api", "worker", "scheduler", worker={"LEASE_SECONDS": "2"}, scheduler={"LEASE_SECONDS": "2"})
    who = account(amount=20)
    with system.client(who) as http:
        job_id = order(http, name, "What does a lighthouse keeper do all day?")
        with Listening(f"{system.url}/v1/jobs/{job_id}/events", headers_of(who)) as heard:
            eventually(lambda: len(read(heard)) > 10, what="the first words")
            system.processes.kill("worker")
            system.start("worker", worker={"LEASE_SECONDS": "2"})
            job = ended(http, job_id)
            assert heard.over.wait(10)
        assert job["status"] == "succeeded"
        assert whole(http, job).startswith(read(heard))
        begun = [frame for frame in heard.frames if frame["event"] == "job.text" and frame["data"]["position"] == 0]
        assert len(begun) == (2 if name == "chat-again" else 1)
    assert_books_are_clean()


def test_without_redis_the_text_is_there_in_the_end(system: System, far: OpenAIFarSide) -> None:
    """Redis is full: it takes no word and keeps no text, and a stream is open all the same."""
    system.start("api", "worker", "scheduler")
    who = account(amount=20)
    with redis_client(settings().redis_url, timeout_seconds=5) as client, system.client(who) as http:
        job_id = order(http, "chat")
        with Listening(f"{system.url}/v1/jobs/{job_id}/events", headers_of(who)) as heard:
            eventually(lambda: bool(read(heard)), what="the first words")
            client.flushall()
            for _ in range(10):
                with contextlib.suppress(Exception):
                    client.client_kill_filter(_type="pubsub", skipme=True)
            job = ended(http, job_id)
            assert heard.over.wait(15)
        assert whole(http, job) == "".join(WORDS)
        assert "job.succeeded" in heard.kinds()
    assert_books_are_clean()


def test_many_read_one_text_and_nobody_reads_anothers(system: System, far: OpenAIFarSide) -> None:
    system.start("api", "worker", "scheduler")
    who, other = account(amount=20), account(amount=20)
    with system.client(who) as http, contextlib.ExitStack() as streams:
        job_id, theirs = order(http, "chat"), headers_of(other)
        url = f"{system.url}/v1/jobs/{job_id}/events"
        assert httpx.get(url, headers={**theirs, "accept": "text/event-stream"}).status_code == 404
        mine = headers_of(who)
        with ThreadPoolExecutor(5) as pool:
            all_ = list(pool.map(lambda _: streams.enter_context(Listening(url, mine)), range(5)))
        job = ended(http, job_id)
        for heard in all_:
            assert heard.over.wait(10)
            assert whole(http, job).startswith(read(heard))
            assert len(read(heard)) > 50
