"""fal's library for Python, unmodified, against a running system: it gets two hosts, a key and an authority."""

import asyncio
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import environment
from tests.proxies import Mode, proxy
from tests.sdks.fal_program import fresh, library
from tests.sdks.house import SdkHouse
from tests.support import balance, eventually, one, rows
from tests.tls import papers, tls

# The library leaves its connections open; they are closed when their clients are collected, in the test that made them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def fal(house: SdkHouse) -> Iterator[ModuleType]:
    """The library as a program has it that was started with these variables."""
    with library(house) as made:
        yield made


class Program:
    """An account and its two clients."""

    def __init__(self, house: SdkHouse, fal: ModuleType, credits: int = 100) -> None:
        self.account_id, self.key = house.key(credits=credits)
        self.client = fal.SyncClient(key=self.key)
        self.fal = fal

    def job_ids(self) -> list[UUID]:
        return [each for (each,) in rows("select id from jobs where account_id = %s", self.account_id)]

    def jobs(self) -> int:
        return len(self.job_ids())


@pytest.fixture
def program(house: SdkHouse, fal: ModuleType) -> Program:
    return Program(house, fal)


def test_run_waits_for_the_result(program: Program) -> None:
    found = program.client.run("headrace/picture", {"prompt": "a harbour", "seed": 7, "count": 2})
    assert [each["content_type"] for each in found["images"]] == ["image/png"] * 2
    assert (found["seed"], found["prompt"]) == (7, "a harbour")
    assert found["images"][0]["width"] == 64
    assert balance(program.account_id) == (99, 0)


def test_an_alias_of_three_parts_is_submitted_watched_and_fetched_by_its_id(program: Program) -> None:
    handle = program.client.submit("fal-ai/flux/dev", {"prompt": "a harbour"})
    assert f"/compat/fal/queue/fal-ai/flux/requests/{handle.request_id}" in handle.response_url
    seen = list(handle.iter_events(with_logs=True))
    assert isinstance(seen[-1], program.fal.Completed)
    assert seen[-1].metrics["inference_time"] >= 0
    assert seen[-1].error is None
    assert handle.get()["images"] == program.client.result("fal-ai/flux/dev", handle.request_id)["images"]
    assert isinstance(program.client.status("fal-ai/flux/dev", handle.request_id), program.fal.Completed)


def test_subscribe_tells_of_each_status(program: Program) -> None:
    seen: list[Any] = []
    found = program.client.subscribe("headrace/slow", {}, with_logs=True, on_queue_update=seen.append)
    assert len(found["images"]) == 1
    assert {type(each).__name__ for each in seen} >= {"InProgress", "Completed"}


def test_a_job_that_fails_is_completed_and_its_result_is_an_error(program: Program) -> None:
    handle = program.client.submit("headrace/broken", {})
    *_, last = handle.iter_events()
    assert last.error
    with pytest.raises(program.fal.FalClientHTTPError) as refused:
        handle.get()
    assert (refused.value.status_code, refused.value.error_type) == (500, last.error_type)
    assert refused.value.message == last.error
    with pytest.raises(program.fal.FalClientHTTPError):
        program.client.run("headrace/broken", {"seed": 1})
    assert balance(program.account_id) == (100, 0)


def test_a_request_is_called_off(program: Program) -> None:
    handle = program.client.submit("headrace/slow", {})
    handle.cancel()
    with pytest.raises(program.fal.FalClientHTTPError) as refused:
        handle.get()
    assert (refused.value.status_code, refused.value.error_type) == (400, "client_cancelled")
    done = program.client.submit("headrace/picture", {})
    done.get()
    with pytest.raises(program.fal.FalClientHTTPError) as late:
        done.cancel()
    assert late.value.status_code == 400
    assert late.value.response.json()["status"] == "ALREADY_COMPLETED"


def test_refusals_are_not_tried_again(house: SdkHouse, fal: ModuleType) -> None:
    poor = Program(house, fal, credits=0)
    cases = [
        (poor.client, "headrace/picture", {}, 402),
        (poor.client, "headrace/picture", {"nonsense": 1}, 422),
        (poor.client, "headrace/nothing", {}, 404),
        (fal.SyncClient(key="hr_nonsense"), "headrace/picture", {}, 401),
    ]
    for client, app, arguments, status in cases:
        begun = time.monotonic()
        for call in (client.run, client.submit):
            with pytest.raises(fal.FalClientHTTPError) as refused:
                call(app, arguments)
            assert refused.value.status_code == status
            assert refused.value.response.headers["x-fal-request-id"]
        assert time.monotonic() - begun < 5
    assert refused.value.message
    assert poor.jobs() == 0


def test_a_field_that_does_not_fit_is_named(program: Program) -> None:
    with pytest.raises(program.fal.FalClientHTTPError) as refused:
        program.client.run("headrace/picture", {"width": "wide"})
    assert refused.value.message[0]["loc"] == ["body", "width"]


def test_a_run_that_outlasts_the_wait_is_sent_again_and_stays_one_job(lone_house: SdkHouse) -> None:
    house = lone_house
    house.system.processes.stop("api")
    with environment({"PREFER_WAIT_SECONDS": "1"}):
        house.system.start("api", api={"PREFER_WAIT_SECONDS": "1", "PUBLIC_URL": house.url})
    with library(house) as fal:
        program = Program(house, fal)
        found = program.client.run("headrace/slow", {})
    assert len(found["images"]) == 1
    assert program.jobs() == 1
    assert balance(program.account_id) == (99, 0)


