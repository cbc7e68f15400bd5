"""A TCP proxy in front of a server, so that its absence can be tried without ending it for everybody."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


class Mode(StrEnum):
    """What becomes of connections, those that are open included."""

    PASS = "pass"  # what is sent arrives
    REFUSE = "refuse"  # nobody listens, and what was open is closed
    HANG = "hang"  # connections are taken and kept, and nothing arrives
    CUT = "cut"  # what is open is closed, and so is what comes, once it is there


class Proxy:
    """One server's stand-in, on a port of its own."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._dead: set[tuple[socket.socket, socket.socket]] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._loses: list[bytes] = []
        self._mode = Mode.PASS
        self._listener = _listening(0)
        self.port: int = self._listener.getsockname()[1]
        self._accept_from(self._listener)

    def place(self, url: str) -> str:
        """The same address, through here."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def set(self, mode: Mode) -> None:
        """Change what becomes of connections."""
        before, self._mode = self._mode, mode
        if mode is Mode.HANG:
            self._flows.clear()
        else:
            self._flows.set()
        if mode is Mode.REFUSE:
            _close(self._listener)
        elif before is Mode.REFUSE:
            self._listener = _listening(self.port)
            self._accept_from(self._listener)
        if mode in {Mode.REFUSE, Mode.CUT}:
            self._hang_up()

    @contextmanager
    def being(self, mode: Mode) -> Iterator[None]:
        """That for the time of a block."""
        self.set(mode)
        try:
            yield
        finally:
            self.set(Mode.PASS)

    def lose_power(self) -> None:
        """What is open is nobody's any more, and neither end is told; what comes from now on passes. So it is after a host's
        power cut, or where a firewall between has forgotten a connection.
        """
        with self._lock:
            self._dead |= self._pairs

    def lose_answer_to(self, needle: bytes) -> None:
        """The next request that holds these bytes reaches the server and has its effect; its answer is lost."""
        with self._lock:
            self._loses.append(needle)

    def close(self) -> None:
        _close(self._listener)
        self._flows.set()
        self._hang_up()

    def _accept_from(self, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                near.close()
                continue
            pair = (near, far)
            with self._lock:
                self._pairs.add(pair)
            if self._mode in {Mode.REFUSE, Mode.CUT}:
                self._end(pair)
                continue
            far.settimeout(None)
            mute = threading.Event()
            for source, target, asks in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._copy, args=(pair, source, target, asks, mute), daemon=True).start()

    def _copy(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        target: socket.socket,
        asks: bool,
        mute: threading.Event,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                if pair in self._dead:
                    continue
                if asks and self._is_to_be_lost(data):
                    mute.set()
                if not asks and mute.is_set():
                    break  # the server has answered, so it is done
                target.sendall(data)
        self._end(pair)

    def _is_to_be_lost(self, data: bytes) -> bool:
        with self._lock:
            for needle in self._loses:
                if needle in data:
                    self._loses.remove(needle)
                    return True
        return False

    def _hang_up(self) -> None:
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
            self._dead.discard(pair)
        for end in pair:
            _close(end)


def _listening(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=128)


def _close(end: socket.socket) -> None:
    """Wakes whoever waits for it in another thread, which `close` alone does not."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy in front of the server at this address, for the time of a block."""
    port = urlsplit(url).port
    assert port is not None, url
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def unix_socket(path: Path, port: int) -> Iterator[None]:
    """A server of this machine at a Unix socket besides, for the time of a block."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        made = _Behind(port, listener)
        try:
            yield
        finally:
            made.close()


class _Behind(Proxy):
    """A proxy that listens at a socket of somebody else's making."""

    def __init__(self, port: int, listener: socket.socket) -> None:
        super().__init__(port)
        self._second = listener
        self._accept_from(listener)

    def close(self) -> None:
        _close(self._second)
        super().close()
