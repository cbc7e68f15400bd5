"""Finished spans as the OpenTelemetry SDK knows them. Imports it, so this is imported only where traces are on."""

import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from common.telemetry.traces import SCOPE, SpanRole, Value

_KINDS: dict[SpanRole, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_WANTED = SpanContext(1, 1, is_remote=False, trace_flags=_SAMPLED)
_UNSET = Status(StatusCode.UNSET)

# Of a span: its name, its trace, its id and its parent's, what it was, when it began and ended, its attributes, what went wrong.
SpanFacts = tuple[str, int, int, int, SpanRole, int, int, Mapping[str, Value], str | None]


class Finished(ReadableSpan):
    """What is known of a span that is over. It is noted in the midst of an order, so the thread that sends makes the rest of it."""

    def __init__(self, known: SpanFacts) -> None:
        # Nothing of the SDK's: all that its queue asks is whether it is wanted.
        self._context, self.known = _WANTED, known


class MakingExporter(SpanExporter):
    """Makes spans of what is known of them, and gives them to another."""

    def __init__(self, exporter: SpanExporter, of: Mapping[str, Value]) -> None:
        self._exporter, self._make = exporter, _maker(of)
        self._until = float("inf")

    def end_within(self, seconds: float) -> None:
        """Begin to send nothing more after so many seconds: what is left is lost, as a process that ends waits for no receiver."""
        self._until = time.monotonic() + seconds

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() > self._until:
            return SpanExportResult.FAILURE
        return self._exporter.export([self._make(each.known) for each in spans if isinstance(each, Finished)])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _OneResource(Resource):
    """All spans of a process are of the same; the SDK's exporter would write it as JSON for each of them, to compare them."""

    def __hash__(self) -> int:
        return id(self)


def _maker(of: Mapping[str, Value]) -> Callable[[SpanFacts], ReadableSpan]:
    # Not by a tracer: ids are ours, and what is over needs no context kept for it.
    resource = _OneResource(Resource.create(of).attributes)
    scope = InstrumentationScope(SCOPE)

    def make(known: SpanFacts) -> ReadableSpan:
        name, trace, number, parent, kind, begun_ns, ended_ns, attributes, problem = known
        return ReadableSpan(
            name,
            context=SpanContext(trace, number, is_remote=False, trace_flags=_SAMPLED),
            parent=SpanContext(trace, parent, is_remote=False, trace_flags=_SAMPLED) if parent else None,
            resource=resource,
            attributes=dict(attributes),
            kind=_KINDS[kind],
            status=_UNSET if problem is None else Status(StatusCode.ERROR, problem),
            start_time=begun_ns,
            end_time=max(begun_ns, ended_ns),
            instrumentation_scope=scope,
        )

    return make
