"""Finished spans as the OpenTelemetry SDK knows them. Imports it, so this is imported only where traces are on."""

from collections.abc import Callable, Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
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
_UNSET = Status(StatusCode.UNSET)

SpanMaker = Callable[[str, int, int, int, SpanRole, int, int, Mapping[str, Value], str | None], ReadableSpan]


class _OneResource(Resource):
    """All spans of a process are of the same; the SDK's exporter would write it as JSON for each of them, to compare them."""

    def __hash__(self) -> int:
        return id(self)


def maker(of: Mapping[str, Value]) -> SpanMaker:
    """What makes spans of this process, of which so much is known. Not by a tracer: ids are ours, and what is over needs no
    context kept for it.
    """
    resource = _OneResource(Resource.create(of).attributes)
    scope = InstrumentationScope(SCOPE)

    def make(
        name: str, trace: int, number: int, parent: int, kind: SpanRole, begun_ns: int, ended_ns: int,
        attributes: Mapping[str, Value], problem: str | None,
    ) -> ReadableSpan:  # fmt: skip
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
