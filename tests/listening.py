"""A listener to server-sent events, as a browser is one, and a wire that can be cut."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import httpx

from api.live.hub import Live
from api.live.redis_wakes import follow


@contextlib.asynccontextmanager
async def subscribed(live: Live) -> AsyncIterator["asyncio.Task[None]"]:
    """The subscription of a process, within a test's own loop; it is gone at the end."""
    following = asyncio.create_task(follow(live))
    try:
        yield following
    finally:
        following.cancel()
        await asyncio.wait([following])


class Frame(dict[str, Any]):
    """One event of a stream: id, event, and the fields of its data."""


class Listening:
    """Follows a stream in a thread, and connects again with Last-Event-ID whenever it breaks, until it is left."""

    def __init__(
        self, url: str, headers: dict[str, str], *, after: int | None = None, again: bool = True, silence: float = 5.0
    ) -> None:
        self._url, self._headers, self._again, self._silence = url, headers, again, silence
        self.last = str(after) if after is not None else ""
        self.frames: list[Frame] = []
        self.heartbeats = 0
        self.connects = 0
        self.statuses: list[int] = []
        self.response_headers: dict[str, str] = {}
        self.clean_ends = 0
        self.over = threading.Event()
        self.open = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.open.wait(10), "the stream did not open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join(timeout=self._silence + 5)

    def _run(self) -> None:
        while not self._leave.is_set():
            with contextlib.suppress(httpx.HTTPError):
                self._once()
            if not self._again or (self.statuses and self.statuses[-1] != 200):
                break
            self._leave.wait(0.1)
        self.over.set()

    def _once(self) -> None:
        headers = {**self._headers, "accept": "text/event-stream", "cache-control": "no-cache"}
        if self.last:
            headers["last-event-id"] = self.last
        timeout = httpx.Timeout(self._silence, connect=2)
        with httpx.stream("GET", self._url, headers=headers, timeout=timeout) as response:
            self.connects += 1
            self.statuses.append(response.status_code)
            self.response_headers = dict(response.headers)
            if response.status_code != 200:
                self.open.set()
                return
            kind, data, number = "message", "", ""
            for line in response.iter_lines():
                if self._leave.is_set():
                    return
                self.open.set()
                name, _, value = line.partition(":")
                match name:
                    case "event":
                        kind = value.strip()
                    case "data":
                        data = value.strip()
                    case "id":
                        number = value.strip()
                    case "" if line:
                        self.heartbeats += 1
                    case "" if data:
                        self.last = number or self.last
                        self.frames.append(Frame(id=number, event=kind, **json.loads(data)))
                        kind, data, number = "message", "", ""
            self.clean_ends += 1

    def kinds(self) -> list[str]:
        return [frame["event"] for frame in self.frames]

    def numbers(self) -> list[int]:
        """Of the events that were told, which a balance or a reset is not."""
        return [int(f["id"]) for f in self.frames if f["id"] and f["event"] not in {"balance", "job", "reset"}]


class Wire:
    """A TCP proxy on loopback that can be cut: what was on its way is lost, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._cut = threading.Event()
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._cut.set()

    def mend(self) -> None:
        """New connections pass; the old ones are dead."""
        self._drop()
        self._cut.clear()

    def close(self) -> None:
        self._cut.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()
        self._thread.join(timeout=5)
        self._drop()

    def _drop(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            each.close()
        self._sockets = []

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self._cut.is_set():
                    self._sockets.append(near)  # connected to nobody
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self._to), timeout=2)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self._cut.is_set() and source.fileno() >= 0:  # held back until mended, and then dead
                    time.sleep(0.05)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
