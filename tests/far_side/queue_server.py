"""What the far sides with a queue share: HTTP by the standard library, faults and book applied, a process of its own."""

import argparse
import contextlib
import io
import json
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from tests.far_side.media import drawn, noise
from tests.far_side.queue_faults import FILES_ONLY, NOTHING_BEGAN, WHOLE, Book, Fault, Faults
from tests.far_side.storm import Storm, post


@dataclass(slots=True)
class Ask:
    """A request."""

    method: str
    path: str  # without the query
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    raw: bytes
    key: str = ""
    fault: Fault | None = None

    def is_hit_by(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind


@dataclass(slots=True)
class Answer:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delivers: str | None = None  # the generation whose result is in it, whole


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    return Answer(status, json.dumps(value).encode(), headers=named)


@lru_cache
def png(name: str) -> bytes:
    """A picture of its own for each name."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), tuple(name.encode()[-3:].rjust(3, b"\0"))).save(out, "PNG")
    return out.getvalue()


class FarSide(ABC):
    """A provider's server. `script` says by the model's name what its generations are like; "*" is for all others."""

    def __init__(
        self, book: Book, faults: Faults | None = None, script: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.book = book
        self.faults = faults or Faults()
        self.script = script if script is not None else {}
        self.url = ""  # set when it runs; no slash at the end

    @abstractmethod
    def key_of(self, ask: Ask) -> str:
        """What the request is about, the same for its repeats: faults are drawn by it."""

    @abstractmethod
    def answer(self, ask: Ask) -> Answer:
        """Do what is asked, well."""

    @abstractmethod
    def called_back(self, generation_id: str) -> tuple[bytes, dict[str, str]]:
        """The body and headers of the call that says how a generation ended."""

    def progress_called_back(self, generation_id: str, number: int) -> tuple[bytes, dict[str, str]]:
        """The same of one call on its way; `number` makes it another than the one before."""
        raise NotImplementedError("this far side tells no progress")

    def scripted(self, model: str) -> dict[str, Any]:
        return {**self.script.get("*", {}), **self.script.get(model, {})}

    def picture(self, ask: Ask, name: str) -> Answer:
        whole = noise(name) if drawn(name, self.scripted("*").get("big", 0)) else png(name)
        return Answer(body=whole[: len(whole) // 2] if ask.is_hit_by("truncated") else whole, content_type="image/png")

    def late(self, ask: Ask) -> float:
        return ask.fault.seconds if ask.fault is not None and ask.is_hit_by("late") else 0.0

    def call_back(self, ask: Ask, generation_id: str, url: str, after_seconds: float) -> None:
        """Tell how the generation ended, once it has; twice where the plan says so."""
        times = 2 if ask.is_hit_by("twice") else 1
        timer = threading.Timer(after_seconds + self.late(ask), self._post, (generation_id, url, times))
        timer.daemon = True
        timer.start()

    def _post(self, generation_id: str, url: str, times: int) -> None:
        for _ in range(times):
            body, headers = self.called_back(generation_id)
            if post(url, body, headers) and json.loads(body)["status"] in {"OK", "succeeded"}:
                self.book.deliver(generation_id)
        storm = Storm.of(self.scripted("*"))
        storm.blow(generation_id, url, partial(self.progress_called_back, generation_id))

    @contextlib.contextmanager
    def running(self, port: int = 0, host: str = "127.0.0.1") -> Iterator[Self]:
        server = _Server((host, port), partial(_Handler, self))
        self.url = f"http://{host}:{server.server_port}"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.hang_up()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    """Remembers its connections: a client's idle ones would keep their threads waiting for ever."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        self.closing = threading.Event()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event: some tests do just that."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        self.closing.set()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __init__(self, far_side: FarSide, *args: Any) -> None:
        self._far_side = far_side
        super().__init__(*args)

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        raw = self.rfile.read(int(headers.get("content-length") or 0))
        ask = Ask(self.command, parts.path, query, headers, raw)
        side = self._far_side
        ask.key = side.key_of(ask)
        ask.fault = side.faults.choose(ask.method, ask.path, ask.key)
        side.book.call(ask.method, self.path, ask.key, ask.fault.kind if ask.fault else None, headers, raw)
        if ask.fault is not None and ask.fault.kind in NOTHING_BEGAN:
            self._misbehave(ask.fault)
            return
        answer = side.answer(ask)
        if ask.is_hit_by("lose"):
            self.close_connection = True
            return
        if ask.is_hit_by("wrong_type"):
            answer.content_type = "application/octet-stream"
        self._send(answer, ask.fault)
        if answer.delivers and (ask.fault is None or ask.fault.kind in WHOLE):
            side.book.deliver(answer.delivers)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    def _misbehave(self, fault: Fault) -> None:
        if fault.kind == "limited":
            pause = {} if fault.retry_after is None else {"retry_after": str(fault.retry_after)}
            self._send(as_json({"detail": "too many requests"}, 429, **pause), None)
        elif fault.kind == "error":
            self._send(Answer(fault.status, b"<h1>Sorry</h1>", "text/html"), None)
        elif fault.kind in FILES_ONLY:
            self._send(as_json({"detail": "not yet"}, 404 if fault.kind == "missing" else 403), None)
        else:
            if fault.kind == "stall":
                self.server.closing.wait(fault.seconds)
            self.close_connection = True

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        self.send_response(answer.status)
        for name, value in {"content-type": answer.content_type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        kind = fault.kind if fault else ""
        if kind == "cut":
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.close_connection = True
        elif fault and kind == "slow":
            step = max(1, len(answer.body) // 10)
            for start in range(0, len(answer.body), step):
                self.wfile.write(answer.body[start : start + step])
                self.server.closing.wait(fault.seconds / 10)
        else:
            self.wfile.write(answer.body)

    def log_message(self, *args: object) -> None:
        pass


def main(kind: type[FarSide]) -> None:
    """Run in a process of its own, until its standard input or the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--book", required=True)
    parser.add_argument("--faults", default="{}", help="a plan as JSON (queue_faults.py)")
    parser.add_argument("--script", default="{}", help="by model, as JSON (the far side's own docstring)")
    given = parser.parse_args()
    side = kind(Book(given.book), Faults.load(given.faults), json.loads(given.script))
    with side.running(given.port, given.host):
        print(f"ready {side.url}", flush=True)
        while True:
            time.sleep(3600)
