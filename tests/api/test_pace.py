"""One address cannot take the processor from those who have a key: what strangers ask beyond their pace waits."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from api import docs, pace
from api.door import DOOR, Door, Room
from api.limits import Limits
from api.pace import AHEAD_SECONDS, MAX_REGULARS, MOST_SECONDS, MOST_WAITING, PACE, Pace, know, weigh
from tests.api.test_connections import port_of
from tests.storage.samples import wave_file
from tests.strangers import REQUEST, Stranger
from tests.support import System, account, key_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(pace.asyncio, "sleep", sleep)
    return waits


def asked(kept: Pace, host: str = "198.51.100.7", path: str = "/v1/plans", key: str | None = None) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return {"client": (host, 1), "path": path, "headers": headers, PACE: kept}


def waits(kept: Pace, peer: str, cost: float) -> float:
    kept.charge(peer, cost)
    return kept.wait_of(peer)


def test_an_address_is_a_second_ahead_and_then_keeps_its_pace(clock: Clock) -> None:
    kept = Pace(10, clock)
    assert [waits(kept, "a", 1) for _ in range(10)] == [0.0] * 10
    assert waits(kept, "a", 1) == pytest.approx(0.1)
    assert waits(kept, "a", 5) == pytest.approx(0.6)
    assert waits(kept, "b", 1) == 0.0, "another address"
    clock.now += 0.6
    assert waits(kept, "a", 1) == pytest.approx(0.1)
    clock.now += 60
    assert [waits(kept, "a", 1) for _ in range(10)] == [0.0] * 10, "nothing is saved up besides"


def test_a_debt_ends_grows_no_further_and_is_forgotten(clock: Clock) -> None:
    kept = Pace(10, clock)
    assert waits(kept, "a", 1e9) == pytest.approx(MOST_SECONDS)
    clock.now += MOST_SECONDS + AHEAD_SECONDS
    for number in range(1000):
        waits(kept, str(number), 1)
    assert "a" not in kept._paid_at
    clock.now += 60
    waits(kept, "b", 1)
    assert list(kept._paid_at) == ["b"]


def test_what_somebody_known_has_cost_is_given_back_once(clock: Clock) -> None:
    kept = Pace(10, clock)
    for _ in range(100):
        scope = asked(kept)
        assert asyncio.run(kept.turn(scope))
        know(scope)
        know(scope)
    assert [waits(kept, "198.51.100.7", 1) for _ in range(11)][-2:] == [0.0, pytest.approx(0.1)]


def test_no_more_is_given_back_than_was_counted(clock: Clock) -> None:
    kept = Pace(10, clock)
    kept.charge("198.51.100.7", 1e6)
    for _ in range(50):
        scope = asked(kept)
        asyncio.run(kept.turn(scope))
        know(scope)
    assert kept.wait_of("198.51.100.7") == pytest.approx(MOST_SECONDS)


def test_who_was_known_does_not_wait_for_strangers_of_the_same_address(clock: Clock, slept: list[float]) -> None:
    kept = Pace(10, clock)
    know(asked(kept, key="good"))
    waits(kept, "198.51.100.7", 35)
    assert asyncio.run(kept.turn(asked(kept, key="good")))
    assert slept == []
    assert asyncio.run(kept.turn(asked(kept, key="guessed")))
    assert asyncio.run(kept.turn(asked(kept)))
    assert slept == [pytest.approx(2.7), pytest.approx(2.8)]
    kept.forget(asked(kept, key="good"))  # it was revoked
    assert asyncio.run(kept.turn(asked(kept, key="good")))
    assert len(slept) == 3


def test_only_so_many_are_remembered(clock: Clock) -> None:
    kept = Pace(10, clock)
    for number in range(MAX_REGULARS + 5):
        know(asked(kept, key=str(number)))
    assert len(kept._regulars) == MAX_REGULARS
    assert not kept._is_regular(asked(kept, key="0"))
    assert kept._is_regular(asked(kept, key=str(MAX_REGULARS)))


def test_who_would_wait_too_long_is_told_so_and_health_is_soon_told(clock: Clock, slept: list[float]) -> None:
    kept = Pace(10, clock)
    waits(kept, "198.51.100.7", 1e6)
    assert not asyncio.run(kept.turn(asked(kept)))
    assert asyncio.run(kept.turn(asked(kept, path="/healthz")))
    assert asyncio.run(kept.turn(asked(kept, path="/readyz")))
    assert slept == [1.0, 1.0]
    assert asyncio.run(kept.turn(asked(kept, host="203.0.113.1")))


def test_only_so_many_of_an_address_wait(clock: Clock) -> None:
    kept = Pace(10, clock)
    kept.charge("198.51.100.7", 15)

    async def many() -> list[bool]:
        asking = [asyncio.create_task(kept.turn(asked(kept))) for _ in range(MOST_WAITING + 5)]
        await asyncio.sleep(0)
        refused = [each.result() for each in asking if each.done()]
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        return refused

    kept._unit_seconds = 0.001  # so that nobody waits too long
    assert asyncio.run(many()) == [False] * 5
    assert not kept._waiting


def test_a_network_of_ipv6_is_one_address(clock: Clock, slept: list[float]) -> None:
    kept = Pace(10, clock)
    for number in range(12):
        assert asyncio.run(kept.turn(asked(kept, host=f"2001:db8::{number:x}")))
    assert slept == [pytest.approx(0.1), pytest.approx(0.2)]


def test_a_large_answer_costs_more(clock: Clock) -> None:
    kept = Pace(10, clock)
    weigh(asked(kept), 32_768 * 30)
    assert waits(kept, "198.51.100.7", 1) == pytest.approx(2.1)


def paid(kept: Pace, app: Any, path: str, **more: Any) -> float:
    """What a stranger's request to an app costs, in requests."""

    async def paced(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, PACE: kept, **more}, receive, send)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(paced), base_url="http://x") as client:
            assert (await client.get(path)).status_code == 200

    before = kept._paid_at.get("127.0.0.1", kept._clock())
    asyncio.run(ask())
    return (kept._paid_at.get("127.0.0.1", before) - before) / kept._unit_seconds


