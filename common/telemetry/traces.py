"""Traces: where a job's time went, from its request through message, claim, provider and storage to its end.

A job is one trace over all its attempts, and nothing has to be carried from one process to the next: the trace's id is the
job's (both have 128 bits), and the id of its root span, as well as whether it is traced at all, is worked out of it. So
no message and no table grows, and a worker that knows a job knows its trace. A request that orders nothing is a trace by its own id.

Spans are noted when they are over, as the SDK's own finished spans, and sent by its batches. While traces are off
(no OTEL_EXPORTER_OTLP_ENDPOINT) the SDK is not imported, and `span` gives what does nothing.
"""

import random
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self
from uuid import UUID

SpanRole = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool
SEND_SECONDS = 3.0
SEND_EVERY_SECONDS = 5.0  # more often costs a process that has little to do
QUEUED = 4096  # spans that wait to be sent; what is more is lost
SCOPE = "headrace"
_HALF, _RANDOM = 2**64 - 1, 2**32 - 1


class Trace(NamedTuple):
    """Of a job or a request: its id, and the span that all others hang on. `root` 0: the one that is noted first has none."""

    number: int
    root: int
    wanted: bool


class Mark:
    """A span under way. Use as a context manager."""

    __slots__ = (
        "_attributes",
        "_begun",
        "_kind",
        "_name",
        "_number",
        "_parent",
        "_problem",
        "_token",
        "_unwanted",
        "trace",
    )

    def __init__(self, name: str, trace: Trace, parent: int, kind: SpanRole) -> None:
        self._name, self.trace, self._parent, self._kind = name, trace, parent, kind
        self._attributes: Mapping[str, Value] = {}
        self._problem: str | None = None
        self._unwanted = False
        self._number = 0

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Say more of it."""
        self._attributes = {**self._attributes, **attributes}

    def fail(self, why: str) -> None:
        """It came to nothing."""
        self._problem = why[:200]

    def drop(self) -> None:
        """It was nothing: it is not told."""
        self._unwanted = True

    def belong(self, trace: Trace) -> None:
        """It turns out to be part of a job's trace."""
        self.trace, self._parent = trace, trace.root

    @property
    def number(self) -> int:
        """The span's id, made when somebody wants it: most spans are never told."""
        self._number = self._number or new_number()
        return self._number

    def __enter__(self) -> Self:
        self._begun = time.time_ns()
        self._token: Token[Mark | None] = _here.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _here.reset(self._token)
        if self.trace.wanted:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if error is not None and self._problem is None:
            self._problem = type(error).__name__  # what it says may be anybody's words
        if not self._unwanted:
            _send(self._name, self.trace, self.number, self._parent, self._kind, self._begun, time.time_ns(),
                  self._attributes, self._problem)  # fmt: skip


class _Plain(Mark):
    """A request that is not wanted, unless it orders a job that is: most are this, so it does no more than it must."""

    __slots__ = ()

    def __init__(self) -> None:
        self.trace, self._attributes, self._problem, self._unwanted = _UNWANTED, _SAYS_NOTHING, None, False

    def belong(self, trace: Trace) -> None:
        if trace.wanted:
            self._name, self._kind, self._number = "request", "server", 0
            super().belong(trace)
            _here.set(self)  # each request is served in a context of its own

    def __enter__(self) -> Self:
        self._begun = time.time_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.trace.wanted:
            self._end(error)


