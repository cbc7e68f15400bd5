"""A TCP proxy in front of PostgreSQL that knows a COMMIT when it sees one, and can lose its answer, hold it, or lose it."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Fate = Literal["acknowledgement lost", "arrives late", "never arrives"]
FATES: tuple[Fate, ...] = ("acknowledgement lost", "arrives late", "never arrives")

_WRITES = re.compile(
    rb"\b(insert into|delete from|(?<!for )(?<!key )(?<!do )update (?!of\b|skip\b|nowait\b)|end_job)", re.IGNORECASE
)


class CommitProxy:
    """Passes everything on, but for the COMMIT of the next transaction that writes after `arm`: that one meets its fate,
    and its connection is gone for the client. `met` is set then.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"))
        self._fate: Fate | None = None
        self._lock = threading.Lock()
        self._held: list[tuple[socket.socket, bytes]] = []
        self._sockets: list[socket.socket] = []
        self.met = threading.Event()
        self.refuse_new = False  # once a COMMIT has met its fate, nobody connects
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, fate: Fate) -> None:
        self.met.clear()
        self._fate = fate

    def release(self) -> None:
        """Let the COMMITs that were held arrive."""
        for far, data in self._held:
            with contextlib.suppress(OSError):
                far.sendall(data)
        self._held = []

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self.refuse_new and self.met.is_set():
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._sockets += [near, far]
                threading.Thread(target=_Pair(self, near, far).carry, daemon=True).start()

    def taken(self) -> Fate | None:
        """The fate of a COMMIT that writes; None: it passes."""
        with self._lock:
            fate, self._fate = self._fate, None
        return fate

    def hold(self, far: socket.socket, data: bytes) -> None:
        self._held.append((far, data))


class _Pair:
    """One connection through the proxy."""

    def __init__(self, proxy: CommitProxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy, self._near, self._far = proxy, near, far
        self._statements: dict[bytes, bytes] = {}
        self._writes = False
        self._started = False
        self._mute = threading.Event()  # what the server says reaches nobody
        self._answered = threading.Event()

    def carry(self) -> None:
        threading.Thread(target=self._back, daemon=True).start()
        buffer = b""
        with contextlib.suppress(OSError):
            while data := self._near.recv(65536):
                buffer += data
                buffer, whole = self._whole_messages(buffer)
                fate = self._proxy.taken() if any(self._commits(each) for each in whole) else None
                if fate is None:
                    self._far.sendall(b"".join(whole))
                    continue
                self._meet(fate, b"".join(whole))
                return
        _shut(self._far)

    def _meet(self, fate: Fate, data: bytes) -> None:
        self._mute.set()
        self._proxy.met.set()
        if fate == "acknowledgement lost":
            self._far.sendall(data)
            self._answered.wait(10)
            _shut(self._far)
        elif fate == "arrives late":
            self._proxy.hold(self._far, data)
        else:
            _shut(self._far)
        _shut(self._near)

    def _whole_messages(self, buffer: bytes) -> tuple[bytes, list[bytes]]:
        found = []
        while len(buffer) >= (5 if self._started else 8):
            head = 1 if self._started else 0
            size = head + struct.unpack("!I", buffer[head : head + 4])[0]
            if len(buffer) < size:
                break
            if not self._started:  # requests for encryption come before the start, and begin with another number
                self._started = struct.unpack("!I", buffer[4:8])[0] >> 16 == 3
            found.append(buffer[:size])
            buffer = buffer[size:]
        return buffer, found

    def _commits(self, message: bytes) -> bool:
        """Note a message; whether it ends a transaction that has written."""
        kind, rest = message[:1], message[5:]
        sql = b""
        if kind == b"P":
            name, sql, *_ = rest.split(b"\0")
            self._statements[name] = sql
        elif kind == b"B":
            sql = self._statements.get(rest.split(b"\0")[1], b"")
        elif kind == b"Q":
            sql = rest
        if _WRITES.search(sql):
            self._writes = True
        ends = sql.rstrip(b"\0").upper() in {b"COMMIT", b"ROLLBACK"}
        commits = ends and sql[:1] in b"Cc" and self._writes and kind != b"B"
        if ends and kind != b"P":
            self._writes = False
        return commits

    def _back(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._far.recv(65536):
                if self._mute.is_set():
                    self._answered.set()
                else:
                    self._near.sendall(data)
        self._answered.set()
        _shut(self._near)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(url: str) -> Iterator[CommitProxy]:
    """A proxy for the time of a block."""
    proxy = CommitProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
