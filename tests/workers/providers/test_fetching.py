"""Fetching a result from where it lies: what is tried again, what is unpacked, and what ends it."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from workers.providers import fetching
from workers.providers.base import NotFetched, OutcomeUnknown, ProviderError

# Its own servers are on this machine, which only a provider's own places may be; what is refused is in test_sources.py.
OWN = {f"127.0.0.1:{port}" for port in range(1024, 65536)} | {"127.0.0.1:9"}
fetch = partial(fetching.fetch, own=OWN)

BODY = bytes(range(256)) * 400


def answer(status: int = 200, body: bytes = BODY, *, length: int | None = None, **headers: str) -> bytes:
    named = {"content-length": str(len(body) if length is None else length), "connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


Say = bytes | Callable[[socket.socket], None]


@contextmanager
def serving(*answers: Say) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers so to its first calls, and as to the last of them to all others. Gives its address and what
    was asked.
    """
    asked: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            with near:
                asked.append(near.recv(65_536))
                say = answers[min(len(asked), len(answers)) - 1]
                with suppress(OSError):
                    near.sendall(say) if isinstance(say, bytes) else say(near)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/result", asked
    finally:
        listening.close()


@pytest.mark.parametrize("first", [
    answer(404), answer(403), answer(429), answer(429, retry_after="9" * 400), answer(500), answer(503), answer(408),
    b"", b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n", answer(200, b""), answer(200, b"nonsense", content_encoding="gzip"),
])  # fmt: skip
def test_what_goes_wrong_before_the_first_byte_is_tried_again(first: bytes) -> None:
    began = time.monotonic()
    with serving(first, first, answer()) as (url, asked):
        assert b"".join(fetch(url)) == BODY
    assert len(asked) == 3
    assert time.monotonic() - began < fetching.TRIES_SECONDS


@pytest.mark.parametrize(("first", "status"), [
    (answer(404), 404), (answer(403), 403), (answer(429), 429), (answer(503), 503), (b"", None), (answer(200, b""), 200),
])  # fmt: skip
def test_what_stays_wrong_is_a_handful_of_tries_and_not_the_end_of_the_result(first: bytes, status: int | None) -> None:
    with serving(first) as (url, asked), pytest.raises(NotFetched) as caught:
        list(fetch(url))
    assert 2 <= len(asked) <= fetching.TRIES
    assert isinstance(caught.value, OutcomeUnknown)
    assert caught.value.status == status
    assert caught.value.message


@pytest.mark.parametrize("status", [400, 401, 410])
def test_what_will_not_change_is_asked_once(status: int) -> None:
    with serving(answer(status)) as (url, asked), pytest.raises(NotFetched) as caught:
        list(fetch(url))
    assert (len(asked), caught.value.status) == (1, status)


def test_the_pause_that_an_address_asks_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_PAUSE_SECONDS", 0.01)
    with serving(answer(429, retry_after="7")) as (url, _), pytest.raises(NotFetched) as caught:
        list(fetch(url))
    assert caught.value.retry_after_seconds == 7.0


def test_what_breaks_off_after_its_beginning_is_not_begun_anew_but_can_be_opened_afresh() -> None:
    with serving(answer(body=BODY[:5000], length=len(BODY)), answer()) as (url, asked):
        seen = b""
        with pytest.raises(NotFetched):
            for chunk in fetch(url):
                seen += chunk
        assert seen == BODY[:5000]
        assert len(asked) == 1
        assert b"".join(fetch(url)) == BODY


@pytest.mark.parametrize(("encoding", "packed"), [
    ("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("identity", BODY),
])  # fmt: skip
def test_what_is_sent_packed_is_unpacked(encoding: str, packed: bytes) -> None:
    with serving(answer(body=packed, content_encoding=encoding)) as (url, asked):
        assert b"".join(fetch(url)) == BODY
    assert b"accept-encoding: identity" in asked[0].lower()


def test_bytes_are_bounded_also_those_that_were_packed() -> None:
    with serving(answer(body=gzip.compress(bytes(3_000_000)), content_encoding="gzip")) as (url, asked):
        with pytest.raises(ProviderError) as caught:
            list(fetch(url, most=1_000_000))
    assert (caught.value.code, caught.value.retryable, caught.value.charged) == ("answer_too_large", False, True)
    assert len(asked) == 1


def dripping(near: socket.socket) -> None:
    near.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(200):
        near.sendall(b"x")
        time.sleep(0.05)


def silent(near: socket.socket) -> None:
    near.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\nx")
    time.sleep(5)


@pytest.mark.parametrize("say", [dripping, silent])
def test_a_result_has_a_deadline_in_all_however_it_drips(say: Say) -> None:
    began = time.monotonic()
    with serving(say) as (url, _), pytest.raises(NotFetched):
        list(fetch(url, seconds=0.5))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:9/x", "http://[::bad/x", "http://" + "a" * 80 + ".example/x", "http://127.0.0.1:99999/",
    "ftp://127.0.0.1/x",
])  # fmt: skip
def test_an_address_where_nobody_is_is_not_fetched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TRIES_SECONDS", 0.2)
    with pytest.raises(NotFetched) as caught:
        list(fetch(url))
    assert caught.value.status is None


def test_who_stops_reading_hangs_up() -> None:
    with serving(dripping) as (url, _):
        chunks = fetch(url)
        assert next(chunks) == b"x"
        chunks.close()


def test_a_redirect_is_followed_and_the_key_stays_with_its_own_server() -> None:
    with serving(answer()) as (target, asked):
        with serving(answer(302, b"", location=target)) as (url, first):
            assert b"".join(fetch(url, {"authorization": "Bearer ours"})) == BODY
    assert b"Bearer ours" in first[0]
    assert b"Bearer ours" not in asked[0]


def test_what_is_refused_is_asked_once() -> None:
    with serving(answer(302, b"", location="http://10.0.0.1/x")) as (url, asked), pytest.raises(NotFetched) as caught:
        list(fetch(url))
    assert (len(asked), caught.value.refused, caught.value.message) == (1, True, fetching.REFUSED)