class _Nothing(Mark):
    """What is given while nobody wants to know."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("", Trace(0, 0, wanted=False), 0, "internal")

    def note(self, _: Mapping[str, Value]) -> None:
        pass

    def fail(self, _: str) -> None:
        pass

    def drop(self) -> None:
        pass

    def belong(self, _: Trace) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_UNWANTED = Trace(0, 0, wanted=False)
_SAYS_NOTHING: Mapping[str, Value] = {}
_here: ContextVar[Mark | None] = ContextVar("trace", default=None)
_request: ContextVar[Mark | None] = ContextVar("request", default=None)
_processor: Any = None
_share = 1.0
_exporter: Any = None
_finish: Any = None


def is_on() -> bool:
    """Whether spans are sent anywhere."""
    return _processor is not None


class _Numbered(Protocol):
    """An id of whichever library."""

    @property
    def int(self) -> int: ...


def trace_of(job_id: _Numbered) -> Trace:
    """A job's trace: the same in every process. The end of an id of version 7 is random, so it tells whether it is one of
    those that are wanted. (Samplers of the SDK look at all of its lower half, where the variant stands.)
    """
    number = job_id.int
    return Trace(number, number & _HALF, _is_wanted(number))


def _is_wanted(number: int) -> bool:
    return (number & _RANDOM) < _share * (_RANDOM + 1)


def span(name: str, job_id: UUID | None = None, *, kind: SpanRole = "internal") -> Mark:
    """A span of a job's trace, or of the one under way in this context; inside of the span around it, if that is of the same
    trace. Nothing is told where there is neither.
    """
    if _processor is None:
        return NOTHING
    here = _here.get()
    if job_id is None or (here is not None and here.trace.number == job_id.int):
        return NOTHING if here is None or not here.trace.wanted else Mark(name, here.trace, here.number, kind)
    if not _is_wanted(job_id.int):
        return NOTHING
    trace = trace_of(job_id)
    return Mark(name, trace, trace.root, kind)


def request(request_id: _Numbered) -> Mark:
    """The span of a request, which may turn out to order a job."""
    if _processor is None:
        return NOTHING
    number = request_id.int
    mark = Mark("request", Trace(number, 0, wanted=True), 0, "server") if _is_wanted(number) else _Plain()
    _request.set(mark)
    return mark


def belong(job_id: UUID) -> None:
    """The request of this context orders this job: its span is part of the job's trace. Of several jobs, of the first's."""
    mark = _request.get()
    if mark is not None:
        _request.set(None)
        mark.belong(trace_of(job_id))


def note_each(name: str, job_ids: Iterable[UUID], begun_ns: int) -> None:
    """Something was done for several jobs at once, from then until now: a span in each one's trace."""
    ended_ns = time.time_ns()
    for job_id in job_ids:
        if _is_wanted(job_id.int):
            trace = trace_of(job_id)
            _send(name, trace, new_number(), trace.root, "producer", begun_ns, ended_ns, {}, None)


def note_root(job_id: UUID, problem: str | None, attributes: Mapping[str, Value]) -> None:
    """A job has ended: the span that all others hang on, from its order (of which its id tells) until now."""
    if _processor is None:
        return
    trace = trace_of(job_id)
    if trace.wanted:
        begun_ns = (job_id.int >> 80) * 1_000_000
        _send("job", trace, trace.root, 0, "internal", begun_ns, time.time_ns(), dict(attributes), problem)


def new_number() -> int:
    """A span's id."""
    return random.getrandbits(64) or 1


def begin(part: str, *, endpoint: str, headers: str | None, share: float, exporter: Any = None) -> None:
    """Send spans from now on: to a receiver of OTLP over HTTP, or to an exporter of the SDK's."""
    global _processor, _share, _finish, _exporter  # noqa: PLW0603 - one set of traces a process
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - loaded only where traces are on
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    from common.telemetry.spans import Finished, MakingExporter  # noqa: PLC0415 - as above

    if exporter is None:
        pairs = [each.partition("=") for each in (headers or "").split(",") if "=" in each]
        exporter = OTLPSpanExporter(
            f"{endpoint}/v1/traces",
            headers={name.strip(): value.strip() for name, _, value in pairs},
            timeout=SEND_SECONDS,
        )
    _share = share
    _finish = Finished
    _exporter = MakingExporter(exporter, {"service.name": f"headrace-{part}", "service.namespace": "headrace"})
    _processor = BatchSpanProcessor(_exporter, max_queue_size=QUEUED, schedule_delay_millis=SEND_EVERY_SECONDS * 1000)


def end() -> None:
    """Send what waits, and no more (end of a process, or of a test). Who receives it is not waited for for long."""
    global _processor
    processor, _processor = _processor, None
    if processor is not None:
        _exporter.end_within(SEND_SECONDS)
        processor.shutdown()


def _send(
    name: str, trace: Trace, number: int, parent: int, kind: SpanRole, begun_ns: int, ended_ns: int,
    attributes: Mapping[str, Value], problem: str | None,
) -> None:  # fmt: skip
    processor = _processor
    if processor is not None:
        processor.on_end(_finish((name, trace.number, number, parent, kind, begun_ns, ended_ns, attributes, problem)))


NOTHING = _Nothing()
