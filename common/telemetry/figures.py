"""Figures that Prometheus reads: all there are, declared in one place, so that dashboards, alerts and this list can be compared.

While they are off (no METRICS_PORT) a figure is a name and noting one is a look at an attribute: the library is not even
imported. No label has more than so many values: what comes after is `other`, whatever a catalogue or a provider invents.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

log = logging.getLogger(__name__)

MOST_VALUES = 100  # of a label, in a process
MOST_WAITING = 256  # notes, until they are counted
OTHER = "other"
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)

LabelValues = tuple[str, ...]
Readings = Iterable[tuple[LabelValues, float]]  # labels' values, and the figure


class Figure:
    """A figure with its labels; `kind` as Prometheus calls it."""

    kind = "gauge"

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self.name, self.says, self.labels = name, says, labels
        FIGURES[name] = self

    def exposed(self) -> set[str]:
        """The names under which Prometheus finds it."""
        return {self.name}


class _Noted(Figure, ABC):
    """One that is noted where it happens."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        super().__init__(name, says, *labels)
        self._real: Any = None
        self._children: dict[LabelValues, Any] = {}

    def begin(self, registry: Any) -> None:
        """Count from now on."""
        self._children = {}
        self._real = self._made(registry)

    def end(self) -> None:
        self._real = None

    @abstractmethod
    def count(self, amount: float, values: LabelValues) -> None:
        """Count what was noted."""

    def _wait(self, amount: float, values: LabelValues) -> None:
        # Noted in the midst of an order, counted with many others.
        if self._real is not None:
            _waiting.append((self, amount, values))
            if len(_waiting) >= MOST_WAITING:
                _count_waiting()

    @abstractmethod
    def _made(self, registry: Any) -> Any:
        """The library's own."""

    def _child(self, values: LabelValues) -> Any:
        child = self._children.get(values)
        if child is None:
            told = tuple(_bounded(label, value) for label, value in zip(self.labels, values, strict=True))
            child = self._real.labels(*told) if told else self._real
            if told == values:
                self._children[values] = child
        return child


class Tally(_Noted):
    """Something that only grows."""

    kind = "counter"

    def add(self, *values: str, amount: float = 1) -> None:
        """Count one more, or so many."""
        self._wait(amount, values)

    def count(self, amount: float, values: LabelValues) -> None:
        self._child(values).inc(amount)

    def _made(self, registry: Any) -> Any:
        from prometheus_client import Counter  # noqa: PLC0415 - loaded only where figures are on

        return Counter(self.name.removesuffix("_total"), self.says, self.labels, registry=registry)


class Duration(_Noted):
    """Seconds that something took, in a histogram."""

    kind = "histogram"

    def __init__(self, name: str, says: str, *labels: str, buckets: Sequence[float] = FAST) -> None:
        super().__init__(name, says, *labels)
        self._buckets = buckets

    def note(self, seconds: float, *values: str) -> None:
        """Something took so long."""
        self._wait(seconds, values)

    def count(self, amount: float, values: LabelValues) -> None:
        self._child(values).observe(amount)

    def exposed(self) -> set[str]:
        return {f"{self.name}_{end}" for end in ("bucket", "sum", "count")}

    def _made(self, registry: Any) -> Any:
        from prometheus_client import Histogram  # noqa: PLC0415 - loaded only where figures are on

        return Histogram(self.name, self.says, self.labels, registry=registry, buckets=self._buckets)


class Gauge(Figure):
    """What is read when somebody looks: it costs nothing in between. `read_by` says who knows it in this process. One whose
    name ends with `_total` only grows.
    """

    def __init__(self, name: str, says: str, *labels: str) -> None:
        super().__init__(name, says, *labels)
        self.reader: Callable[[], Readings] | None = None

    @property
    def kind(self) -> str:  # type: ignore[override]  # told by its name
        return "counter" if self.name.endswith("_total") else "gauge"

    def read_by(self, reader: Callable[[], Readings]) -> None:
        self.reader = reader


FIGURES: dict[str, Figure] = {}
_waiting: deque[tuple[_Noted, float, LabelValues]] = deque()  # noted, but not counted yet
_values: dict[str, set[str]] = {}
_lock = threading.Lock()
_on = False


def is_on() -> bool:
    """Whether anybody can read figures of this process."""
    return _on


def begin(registry: Any) -> None:
    """Count into a registry of prometheus_client's from now on."""
    global _on  # noqa: PLW0603 - one set of figures a process
    _values.clear()
    _waiting.clear()
    registry.register(_Waiting())  # before the others: it is asked first
    for figure in FIGURES.values():
        if isinstance(figure, _Noted):
            figure.begin(registry)
    registry.register(_Gauges())
    _on = True


def end() -> None:
    """Count no more, and forget who reads (end of a process, or of a test)."""
    global _on  # noqa: PLW0603 - one set of figures a process
    _on = False
    _count_waiting()
    for figure in FIGURES.values():
        if isinstance(figure, _Noted):
            figure.end()
        elif isinstance(figure, Gauge):
            figure.reader = None


class _Waiting:
    """Counts what waits before the library reads."""

    def collect(self) -> Iterable[Any]:
        _count_waiting()
        return ()

    def describe(self) -> list[Any]:
        """Nothing: it has no figures of its own."""
        return []


