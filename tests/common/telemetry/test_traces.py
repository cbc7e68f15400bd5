"""A job is one trace, whoever works on it and whenever: ids come of the job's own, and spans hang where they belong."""

import contextvars
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from uuid_utils.compat import uuid7

from common.telemetry import jobs, traces
from common.telemetry.traces import trace_of


class Told:
    """Spans of this process as an exporter gets them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def spans(self) -> dict[str, ReadableSpan]:
        """By name: of each there is one."""
        traces.end()
        found = self.exporter.get_finished_spans()
        assert len({each.name for each in found}) == len(found)
        return {each.name: each for each in found}


def begun(share: float) -> Told:
    told = Told()
    traces.begin("api", endpoint="http://127.0.0.1:1", headers=None, share=share, exporter=told.exporter)
    return told


@pytest.fixture
def told() -> Iterator[Told]:
    yield begun(1.0)
    traces.end()


def of_those(*, wanted: bool) -> UUID:
    return next(each for each in iter(uuid7, None) if trace_of(each).wanted is wanted)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def test_a_request_that_orders_a_job_is_part_of_its_trace(told: Told) -> None:
    request_id, job_id, account_id = uuid7(), uuid7(), uuid7()
    with traces.request(request_id) as request:
        with traces.span("submit", job_id):
            pass
        traces.belong(job_id)
        request.note({"http.route": "/v1/jobs"})
    jobs.ended(job_id, account_id, "succeeded", model="quick", attempt=1)
    found = told.spans()
    assert {each.context.trace_id for each in found.values() if each.context} == {job_id.int}
    root = found["job"]
    assert root.context is not None
    assert parent_of(root) is None
    assert {parent_of(found[name]) for name in ("request", "submit")} == {root.context.span_id}
    assert found["request"].kind is SpanKind.SERVER
    assert dict(found["request"].attributes or {}) == {"http.route": "/v1/jobs"}
    assert root.start_time is not None
    assert root.end_time is not None
    assert root.start_time == (job_id.int >> 80) * 1_000_000 <= root.end_time


def test_a_request_that_orders_nothing_is_a_trace_of_its_own(told: Told) -> None:
    request_id = uuid7()
    with traces.request(request_id), traces.span("put"):
        pass
    found = told.spans()
    request = found["request"]
    assert request.context is not None
    assert (request.context.trace_id, parent_of(request)) == (request_id.int, None)
    assert parent_of(found["put"]) == request.context.span_id


@pytest.mark.parametrize(("request_wanted", "job_wanted"), [(False, True), (True, False), (False, False)])
def test_whether_a_request_that_orders_is_told_is_for_its_job_to_say(*, request_wanted: bool, job_wanted: bool) -> None:
    told = begun(0.5)
    request_id, job_id, other = (
        of_those(wanted=request_wanted),
        of_those(wanted=job_wanted),
        of_those(wanted=not job_wanted),
    )
    before = time.time_ns()

    def serve() -> None:
        with traces.request(request_id) as request:
            with traces.span("submit", job_id):
                pass
            traces.belong(job_id)
            traces.belong(other)  # of several the first says it
            with traces.span("put"):
                pass
            request.note({"http.route": "/v1/jobs"})

    contextvars.copy_context().run(serve)
    found = told.spans()
    assert set(found) == ({"request", "submit", "put"} if job_wanted else set())
    if job_wanted:
        request = found["request"]
        assert request.context is not None
        assert request.start_time is not None
        assert (request.context.trace_id, parent_of(request)) == (job_id.int, trace_of(job_id).root)
        assert parent_of(found["put"]) == request.context.span_id
        assert before <= request.start_time <= time.time_ns()
        assert dict(request.attributes or {}) == {"http.route": "/v1/jobs"}
        assert (request.name, request.kind) == ("request", SpanKind.SERVER)


def test_a_request_that_is_not_wanted_is_told_as_failed_where_its_job_is() -> None:
    told = begun(0.5)
    request_id, job_id = of_those(wanted=False), of_those(wanted=True)

    def serve() -> None:
        with traces.request(request_id):
            traces.belong(job_id)
            raise RuntimeError("password=marked")

    with pytest.raises(RuntimeError):
        contextvars.copy_context().run(serve)
    request = told.spans()["request"]
    assert (request.status.status_code, request.status.description) == (StatusCode.ERROR, "RuntimeError")


def test_a_process_that_ends_waits_for_no_receiver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being sent is waited for; the batches behind it are let go when their time is over."""
    monkeypatch.setattr(traces, "SEND_SECONDS", 0.1)
    sizes = list[int]()

    class Slow(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            sizes.append(len(spans))
            time.sleep(0.3)
            return SpanExportResult.SUCCESS

    told = Told()
    told.exporter = Slow()
    traces.begin("api", endpoint="http://127.0.0.1:1", headers=None, share=1.0, exporter=told.exporter)
    for _ in range(2000):  # four batches
        with traces.span("step", uuid7()):
            pass
    traces.end()
    assert sum(sizes) < 2000
    assert len(sizes) <= 2


def test_two_processes_that_never_spoke_hang_their_spans_on_the_same_root() -> None:
    job_id = uuid7()
    parents = set()
    for _ in range(2):
        told = begun(1.0)
        with traces.span("step", job_id), traces.span("claim"):
            pass
        found = told.spans()
        assert found["step"].context is not None
        assert parent_of(found["claim"]) == found["step"].context.span_id
        parents.add(parent_of(found["step"]))
    assert parents == {trace_of(job_id).root}


def test_what_raises_has_failed_and_says_no_more_than_its_kind(told: Told) -> None:
    with pytest.raises(RuntimeError), traces.span("step", uuid7()):
        raise RuntimeError("password=marked")
    step = told.spans()["step"]
    assert (step.status.status_code, step.status.description) == (StatusCode.ERROR, "RuntimeError")


def test_what_is_dropped_is_not_told_and_its_children_hang_nowhere_else(told: Told) -> None:
    with traces.span("step", uuid7()) as mark:
        mark.drop()
    with traces.span("put"):  # in no trace at all
        pass
    assert told.spans() == {}


def test_spans_of_another_job_are_not_of_the_one_around_them(told: Told) -> None:
    mine, other = uuid7(), uuid7()
    with traces.span("step", mine), traces.span("message", other):
        pass
    message = told.spans()["message"]
    assert message.context is not None
    assert (message.context.trace_id, parent_of(message)) == (other.int, trace_of(other).root)


def test_while_they_are_off_nothing_is_made() -> None:
    assert not traces.is_on()
    assert traces.span("step", uuid7()) is traces.request(uuid7()) is traces.NOTHING
    with traces.span("step", uuid7()) as mark:
        mark.note({"a": 1})
        mark.fail("b")
    jobs.ended(uuid7(), uuid7(), "failed", code="x")


def test_of_a_share_the_same_jobs_are_traced_in_every_process() -> None:
    ids = [uuid7() for _ in range(4000)]
    picked = []
    for _ in range(2):
        begun(0.25)
        picked.append({each for each in ids if trace_of(each).wanted})
        traces.end()
    assert picked[0] == picked[1]
    assert 800 < len(picked[0]) < 1200


@given(st.uuids(), st.floats(0, 1))
def test_who_is_traced_of_a_share_is_traced_of_every_larger_one(job_id: UUID, share: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for each in (0.0, share, 1.0):
            patch.setattr(traces, "_share", each)
            found.append(trace_of(job_id).wanted)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (False, True)
