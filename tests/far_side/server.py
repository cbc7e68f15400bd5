"""What every far side shares: HTTP by the standard library, the faults, the book, and running in its own process."""

import argparse
import contextlib
import json
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.far_side.book import Book
from tests.far_side.faults import BEGUN, FILES_ONLY, WHOLE, Fault, Faults

HEADERS_KEPT = ("authorization", "content-type", "http-referer", "idempotency-key", "prefer", "cancel-after")


@dataclass(slots=True)
class Ask:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    raw: bytes
    fault: Fault | None = None

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")

    @property
    def truncated(self) -> bool:
        return self.fault is not None and self.fault.kind == "truncated"

    def body(self) -> Any:
        """JSON as it is, a form as its fields; a file of a form as {name, type, size}."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            return _form(kind, self.raw)
        return json.loads(self.raw) if self.raw else {}


@dataclass(slots=True)
class Answer:
    """A response; several `parts` are sent as chunks, with `pause` seconds between them."""

    status: int = 200
    parts: list[bytes] = field(default_factory=list)
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    chunked: bool = False
    delivers: str | None = None  # the generation whose result is in it, whole


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, [json.dumps(value).encode()])


class FarSide(ABC):
    """A provider's server. `script` says by the model's name what its generations are like; "*" is for all others."""

    prefix = ""

    def __init__(
        self, book: Book, faults: Faults | None = None, script: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.book = book
        self.faults = faults or Faults()
        self.script = script if script is not None else {}
        self.url = ""  # set when it runs; no slash at the end

    @abstractmethod
    def answer(self, ask: Ask) -> Answer:
        """Do what is asked, well."""

    @abstractmethod
    def refusal(self, status: int, message: str) -> Any:
        """The body of an error in this dialect."""

    def scripted(self, model: str) -> dict[str, Any]:
        return {**self.script.get("*", {}), **self.script.get(model, {})}

    @contextlib.contextmanager
    def running(self, port: int = 0, host: str = "127.0.0.1") -> Iterator[Self]:
        server = _Server((host, port), partial(_Handler, self))
        self.url = f"http://{host}:{server.server_port}{self.prefix}"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.hang_up()
            server.server_close()
            thread.join()

    @property
    def root(self) -> str:
        return self.url.removesuffix(self.prefix)


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
        """A client that goes away is no event: some tests do just that. What else goes wrong is a fault of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        self.closing.set()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def __init__(self, far: FarSide, *args: Any) -> None:
        self._far = far
        super().__init__(*args)

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the standard library's names

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        ask = Ask(self.command, self.path, headers, raw)
        ask.fault = fault = self._far.faults.choose(ask.method, ask.path, ask.key)
        kept = {name: headers[name] for name in HEADERS_KEPT if name in headers}
        self._far.book.call(ask.method, ask.path, ask.key, fault.kind if fault else None, kept, ask.body())
        if fault is not None and fault.kind not in BEGUN:
            self._misbehave(fault)
            return
        answer = self._far.answer(ask)
        if fault is None or fault.kind == "truncated":
            self._send(answer)
        else:
            self._send_badly(answer, fault)
        if answer.delivers and (fault is None or fault.kind in WHOLE):
            self._far.book.deliver(answer.delivers)

    def _misbehave(self, fault: Fault) -> None:
        """Before anything began."""
        if fault.kind in {"drop", "stall"}:
            if fault.kind == "stall":
                self.server.closing.wait(fault.seconds)
            self._hang_up()
            return
        status = 429 if fault.kind == "limited" else FILES_ONLY.get(fault.kind, fault.status)
        body = fault.body if fault.body is not None else self._far.refusal(status, f"told to answer {status}")
        answer = as_json(body, status)
        if fault.retry_after is not None:
            answer.headers["Retry-After"] = f"{fault.retry_after:g}"
        self._send(answer)

    def _send_badly(self, answer: Answer, fault: Fault) -> None:
        """After it began: the work is done, and its answer suffers."""
        body = b"".join(answer.parts)
        match fault.kind:
            case "lose":
                self._hang_up()
            case "late":
                self.server.closing.wait(fault.seconds)
                self._send(answer)
            case "wrong_type":
                answer.content_type = "text/html; charset=utf-8"
                self._send(answer)
            case "garble":
                answer.parts, answer.chunked = [body[: len(body) * 2 // 3]], False
                self._send(answer)
            case "slow":
                step = max(1, len(body) // 20)
                answer.parts = [body[at : at + step] for at in range(0, len(body), step)]
                answer.chunked, answer.pause = True, fault.seconds / max(1, len(answer.parts))
                self._send(answer)
            case "cut":
                self._head(answer, len(body))
                self.wfile.write(body[: len(body) // 2])
                self._hang_up()

    def _send(self, answer: Answer) -> None:
        if not answer.chunked:
            body = b"".join(answer.parts)
            self._head(answer, len(body))
            self.wfile.write(body)
            self.wfile.flush()
            return
        self._head(answer, None)
        for part in answer.parts:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()
            if answer.pause and self.server.closing.wait(answer.pause):
                break
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _head(self, answer: Answer, length: int | None) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _form(content_type: str, raw: bytes) -> dict[str, Any]:
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    fields: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data: Any = part.get_payload(decode=True)
        filename = part.get_filename()
        value = {"name": filename, "type": part.get_content_type(), "size": len(data)} if filename else data.decode()
        fields[str(name)] = value
    return fields


def main(kind: type[FarSide]) -> None:
    """`python -m tests.far_side.NAME --port N --faults JSON --script JSON --book FILE`: serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--faults", default="{}")
    parser.add_argument("--script", default="{}")
    parser.add_argument("--book", required=True)
    chosen = parser.parse_args()
    far = kind(Book(chosen.book), Faults.load(chosen.faults), json.loads(chosen.script))
    with far.running(chosen.port, chosen.host):
        print(far.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
