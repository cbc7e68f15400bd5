"""Customers' servers: real sockets that take webhooks well or badly, and a sender in this process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from models.db import transaction
from models.events import events
from tests.conftest import environment
from workers.deliver.main import Sender

PIECE = 65_536


class Got(NamedTuple):
    """One request as it came."""

    at: float
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        return orjson.loads(self.body)


class Receiver:
    """Answers what `behave` says: a status, (status, headers), (status, headers, body), "hang" or "close".

    `sent` is how many bytes of bodies the other side has taken, or its system for it.
    """

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.behave: Callable[[Got], Any] = lambda _: 200
        self.leaving = threading.Event()
        self.sent = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got = Got(time.monotonic(), {k.lower(): v for k, v in self.headers.items()}, body)
                receiver.got.append(got)
                answer = receiver.behave(got)
                if answer == "hang":
                    receiver.leaving.wait(60)
                if answer == "hang" or answer == "close":
                    self.close_connection = True
                    return
                status, headers, body = (*(answer if isinstance(answer, tuple) else (answer, {})), b"ok")[:3]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                for at in range(0, len(body), PIECE):
                    self.wfile.write(body[at : at + PIECE])
                    receiver.sent += len(body[at : at + PIECE])

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # whom we hang up on is part of the test

        self._server = Server(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.place}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.leaving.set()
        self._server.shutdown()
        self._server.server_close()

    def ids(self) -> list[str]:
        return [each.id for each in self.got]


@contextmanager
def receivers(count: int, **settings: str) -> Iterator[list[Receiver]]:
    """So many receivers, at addresses that may be delivered to; retries come 1,000 times sooner."""
    with ExitStack() as stack:
        made = [Receiver() for _ in range(count)]
        for each in made:
            stack.callback(each.close)
        stack.enter_context(
            environment(
                {
                    "ALLOW_PRIVATE_ADDRESSES": ",".join(each.place for each in made), "WEBHOOK_RETRY_SCALE": "0.001",
                    "WEBHOOK_TIMEOUT_SECONDS": "1", "DELIVER_POLL_SECONDS": "0.02", **settings,
                }
            )
        )  # fmt: skip
        yield made


@contextmanager
def sending(threads: int = 8) -> Iterator[None]:
    """A sender in this process."""
    stopping = threading.Event()
    thread = threading.Thread(target=Sender(threads).run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(30)


def tell(account_id: UUID, count: int = 1, kind: str = "credits.granted") -> None:
    """Tell some events, each in its own transaction."""
    for number in range(count):
        with transaction() as conn:
            conn.execute("select 1 from accounts where id = %s for no key update", [account_id])
            events.add(conn, account_id, kind, {"n": number})