def test_a_text_is_streamed(program: Program) -> None:
    seen = list(program.client.stream("headrace/text", {"prompt": "tell of a harbour\u2028and of a lighthouse"}))
    assert seen[-1]["partial"] is False
    assert seen[-1]["output"]
    assert all(seen[-1]["output"].startswith(each["output"]) for each in seen[:-1])
    assert program.client.run("headrace/text", {"prompt": "more"})["output"]


def test_files_are_uploaded_after_the_patch_of_two_lines(house: SdkHouse, program: Program) -> None:
    house.offer("edit", input_schema={
        "type": "object", "additionalProperties": False,
        "properties": {"image_url": {"type": "string", "format": "image"}, "prompt": {"type": "string"}},
    })  # fmt: skip
    client = program.fal.client
    client.REST_URL, client.CDN_URL = f"{house.url}/compat/fal/rest", f"{house.url}/compat/fal/cdn"
    picture = program.client.run("headrace/picture", {})["images"][0]["url"]
    import httpx

    raw = httpx.get(picture).content
    url = program.fal.SyncClient(key=program.key).upload(raw, "image/png", file_name="a.png")
    assert httpx.get(url).content == raw
    again = program.fal.SyncClient(key=program.key).upload(raw, "image/png", repository="fal")
    assert httpx.get(again).content == raw
    eventually(lambda: program.client.run("headrace/edit", {"image_url": url})["images"] != [])
    assert rows("select count(*) from uploads where account_id = %s", program.account_id) == [(2,)]
    kept = one("select input->>'image_url' from jobs where account_id = %s and model_id = 'edit'", program.account_id)
    assert kept[0].startswith("file_")


def test_the_async_client_does_the_same(house: SdkHouse, fal: ModuleType) -> None:
    account_id, key = house.key(credits=10)

    async def use() -> None:
        client = fal.AsyncClient(key=key)
        assert len((await client.run("headrace/picture", {}))["images"]) == 1
        handle = await client.submit("fal-ai/flux/dev", {}, priority="low")
        seen = [each async for each in handle.iter_events(with_logs=True)]
        assert isinstance(seen[-1], fal.Completed)
        assert len((await handle.get())["images"]) == 1
        assert len((await client.subscribe("headrace/picture", {}))["images"]) == 1
        events = [each async for each in client.stream("headrace/text", {"prompt": "a harbour"})]
        assert events[-1]["output"]
        gone = await client.submit("headrace/slow", {})
        await gone.cancel()
        with pytest.raises(fal.FalClientHTTPError):
            await gone.get()

    asyncio.run(use())
    assert balance(account_id)[1] == 0


def test_a_request_that_does_not_begin_in_time_is_called_off_and_not_sent_again(lone_house: SdkHouse) -> None:
    lone_house.system.processes.stop("worker")
    begun = time.monotonic()
    with library(lone_house) as fal:
        program = Program(lone_house, fal)
        for call in (program.client.run, program.client.subscribe):
            with pytest.raises(fal.FalClientHTTPError) as refused:
                call("headrace/picture", {}, start_timeout=1.5)
            assert refused.value.status_code == 504
            assert refused.value.error_type == "request_timeout"
    assert time.monotonic() - begun < 20
    assert balance(program.account_id) == (100, 0)
    assert {each for (each,) in rows("select ended from jobs where account_id = %s", program.account_id)} == {
        "canceled"
    }


def test_orders_that_are_cut_or_run_out_of_time_are_sent_again_and_stay_one_job(
    house: SdkHouse, tmp_path: Path
) -> None:
    made = papers(tmp_path)
    with proxy(house.system.url) as between, tls(between.port, made.chain) as front:
        hosts = {"FAL_RUN_HOST": f"localhost:{front}/compat/fal/run", "SSL_CERT_FILE": str(made.authority)}
        with environment(hosts):
            fal = fresh()
            program = Program(house, fal)
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(program.client.run, "headrace/slow", {"seed": 1})
                for _ in range(3):
                    eventually(lambda: program.jobs() == 1)
                    between.set(Mode.CUT)
                    time.sleep(0.3)
                    between.set(Mode.PASS)
                assert len(running.result(60)["images"]) == 1
            assert program.jobs() == 1
            impatient = fal.SyncClient(key=program.key).run("headrace/slow", {"seed": 2}, timeout=3)
            assert len(impatient["images"]) == 1
            assert program.jobs() == 2
            assert house.provider_starts(*program.job_ids()) == 2
        gc.collect()
    assert balance(program.account_id) == (98, 0)


def test_an_id_of_somebody_else_is_not_found(house: SdkHouse, fal: ModuleType, program: Program) -> None:
    handle = program.client.submit("headrace/picture", {})
    other = Program(house, fal)
    for call in (other.client.status, other.client.result, other.client.cancel):
        with pytest.raises(fal.FalClientHTTPError) as refused:
            call("headrace/picture", handle.request_id)
        assert refused.value.status_code == 404
    assert UUID(handle.request_id)
