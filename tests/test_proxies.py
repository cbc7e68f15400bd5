"""What the tests' own proxy does, so that what is tried through it means something."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.proxies import Mode, Proxy, proxy


class Echo:
    """Says what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://user:word@127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn: socket.socket) -> None:
        with contextlib.suppress(OSError), conn:
            while heard := conn.recv(65_536):
                self.heard.append(heard)
                conn.sendall(heard)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


def connected(at: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", at.port), timeout=1)


def said(conn: socket.socket, word: bytes) -> bytes:
    """What comes back. Empty: the other end has closed."""
    with contextlib.suppress(ConnectionError):
        conn.sendall(word)
        return conn.recv(65_536)
    return b""


def test_it_passes_refuses_hangs_and_cuts_and_passes_again(echo: Echo) -> None:
    with proxy(echo.url) as between:
        assert between.place(echo.url) == f"tcp://user:word@127.0.0.1:{between.port}/0"
        with connected(between) as conn:
            assert said(conn, b"one") == b"one"
        with between.being(Mode.REFUSE), pytest.raises(ConnectionRefusedError):
            connected(between)
        with connected(between) as conn:
            with between.being(Mode.HANG), pytest.raises(TimeoutError):
                said(conn, b"two")
            assert conn.recv(9) == b"two"  # it was only held
        with between.being(Mode.CUT), connected(between) as conn:
            assert said(conn, b"three") == b""
        with connected(between) as conn:
            assert said(conn, b"four") == b"four"
    assert echo.heard == [b"one", b"two", b"four"]


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.CUT])
def test_what_was_open_ends_with_it(echo: Echo, mode: Mode) -> None:
    with proxy(echo.url) as between, connected(between) as quiet, connected(between) as used:
        assert said(used, b"one") == b"one"
        between.set(mode)
        assert said(quiet, b"two") == said(used, b"two") == b""
    assert echo.heard == [b"one"]


def test_an_answer_is_lost_once_and_the_server_was_asked(echo: Echo) -> None:
    with proxy(echo.url) as between:
        between.lose_answer_to(b"COMMIT")
        with connected(between) as conn:
            assert said(conn, b"select") == b"select"
            assert said(conn, b"COMMIT") == b""
        with connected(between) as conn:
            assert said(conn, b"COMMIT") == b"COMMIT"
    assert echo.heard == [b"select", b"COMMIT", b"COMMIT"]


def test_what_was_open_hears_nothing_after_a_power_cut_and_what_comes_is_served(echo: Echo) -> None:
    with proxy(echo.url) as between, connected(between) as before:
        assert said(before, b"one") == b"one"
        between.lose_power()
        before.settimeout(0.3)
        with pytest.raises(TimeoutError):
            said(before, b"two")
        with connected(between) as after:
            assert said(after, b"three") == b"three"
    assert echo.heard == [b"one", b"three"]
