"""One address cannot take the processor from those who have a key: what strangers ask beyond their pace waits."""

import asyncio
import contextlib
import gc
import math
import sys
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from api import docs
from api.edge import protocol
from api.edge.door import Door, Room
from api.edge.pace import (
    AHEAD_SECONDS,
    HEALTH_SECONDS,
    MAX_DEBT_SECONDS,
    MAX_HELD,
    MAX_REGULARS,
    MAX_SECONDS,
    MAX_WAITING,
    PACE,
    Pace,
    know,
    weigh,
)
from api.edge.protocol import Protocol
from api.edge.request_limits import Limits
from api.edge.serving import Server
from tests.api.edge.test_protocol import port_of
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


def asked(kept: Pace, host: str = "198.51.100.7", path: str = "/v1/plans", key: str | None = None) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return {"client": (host, 1), "path": path, "headers": headers, PACE: kept}


def turn(kept: Pace, scope: dict[str, Any]) -> float:
    return kept.turn_of(scope, scope["client"][0])


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
    assert waits(kept, "a", 1e9) == pytest.approx(MAX_DEBT_SECONDS)
    clock.now += MAX_DEBT_SECONDS + AHEAD_SECONDS
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
        assert turn(kept, scope) == 0.0
        know(scope)
        know(scope)
    assert [waits(kept, "198.51.100.7", 1) for _ in range(11)][-2:] == [0.0, pytest.approx(0.1)]


def test_no_more_is_given_back_than_was_counted(clock: Clock) -> None:
    kept = Pace(10, clock)
    kept.charge("198.51.100.7", 1e6)
    for _ in range(50):
        scope = asked(kept)
        turn(kept, scope)
        know(scope)
    assert kept.wait_of("198.51.100.7") == pytest.approx(MAX_DEBT_SECONDS)


def test_who_was_known_does_not_wait_for_strangers_of_the_same_address(clock: Clock) -> None:
    kept = Pace(10, clock)
    know(asked(kept, key="good"))
    waits(kept, "198.51.100.7", 35)
    assert turn(kept, asked(kept, key="good")) == 0.0
    assert turn(kept, asked(kept, key="guessed")) == pytest.approx(2.7)
    assert turn(kept, asked(kept)) == pytest.approx(2.8)
    kept.forget(asked(kept, key="good"))  # it was revoked
    assert turn(kept, asked(kept, key="good")) == pytest.approx(2.9)


def test_only_so_many_are_remembered(clock: Clock) -> None:
    kept = Pace(10, clock)
    for number in range(MAX_REGULARS + 5):
        know(asked(kept, key=str(number)))
    assert len(kept._regulars) == MAX_REGULARS
    assert not kept._is_regular(asked(kept, key="0"))
    assert kept._is_regular(asked(kept, key=str(MAX_REGULARS)))


def test_who_would_wait_too_long_is_told_so_and_health_is_soon_told(clock: Clock) -> None:
    kept = Pace(10, clock)
    waits(kept, "198.51.100.7", 1e6)
    clock.now += 0.001  # time never stands still
    assert turn(kept, asked(kept)) == math.inf
    clock.now += MAX_DEBT_SECONDS - MAX_SECONDS + 0.2
    assert MAX_SECONDS - 0.2 < turn(kept, asked(kept)) < MAX_SECONDS
    assert turn(kept, asked(kept, path="/healthz")) == turn(kept, asked(kept, path="/readyz")) == HEALTH_SECONDS
    assert kept.turn_of(asked(kept, host="203.0.113.1"), "203.0.113.1") == 0.0


def test_only_so_many_of_an_address_wait(clock: Clock) -> None:
    kept = Pace(1000, clock)
    kept.charge("198.51.100.7", 1500)
    kept.waiting["198.51.100.7"] = MAX_WAITING - 1
    assert 0 < turn(kept, asked(kept)) < 1
    kept.waiting["198.51.100.7"] += 1
    assert turn(kept, asked(kept)) == math.inf
    kept.end_wait("198.51.100.7")
    assert 0 < turn(kept, asked(kept)) < 1
    for _ in range(MAX_WAITING - 1):
        kept.end_wait("198.51.100.7")
    assert not kept.waiting


def test_a_large_answer_costs_more(clock: Clock) -> None:
    kept = Pace(10, clock)
    weigh(asked(kept), 32_768 * 30)
    assert waits(kept, "198.51.100.7", 1) == pytest.approx(2.1)


def paid(kept: Pace, app: Any, path: str) -> float:
    """What a stranger's request to an app costs besides itself, in requests."""

    async def paced(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, PACE: kept}, receive, send)

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


