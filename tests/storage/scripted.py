"""An S3 that answers what a test tells it to, for what no real server does on demand."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from common.settings import Settings


@dataclass
class Reply:
    """One answer. `cut`: how many bytes of the body are left out before the line is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


def failure(status: int, code: str, more: str = "") -> Reply:
    return Reply(status, f"<Error><Code>{code}</Code><Message>no</Message>{more}</Error>".encode())


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """`replies` are given in order, the last one from then on; `asked` is what came."""

    url: str
    replies: deque[Reply] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)

    def will(self, *replies: Reply) -> None:
        self.replies, self.asked = deque(replies), []

    def settings(self, **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "s3_endpoint_url": self.url,
            "s3_bucket": "bucket",
            "s3_access_key_id": "access",
            "s3_secret_access_key": "the-secret-itself",
            "s3_region": "us-east-1",
            "s3_path_style": True,
        }
        return Settings(**(values | changes))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.script.asked.append(Asked(self.command, self.path, headers, body))
        replies = self.script.replies
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])
        self.close_connection = bool(reply.cut)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the server's name
        pass


@contextmanager
def scripted_s3() -> Iterator[Scripted]:
    with serving() as (server, url):
        script = Scripted(url)
        server.RequestHandlerClass = type("Handler", (_Handler,), {"script": script})
        yield script


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a crowd is not refused at the door


@contextmanager
def serving() -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A server, whose handler is to be set, and its address."""
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.daemon_threads = True
        server.block_on_close = False  # clients keep their connections; the threads end with them
        server.server_close()
