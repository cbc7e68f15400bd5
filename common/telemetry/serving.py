"""A port of the process's own for whoever watches it: `/metrics`, `/healthz`, `/readyz`. One process is one port, so that
nothing has to be shared between processes: Prometheus scrapes each and adds up.

It is never the port that strangers reach, and whoever is let in from other machines must bring a token (`common.fitness`).
"""

import hmac
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, get_args

from common.telemetry import figures
from common.telemetry.health import Health

log = logging.getLogger(__name__)

ProcessKind = Literal["api", "worker", "scheduler", "deliver"]
PARTS: tuple[ProcessKind, ...] = get_args(ProcessKind)
AT_ONCE = 4  # questions; who comes then is turned away
SECONDS = 5.0  # for a question to be here, and for its answer to be taken
TAKEN_SECONDS = 5.0  # between tries to have a port that another has: an earlier process that ends
JSON = "application/json"


class _Handler(BaseHTTPRequestHandler):
    """One question, one answer, and the connection is closed."""

    timeout = SECONDS
    server: "_Server"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(HTTPStatus.OK, JSON, b'{"status":"ok"}')
        elif path == "/readyz" and self.server.health is not None:
            found = self.server.health.look()
            status = HTTPStatus.OK if found.is_ready else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, JSON, json.dumps(found.shown()).encode())
        elif path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics, /healthz and /readyz\n")
        elif not self._may_look():
            self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"METRICS_TOKEN is needed\n", "Bearer")
        else:
            self._answer(HTTPStatus.OK, *self.server.write())

    def _may_look(self) -> bool:
        tokens = self.server.tokens
        given = self.headers.get("authorization", "").encode()
        fitting = [hmac.compare_digest(given, b"Bearer " + each.encode()) for each in tokens]  # each, whichever fits
        return any(fitting) or not tokens

    def _answer(self, status: HTTPStatus, kind: str, body: bytes, wants: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if wants is not None:
            self.send_header("www-authenticate", wants)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: who watches asks every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        place: tuple[str, int],
        tokens: Sequence[str],
        write: Callable[[], tuple[str, bytes]],
        health: Health | None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        super().__init__(place, _Handler)
        self.tokens, self.write, self.health = tokens, write, health
        self._room = threading.Semaphore(AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: Any) -> None:
        """Who watches has hung up, or said nothing in time."""
        log.debug("a look at the figures broke off")


class Watched:
    """Serves figures and health from threads of its own, for as long as the process runs."""

    def __init__(self, place: tuple[str, int], tokens: Sequence[str], health: Health | None) -> None:
        self._place, self._tokens, self._health = place, tokens, health
        self._over = threading.Event()
        self._server: _Server | None = None
        self._write = _begin_figures()
        if health is not None:
            figures.DEPENDENCY.read_by(lambda: _readings(health))
        self._thread = threading.Thread(target=self._serve, name="watched", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
        self._thread.join(timeout=SECONDS)
        figures.end()

    def _serve(self) -> None:
        told = False
        while not self._over.is_set():
            try:
                self._server = _Server(self._place, self._tokens, self._write, self._health)
                break
            except OSError as error:
                if not told:
                    log.warning("figures wait for %s port %d: %s", *self._place, error.strerror or error)
                    told = True
                self._over.wait(TAKEN_SECONDS)
        else:
            return
        log.info("figures are served on %s port %d", *self._place)
        with self._server as server:
            if not self._over.is_set():
                server.serve_forever(poll_interval=0.2)


def port_of(part: ProcessKind, first: int) -> int:
    """Each part of the product has its own, so that all of them can run on one machine with the same settings."""
    return first + PARTS.index(part)


def _begin_figures() -> Callable[[], tuple[str, bytes]]:
    from prometheus_client import (  # noqa: PLC0415 - loaded only where figures are on
        CONTENT_TYPE_LATEST,
        CollectorRegistry,
        GCCollector,
        ProcessCollector,
        generate_latest,
    )

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    figures.begin(registry)
    return lambda: (CONTENT_TYPE_LATEST, generate_latest(registry))


def _readings(health: Health) -> figures.Readings:
    return [((name,), 0.0 if each.why else 1.0) for name, each in health.look().servers.items()]