class _Gauges:
    """What prometheus_client asks at each scrape."""

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import Metric  # noqa: PLC0415 - loaded only where figures are on

        for figure in FIGURES.values():
            if not isinstance(figure, Gauge) or figure.reader is None:
                continue
            family = Metric(figure.name.removesuffix("_total"), figure.says, figure.kind)
            try:
                sums: dict[LabelValues, float] = {}
                for values, number in figure.reader():
                    told = tuple(_bounded(name, each) for name, each in zip(figure.labels, values, strict=True))
                    sums[told] = sums.get(told, 0.0) + number  # of what is `other`
                for told, number in sums.items():
                    family.add_sample(figure.name, dict(zip(figure.labels, told, strict=True)), number)
            except Exception:
                log.exception("%s cannot be read; the others are", figure.name)
            yield family

    def describe(self) -> list[Any]:
        """Nothing: who registers this must not read all of it."""
        return []


def _count_waiting() -> None:
    # Of two threads that are here at once, each takes what the other has not.
    with suppress(IndexError):
        while True:
            figure, amount, values = _waiting.popleft()
            try:
                figure.count(amount, values)
            except Exception:
                log.exception("%s cannot count %s; the others are counted", figure.name, values)


def _bounded(label: str, value: str) -> str:
    known = _values.setdefault(label, set())
    if value in known:
        return value
    with _lock:
        if len(known) >= MOST_VALUES:
            return OTHER
        known.add(value)
    return value


@contextmanager
def timed(figure: Duration, *values: str) -> Iterator[None]:
    """Note how long a block takes: under `ok` if it ends well, under `failed` if it raises."""
    begun, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "ok"
    finally:
        figure.note(time.perf_counter() - begun, *values, outcome)


# Of the API

REQUESTS = Duration(
    "headrace_http_request_seconds", "From a request's head to the end of its answer; streams of events are in headrace_streams.",
    "route", "method", "status",
)  # fmt: skip
IN_FLIGHT = Gauge("headrace_http_in_flight", "Requests that are not answered yet.")
REFUSED = Tally("headrace_http_refused_total", "Answers that are problems, by their code.", "code")
TURNED_AWAY = Tally("headrace_connections_refused_total", "Connections that were refused or ended to make room.", "why")
CONNECTIONS = Gauge("headrace_connections", "Connections that are open.")
STREAMS = Gauge("headrace_streams", "Streams of events that are open.")
PLACES = Gauge(
    "headrace_place_threads",
    "Threads of each kind of slow work: in use, and requests that wait for one.",
    "place",
    "state",
)

# Of every process

POOL = Gauge("headrace_pool_connections", "Connections to the database, by what they do.", "state")
POOL_WAITS = Gauge("headrace_pool_waits_total", "Times that somebody waited for a connection, since the process began.")
POOL_WAITED = Gauge("headrace_pool_waited_seconds_total", "For how long, all together.")
DEPENDENCY = Gauge("headrace_dependency_up", "Whether a server that the process uses is there: 1, or 0.", "dependency")
UNRUNG = Gauge(
    "headrace_messages_not_sent_total", "Messages to workers that could not be sent, since the process began."
)

# Of jobs, wherever they are moved

ORDERED = Tally("headrace_jobs_ordered_total", "Jobs that were accepted.", "model")
STARTED = Tally("headrace_jobs_claimed_total", "Attempts that were begun.", "model")
ENDED = Tally("headrace_jobs_ended_total", "Jobs that have ended.", "model", "outcome", "code")
LASTED = Duration("headrace_job_seconds", "From the order to the end.", "model", "outcome", buckets=SLOW)
SPENT = Tally("headrace_credits_spent_total", "Credits that were spent, by jobs and of holds.", "by")
RETRIES = Tally(
    "headrace_job_retries_total", "Attempts that failed and that another follows, by what they failed with.", "code"
)
PROVIDER_CALLS = Duration(
    "headrace_provider_call_seconds", "Calls of providers.", "provider", "call", "outcome", buckets=(*FAST, 30.0, 60.0, 120.0, 300.0)
)  # fmt: skip
PUTS = Duration("headrace_storage_put_seconds", "Objects put into the bucket.", "outcome")
RESTING = Gauge(
    "headrace_provider_resting_seconds",
    "For how much longer a provider is left alone, because it kept failing.",
    "provider",
)
THREADS = Gauge("headrace_worker_threads", "Threads of this worker.", "state")

# Of the scheduler

TURNS = Duration(
    "headrace_duty_turn_seconds", "Turns of duties.", "duty", "outcome", buckets=(*FAST, 30.0, 60.0, 300.0)
)
DONE = Tally("headrace_duty_done_total", "How much duties did.", "duty")

# Of the senders

DELIVERIES = Duration("headrace_delivery_seconds", "Attempts at deliveries.", "channel", "outcome")
DELIVERY_LAG = Duration(
    "headrace_delivery_lag_seconds", "From what is told to its first attempt.", "channel", buckets=SLOW
)

# Of the business: read from the database by the scheduler, see models/usage/business.py

QUEUE = Gauge("headrace_queue_jobs", "Living jobs of a queue.", "queue", "state")
QUEUE_AGE = Gauge("headrace_queue_oldest_seconds", "Age of the oldest job that has not started.", "queue")
DUTY_LATE = Gauge("headrace_duty_late_seconds", "By how much a duty is overdue.", "duty")
DUTY_FAILED = Gauge("headrace_duty_failed", "Whether a duty's last turn met an error: 1, or 0.", "duty")
DELIVERIES_LATE = Gauge("headrace_deliveries_late_seconds", "For how long the first receiver that works has been due.")
WORKERS = Gauge("headrace_workers", "Threads of all workers that are heard of.", "state")
CREDITS_RESERVED = Gauge("headrace_credits_reserved", "Credits that living jobs hold.")
ACTIVE_USERS = Gauge("headrace_active_accounts", "Accounts that ordered something in the last day.", "plan")
PAYMENTS = Gauge("headrace_payments_recently", "Payments ordered in the last day, by where their money is.", "outcome")
READ_SECONDS = Gauge("headrace_business_read_seconds", "How long reading these took, last time.")