# Connections, on a server in this process


LINES: list[asyncio.StreamWriter] = []
Act = Callable[[int, Door], Coroutine[Any, Any, None]]


def served(act: Act, *, per_second: float = 2, proxies: Sequence[str] = ()) -> None:
    """Let a server of one answer be asked."""

    async def run() -> None:
        config = uvicorn.Config(
            Limits(PlainTextResponse("yes")), port=0, loop="uvloop", http=Protocol, ws="none", lifespan="off",
            access_log=False, log_config=None, proxy_headers=bool(proxies), forwarded_allow_ips=list(proxies),
        )  # fmt: skip
        config.load()
        door = Door(Room(1000, 900, 900, 16), Pace(per_second, Clock()), proxies)  # debts stay, however slow we are
        server = Server(config, door, lambda: None)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        try:
            await act(server.servers[0].sockets[0].getsockname()[1], door)
        finally:
            for writer in LINES:
                writer.close()
            LINES.clear()
            await become(lambda: not len(door))
            for each in server.servers:
                each.close()

    uvloop.run(run())


def of(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {host}\r\n\r\n".encode()


async def opened(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    LINES.append(writer)
    return reader, writer


async def become(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - what is waited for is another's
            await asyncio.sleep(0.01)


def test_a_request_that_waits_is_forgotten_with_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HOLD_SECONDS", 1_000.0)

    async def act(port: int, door: Door) -> None:
        door.pace.charge("203.0.113.1", 1e6)
        lines = [await opened(port, of("203.0.113.1")) for _ in range(3)]
        await become(lambda: door.pace.waiting.total() == 3)
        for _, writer in lines:
            writer.close()
        await become(lambda: not door.pace.waiting)

    served(act, proxies=["127.0.0.1"])


def test_through_a_proxy_each_address_has_its_own_pace_and_a_refusal_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HOLD_SECONDS", 1.0)

    async def act(port: int, door: Door) -> None:
        flooding, other = "203.0.113.1", "203.0.113.2"
        door.pace.charge(flooding, 1e6)
        begun = asyncio.get_running_loop().time()
        reader, _ = await opened(port, of(f"{other}, {flooding}"))
        await become(lambda: door.pace.waiting == {flooding: 1})
        assert (await (await opened(port, of(f"{flooding}, {other}")))[0].readline()).startswith(b"HTTP/1.1 200 ")
        told = await reader.read()
        assert told.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 5" in told
        assert b'"rate_limited"' in told
        assert asyncio.get_running_loop().time() - begun > 0.4
        assert not door.pace.waiting

    served(act, proxies=["127.0.0.1"])


def test_where_too_many_wait_a_refusal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HOLD_SECONDS", 1_000.0)

    async def act(port: int, door: Door) -> None:
        door.pace.charge("203.0.113.1", 1e6)
        door.pace.waiting["203.0.113.2"] = MAX_HELD
        reader, _ = await opened(port, of("203.0.113.1"))
        assert (await reader.read()).startswith(b"HTTP/1.1 429 ")

    served(act, proxies=["127.0.0.1"])


def test_a_strangers_request_through_a_proxy_costs_its_connection_too() -> None:
    async def act(port: int, door: Door) -> None:
        await (await opened(port, of("203.0.113.1")))[0].readline()
        assert door.pace._paid_at["203.0.113.1"] == Clock.now + 3

    served(act, per_second=1, proxies=["127.0.0.1"])


@pytest.mark.parametrize(
    "asks",
    [
        REQUEST, REQUEST * 40, REQUEST[:20], b"nothing\r\n\r\n", of("203.0.113.9"),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx",
    ],
    ids=["a request", "many", "half a head", "no request", "proxied", "a body without end", "half a body"],
)  # fmt: skip
def test_a_connection_leaves_nothing_to_the_garbage_collector(asks: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collecting a thousand of them stops everybody for 30 ms."""
    made: list[weakref.ref[Protocol]] = []

    class Watched(Protocol):
        def connection_made(self, transport: Any) -> None:
            made.append(weakref.ref(self))
            super().connection_made(transport)

    async def act(port: int, door: Door) -> None:
        for _ in range(3):
            reader, writer = await opened(port, asks)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            writer.close()
        await become(lambda: len(made) == 3 and not len(door))
        await become(lambda: not any(each() for each in made))

    monkeypatch.setattr(sys.modules[__name__], "Protocol", Watched)
    gc.collect()
    gc.disable()
    try:
        served(act, per_second=3, proxies=["127.0.0.1"])
    finally:
        gc.enable()


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
