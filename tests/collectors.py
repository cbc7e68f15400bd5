"""A receiver of traces, as an OpenTelemetry collector is one: OTLP over HTTP, in protobuf. And what stands in a scrape."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families


class ReceivedSpan(NamedTuple):
    """A span as it arrived. Ids in hex; `parent` empty: none."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    kind: int
    attributes: dict[str, Any]
    failed: bool
    begun_ns: int
    ended_ns: int


class Collector:
    """What was received so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[ReceivedSpan] = []
        self.headers: list[dict[str, str]] = []
        self.paths: set[str] = set()

    def of(self, trace: str) -> list[ReceivedSpan]:
        """The spans of a trace, in the order in which they began."""
        return sorted((each for each in list(self.spans) if each.trace == trace), key=lambda each: each.begun_ns)


@contextmanager
def collector() -> Iterator[Collector]:
    """A receiver for the time of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            found.paths.add(self.path)
            found.spans += spans_of(body) if self.path == "/v1/traces" else []
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def spans_of(body: bytes) -> list[ReceivedSpan]:
    """The spans of one request of a sender."""
    message = ExportTraceServiceRequest.FromString(body)
    return [
        ReceivedSpan(
            _values(resource.resource.attributes)["service.name"], span.name, span.trace_id.hex(), span.span_id.hex(),
            span.parent_span_id.hex(), span.kind, _values(span.attributes), span.status.code == 2,
            span.start_time_unix_nano, span.end_time_unix_nano,
        )
        for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]  # fmt: skip


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}


Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Sample, float]:
    """What stands in a scrape, by name and labels."""
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def total(found: dict[Sample, float], name: str, **labels: str) -> float:
    """The sum of a figure over all that have these labels."""
    wanted = set(labels.items())
    return sum(value for (each, given), value in found.items() if each == name and wanted <= given)
