"""The far sides of Xendit, Stripe and TrueLayer: HTTP servers in their documented formats, with their bad days.

Each keeps what it was asked to make in memory. A test, or a simulated year, pays, refunds and disputes there, and takes the
hooks that the company would send. Stripe's and TrueLayer's own packages sign.
"""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]  # names in small letters
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Said(NamedTuple):
    """An answer."""

    status: int
    body: Any


class Raw(NamedTuple):
    """What somebody between us and the company answers in its place: a proxy's page, say."""

    status: int
    body: bytes


class Posted(NamedTuple):
    """A hook as it is sent."""

    path: str
    headers: dict[str, str]
    body: bytes


class CompanyServer:
    """A company. `bad` is what happens to the next requests: a status; "cut", done and never answered; "noise", no JSON; a
    Raw answer; "drip", a byte now and then for ever; "slow head", the same of the headers; "flood", a body without end.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.url = ""
        self.bad: deque[int | str | Raw] = deque()
        self.flooded = 0  # bytes that were taken of floods
        self.away = False  # answers nobody
        self.asked: list[Asked] = []
        self.lock = threading.RLock()

    def answer(self, asked: Asked) -> Said:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[Self]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection a request: nothing is left open

    def __init__(self, company: CompanyServer, *args: Any) -> None:
        self._company = company
        super().__init__(*args)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        place = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, place.path, dict(parse_qsl(place.query)), headers, body)
        company = self._company
        with company.lock:
            company.asked.append(asked)
            bad = "cut" if company.away else company.bad.popleft() if company.bad else None
            done = None if company.away or isinstance(bad, int | Raw) else company.answer(asked)
        if bad == "cut":
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        if bad in {"drip", "slow head", "flood"}:
            self._never_end(str(bad))
            return
        if isinstance(bad, Raw):
            self._send(bad.status, bad.body)
            return
        said = (
            done
            if done is not None
            else Said(bad if isinstance(bad, int) else 500, {"error": {"message": "a bad day", "type": "api_error"}})
        )
        data = b"<html>noise" if bad == "noise" else json.dumps(said.body).encode()
        self._send(200 if bad == "noise" else said.status, data)

    def _never_end(self, how: str) -> None:
        head = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n"
        with suppress(OSError):
            self.wfile.write(head + (b"x-more: " if how == "slow head" else b"\r\n"))
            while True:
                self.wfile.write(b" " * 65536 if how == "flood" else b" ")
                self._company.flooded += 65536 if how == "flood" else 0
                if how != "flood":
                    time.sleep(0.1)

    def _send(self, status: int, data: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