def test_the_document_and_the_scripts_of_its_pages_cost_what_they_weigh(clock: Clock) -> None:
    app = FastAPI(openapi_url=None)
    docs.install(app)
    assert paid(Pace(10, clock), app, "/docs/redoc.standalone.js") > 10
    assert paid(Pace(1, clock), app, "/openapi.json") > 0
    assert paid(Pace(10, clock), app, "/docs") == 0


def test_a_strangers_request_through_a_proxy_costs_its_connection_too(clock: Clock) -> None:
    app = Limits(PlainTextResponse("yes"))
    door = Door(Room(100, 20, 20, 16), Pace(10, clock))
    assert paid(Pace(10, clock), app, "/") == pytest.approx(1)
    assert paid(Pace(10, clock), app, "/", **{DOOR: door}) == pytest.approx(3)


# On a real server, one that is patient with nobody: two requests a second.


@pytest.fixture
def strict(system: System) -> System:
    system.start("api", api={"STRANGERS_PER_SECOND": "2"})
    return system


def test_a_strangers_flood_waits_and_those_with_a_key_do_not(strict: System) -> None:
    """Order is what counts: a tenant's requests, from the same address, are all answered while the flood still waits."""
    key = key_of(account(amount=5))
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}) as tenant:
        assert tenant.get(f"{strict.url}/v1/credits").status_code == 200
        with Stranger(port_of(strict)) as stranger:
            stranger.say(REQUEST * 12)
            stranger.hear_until(b"}")
            for _ in range(40):
                assert tenant.get(f"{strict.url}/v1/credits").status_code == 200
            stranger.socket.setblocking(False)
            heard = b""
            with contextlib.suppress(BlockingIOError):
                heard = stranger.socket.recv(1 << 20)
            assert heard.count(b"HTTP/1.1 404 ") < 8


def test_what_a_stranger_pours_in_is_left_unread(strict: System) -> None:
    """Each of these heads is refused as soon as it is parsed; the second one is not, while others are served."""
    endless = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 5000
    key = key_of(account(amount=5))
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as tenant:
        assert tenant.get(f"{strict.url}/v1/credits").status_code == 200
        with Stranger(port_of(strict)) as first:
            first.say(endless)
            assert first.hear(30).startswith(b"HTTP/1.1 431 ")
        with Stranger(port_of(strict)) as second:
            second.say(endless)
            for _ in range(20):
                assert tenant.get(f"{strict.url}/v1/credits").status_code == 200
            second.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                second.socket.recv(1000)


def test_somebody_who_is_known_sends_large_bodies_at_once(strict: System) -> None:
    """Nine megabytes would be a minute of a stranger's pace; the client's time-out is what says so."""
    key = key_of(account(amount=5))
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=20) as tenant:
        for _ in range(3):
            sent = tenant.post(f"{strict.url}/v1/files", files={"file": ("a.wav", wave_file(bytes(3_000_000)))})
            assert sent.status_code == 201, sent.text


def test_an_answer_on_the_head_alone_ends_a_body_without_end(strict: System) -> None:
    with Stranger(port_of(strict)) as stranger:
        stranger.say(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n"
        )
        assert stranger.hear(30).startswith(b"HTTP/1.1 401 ")
