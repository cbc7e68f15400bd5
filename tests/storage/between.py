"""A stretch of network between us and a real S3 that hurts, shortens, loses or cuts off what it carries."""

import hashlib
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.storage.scripted import serving

DONE = b'<CompleteMultipartUploadResult><ETag>"0"</ETag></CompleteMultipartUploadResult>'


@dataclass
class Between:
    """`wrong` is what goes wrong, "" for nothing; `url` is where S3 seems to be; `asked` are methods and paths.

    hurt: one byte of each body is another; short: the last byte of each body is missing; lost: puts (and ends of
    uploads in parts) are answered as if they were done, with the right ETag; part_lost: the same for parts; away: 503; cut: the line ends after
    `keep` bytes of a body that is read; silent: no answer until it is set to something else.
    no list, no uploads, no delete, no head: 403 to that; no undeleted: deletes are answered and not made.
    """

    url: str
    target: str
    wrong: str = ""
    keep: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def be(self, wrong: str, keep: int = 0) -> None:
        with self.changed:
            self.wrong, self.keep, self.asked = wrong, keep, []
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    between: Between

    def carry(self) -> None:
        between = self.between
        between.asked.append((self.command, self.path))
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if between.wrong == "silent":
            with between.changed:
                between.changed.wait_for(lambda: between.wrong != "silent")
            self.close_connection = True
            return
        if between.wrong == "away":
            self._answer(503, {}, b"<Error><Code>ServiceUnavailable</Code></Error>")
            return
        if between.wrong.removeprefix("no ") == self._kind():
            self._answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if between.wrong == "no undeleted" and self._kind() == "delete":
            self._answer(200, {}, b"<DeleteResult/>")
            return
        ends, part = self.command == "POST" and "uploadId=" in self.path, "partNumber=" in self.path
        puts = self.command == "PUT" and (between.wrong == "part_lost") == part
        if between.wrong in {"lost", "part_lost"} and (puts or (ends and between.wrong == "lost")):
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            self._answer(200, {"ETag": etag}, DONE if ends else b"")
            return
        if self.command == "PUT" and body:
            if between.wrong == "hurt":
                body = body[:-1] + bytes([body[-1] ^ 1])
            elif between.wrong == "short":
                body = body[:-1]
        self._forward(body)

    def _kind(self) -> str:
        if self.command == "GET" and "list-type=2" in self.path:
            return "list"
        if self.command == "GET" and "uploads" in self.path:
            return "uploads"
        return "delete" if self.command == "POST" and "?delete" in self.path else self.command.lower()

    def _forward(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
        place = urlsplit(self.between.target)
        there = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
        try:
            there.request(self.command, self.path, body, {**headers, "content-length": str(len(body))})
            answer = there.getresponse()
            read = answer.read()
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in {"transfer-encoding", "connection"}}
            self._answer(answer.status, kept, read)
        finally:
            there.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.between.wrong == "cut" and self.command == "GET":
            self.wfile.write(body[: self.between.keep])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = carry  # noqa: N815 - the server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the server's name
        pass


@contextmanager
def between_us_and(target: str) -> Iterator[Between]:
    with serving() as (server, url):
        between = Between(url, target)
        server.RequestHandlerClass = type("Handler", (_Handler,), {"between": between})
        try:
            yield between
        finally:
            between.be("away")
