"""The API ends and comes back while programs wait for what they have ordered: each gets its result, and each order is one job."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from types import ModuleType
from uuid import UUID

import httpx
import pytest
import replicate
from openai import OpenAI

from tests.sdks.fal_program import library
from tests.sdks.house import SdkHouse
from tests.support import balance, eventually, rows

# With the house, a key, fal's library, and what it sets once its order may be interrupted.
Program = Callable[[SdkHouse, str, ModuleType, Event], bytes]


def draw_with_openai(house: SdkHouse, key: str, _fal: ModuleType, ready: Event) -> bytes:
    """It sends its order again by itself, and says so."""
    ready.set()
    with OpenAI(api_key=key, base_url=f"{house.url}/compat/openai/v1", max_retries=12) as client:
        made = client.images.generate(model="slow", prompt="a harbour")
    return base64.b64decode((made.data or [])[0].b64_json or "")


def draw_with_replicate(house: SdkHouse, key: str, _fal: ModuleType, ready: Event) -> bytes:
    """It never sends an order again: it has its answer, then hears nothing, and looks again."""
    client = replicate.Client(api_token=key, base_url=f"{house.url}/compat/replicate")
    try:
        made = client.predictions.create(model="headrace/slow", input={}, wait=False)
        ready.set()

        def ended() -> bool:
            with suppress(httpx.TransportError):
                made.reload()
            return made.status in ("succeeded", "failed", "canceled")

        eventually(ended, seconds=90)
        return httpx.get(made.output[0], timeout=30).content
    finally:
        client._client.close()


def draw_with_fal(_house: SdkHouse, key: str, fal: ModuleType, ready: Event) -> bytes:
    """It sends its order again by itself, and says nothing of it."""
    ready.set()
    found = fal.SyncClient(key=key).run("headrace/slow", {})
    return httpx.get(found["images"][0]["url"], timeout=30).content


def stop(house: SdkHouse) -> None:
    house.system.processes.stop("api")


def kill(house: SdkHouse) -> None:
    house.system.processes.kill("api")


# An order under way in a process that is killed is seen by its retry count alone, which fal's library does not send.
@pytest.mark.parametrize(
    ("end", "programs"),
    [
        (stop, (draw_with_openai, draw_with_replicate, draw_with_fal)),
        (kill, (draw_with_openai, draw_with_replicate)),
    ],
)
def test_an_api_that_ends_and_comes_back_costs_programs_nothing(
    lone_house: SdkHouse, end: Callable[[SdkHouse], None], programs: tuple[Program, ...]
) -> None:
    house = lone_house
    accounts = [house.key(credits=5) for _ in programs]
    ready = [Event() for _ in programs]
    with library(house) as fal, ThreadPoolExecutor(len(programs)) as pool:
        drawn = [
            pool.submit(each, house, key, fal, at) for each, (_, key), at in zip(programs, accounts, ready, strict=True)
        ]
        eventually(
            lambda: len(rows("select 1 from jobs")) == len(programs) and all(each.is_set() for each in ready),
            seconds=30, what="the orders",
        )  # fmt: skip
        end(house)
        house.system.start("api", api={"PUBLIC_URL": house.url})
        assert {each.result(120)[:4] for each in drawn} == {b"\x89PNG"}
    for account_id, _ in accounts:
        [(job_id,)] = rows("select id from jobs where account_id = %s", account_id)
        assert (balance(account_id), house.provider_starts(UUID(str(job_id)))) == ((4, 0), 1)
