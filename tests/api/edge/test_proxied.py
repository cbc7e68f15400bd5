"""The API behind nginx and behind Caddy, as `deploy/` shows them: what must work through them, and the same attacks."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.api.edge.test_protocol import attacked
from tests.files import picture
from tests.fronts import PROGRAMS, front
from tests.strangers import CHUNKED, REQUEST, Stranger
from tests.support import System, account, eventually, key_of, model

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(program is None, reason=f"{kind} is not installed (make tools)"))
    for kind, program in PROGRAMS.items()
]


@pytest.fixture(params=KINDS)
def port(request: pytest.FixtureRequest, system: System, tmp_path: Path) -> Iterator[int]:
    """The port of a proxy in front of a running API."""
    model("slow", options={"pending": True, "ready_seconds": 60})
    limits = {"TRUSTED_PROXIES": "127.0.0.1", "HEARTBEAT_SECONDS": "1", "CONNECTIONS_PER_ADDRESS": "30"}
    system.start("api", api={**limits, "FAILED_AUTH_PER_MINUTE": "2"})
    api_port = httpx.URL(system.url).port
    assert api_port is not None
    with front(request.param, api_port, tmp_path / "front") as found:
        yield found


def test_jobs_files_waits_and_streams_pass_through_a_proxy(port: int) -> None:
    key = key_of(account(amount=5, plan="pro"))
    head = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=head, timeout=30) as client:
        with client.stream("GET", "/v1/events", headers={"accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            assert "event: balance" in [next(lines) for _ in range(4)], "it comes while the stream is open"
            begun = time.monotonic()
            with httpx.Client(base_url=client.base_url, headers=head, timeout=30) as other:
                made = other.post("/v1/jobs", json={"model": "slow", "input": {}}, headers={"prefer": "wait=2"})
            assert made.status_code == 201
            assert time.monotonic() - begun > 1.5
            while not (line := next(lines)).startswith("event: job."):
                assert time.monotonic() - begun < 30, line
        sent = client.post("/v1/files", files={"file": ("a.png", picture())})
        assert sent.status_code == 201
        path = httpx.URL(sent.json()["url"]).path
        assert client.get(path).content == picture()


def test_behind_a_proxy_strangers_are_told_apart_by_what_it_says_and_not_by_what_they_say(port: int) -> None:
    def asked(source: str, **claims: str) -> int:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in claims.items())
        with Stranger(port, source=source) as stranger:
            stranger.say(f"GET /v1/credits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n{lines}\r\n".encode())
            return int(stranger.hear_until(b"\r\n\r\n")[9:12])

    assert [asked("127.0.0.7", x_forwarded_for=f"192.0.2.{n}") for n in range(4)] == [401, 401, 429, 429]
    assert asked("127.0.0.8") == 401


PROXY_FLOODS = {
    "pipelined requests": (b"", REQUEST),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:b\r\n"),
    "a header": (b"GET / HTTP/1.1\r\nHost: x\r\na: ", b"b" * 1024),
    "trailers": (CHUNKED + b"0\r\n", b"a:b\r\n"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("what", PROXY_FLOODS)
def test_floods_end_at_the_proxy_or_at_the_api_and_cost_neither_others_nor_memory(
    port: int, system: System, what: str
) -> None:
    begin, piece = PROXY_FLOODS[what]
    with attacked(system), Stranger(port, source="127.0.0.9") as stranger:
        stranger.say(begin)
        stranger.pour(piece, 8_000_000, seconds=5)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10).status_code == 200


def test_who_says_nothing_or_half_is_let_go_by_the_proxy(port: int) -> None:
    with Stranger(port) as silent, Stranger(port) as half:
        half.say(REQUEST[:20])
        for each in (silent, half):
            heard = each.hear(90)
            assert not heard or heard[9:10] == b"4", heard


def test_bodies_that_do_not_come_hold_nothing_of_the_api(port: int) -> None:
    """nginx waits for them by itself; Caddy hands them on, and keeps their answers back until it has read them."""
    with ExitStack() as stack:
        for _ in range(60):  # twice of what one address may have under way
            half = stack.enter_context(Stranger(port))
            half.say(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
        for path in ("/healthz", "/readyz", "/v1/models"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code == 200


def test_one_address_behind_the_proxy_cannot_take_all_there_is(port: int) -> None:
    key = key_of(account(amount=5))
    listen = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
    with ExitStack() as stack:

        def opened(source: str) -> int:
            stream = stack.enter_context(Stranger(port, source=source))
            stream.say(listen.encode())
            return int(stream.hear_until(b"\r\n\r\n")[9:12])

        answers = [opened("127.0.0.9") for _ in range(35)]
        assert answers == [200] * 30 + [429] * 5
        assert opened("127.0.0.10") == 200
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).status_code == 200
    eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10).is_success)
