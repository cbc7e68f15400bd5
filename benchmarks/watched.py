"""What it costs a submit that somebody watches: an API process that says nothing of itself beside others that write a line
for each job, count for Prometheus, send every job's trace, or do all of it. Interleaved, on one database.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import httpx

from benchmarks.stand import Report, Stand
from cli.embedded.servers import free_ports

ROUNDS = 7
SECONDS = 2.0
CLIENTS = (1, 16, 64)
AIM = "0.90"
SILENT = "nothing"
# A collector that reads and forgets, in a process of its own.
SINK = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import sys
class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Sink).serve_forever()
"""


@contextmanager
def sink() -> Iterator[str]:
    """Somewhere for traces to go."""
    port = free_ports(1)[0]
    running = subprocess.Popen([sys.executable, "-c", SINK, str(port)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def kinds(receiver: str, port: int) -> dict[str, dict[str, str]]:
    """The settings of each process that is measured."""
    silent = {"LOG_FORMAT": "json", "LOG_JOBS": "false"}
    lines, figures, traces = (
        {"LOG_JOBS": "true"},
        {"METRICS_PORT": str(port)},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver},
    )
    return {
        SILENT: silent,
        "lines": silent | lines,
        "figures": silent | figures,
        "a tenth of traces": silent | traces,
        "all traces": silent | traces | {"TRACE_SHARE": "1"},
        "lines, figures, a tenth of traces": silent | lines | {"METRICS_PORT": str(port + 10)} | traces,
    }


def measure(stand: Stand, report: Report) -> None:
    """Medians of the ratios of neighbours: each watched process is loaded right beside one that is not.

    Each round has processes of its own: of two that are set alike one is up to 9 % quicker, for as long as it lives.
    """
    keys = stand.fresh()
    own = stand.port
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    with sink() as receiver:
        try:
            for turn in range(ROUNDS):
                with _processes(stand, receiver) as ports:
                    for pair, rates in _compared(stand, keys, ports, turn).items():
                        found.setdefault(pair, []).append(rates)
        finally:
            stand.port = own
    for (clients, name), pairs in found.items():
        report.add(
            f"submits, {clients} client{'s' if clients > 1 else ''}, told: {name}", median(each for each, _ in pairs), "1/s",
            ratio=median(each / bare for each, bare in pairs), to=f"untold {median(bare for _, bare in pairs):,.0f}", aim=AIM,
        )  # fmt: skip


@contextmanager
def _processes(stand: Stand, receiver: str) -> Iterator[dict[str, int]]:
    """An API process of each kind, for the time of a block. Gives their ports."""
    first, *others = free_ports(1 + len(kinds(receiver, 1)))
    ports = dict(zip(kinds(receiver, 1), others, strict=True))
    for number, (name, settings) in enumerate(kinds(receiver, first % 60_000).items(), start=1):
        stand.processes.start_one("api", {**settings, "API_PORT": str(ports[name])}, number=number)
    for port in ports.values():
        _wait(port)
    try:
        yield ports
    finally:
        stand.stop()


def _compared(
    stand: Stand, keys: list[str], ports: dict[str, int], turn: int
) -> dict[tuple[int, str], tuple[float, float]]:
    """Submits a second of each kind, and of the silent process right beside it, by clients and kind."""

    def rate(name: str, clients: int) -> float:
        stand.port = ports[name]
        return stand.load(keys, clients=clients, seconds=SECONDS)["rate"]

    for name in ports:
        rate(name, 16)
    stand.analyze()
    found = {}
    for clients in CLIENTS:
        for name in ports:
            if name != SILENT:
                rates = {each: rate(each, clients) for each in ((SILENT, name) if turn % 2 else (name, SILENT))}
                found[clients, name] = (rates[name], rates[SILENT])
    return found


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("an API does not start")
