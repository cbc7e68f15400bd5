"""Logging, set up once by every process: whatever is written, a traceback, a warning or a library's line as well, goes
through one filter that takes keys, passwords and signed addresses out (`common.redact`).

It is the formatter that redacts, not a `logging.Filter`: what is formatted is what is written, arguments, exceptions and
stacks included, whoever logged it. A line carries what is known of its work besides: job, account, attempt, request, trace.
"""

import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, NamedTuple, TextIO
from uuid import UUID

import orjson

from common import redact

FORMAT = "%(levelname)s %(name)s %(message)s"
WAIT_SECONDS, MOST_WAITING = 0.05, 256  # of lines, for others
SAID = "said"  # a record's attribute: what it says besides its sentence
# Made here, or names out of the catalogue: in these is no secret.
OURS = frozenset({"job", "account", "request", "trace", "level", "logger", "time", "model", "queue", "provider"})

Form = Literal["plain", "text", "json"]

about: ContextVar[Mapping[str, Any]] = ContextVar("about", default={})  # noqa: B039 - never changed, only replaced


class Formatter(logging.Formatter):
    """Formats as usual, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redact.redacted(super().format(record))


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error. A line that cannot be formatted is told without its values, which logging would show.

    `lines` of jobs may wait to be written: they are before whatever comes later, and when the process ends.
    """

    lines: "_Lines | None" = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.lines is not None:
            self.lines.write_waiting()
        super().emit(record)

    def flush(self) -> None:
        if self.lines is not None:
            self.lines.write_waiting()
        super().flush()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        kind = sys.exc_info()[0]
        sys.stderr.write(
            f"ERROR logging a line of {record.pathname}:{record.lineno} cannot be written ({kind and kind.__name__})\n"
        )


def install(level: int = logging.INFO, form: Form = "plain") -> None:
    """Log to standard error from now on, and say there what nobody catches. `text` is for terminals, `json` for machines,
    one object a line; `plain` needs nothing to be loaded.
    """
    global _lines  # noqa: PLW0603 - one way out of a process
    redact.forget()
    handler = LogHandler()
    _lines = handler.lines = _Lines(handler) if form == "json" else None
    handler.setFormatter(Formatter(FORMAT) if form == "plain" else _structured(form))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    say = _write if form != "json" else logging.getLogger("uncaught").critical
    sys.excepthook = lambda kind, error, trace: _uncaught(kind, error, trace, say)
    sys.unraisablehook = lambda given: say("%s", _unraisable(given))
    threading.excepthook = lambda given: _of_a_thread(given, say)


@contextmanager
def bound(**known: Any) -> Iterator[None]:
    """For the block, lines of this context say this besides."""
    token = about.set({**about.get(), **known})
    try:
        yield
    finally:
        about.reset(token)


def tell(log: logging.Logger, event: str, **said: Any) -> None:
    """Write one line about something that happened. As JSON it comes with every submit, so it goes a short way: what it
    says is made here, or looked through, and no record is made of it.
    """
    if _lines is None:
        log.info(event, extra={SAID: said})
    elif log.isEnabledFor(logging.INFO):
        _lines.tell(log.name, event, said)


def _structured(form: Form) -> logging.Formatter:
    import structlog  # noqa: PLC0415 - takes a fifth of a second: the command line does without

    chain: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", key="time", utc=True),
        _with_what_is_known,
    ]
    if form == "json":
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*chain, structlog.processors.format_exc_info, structlog.processors.StackInfoRenderer()],
            processors=[_without_meta, _redacted, structlog.processors.JSONRenderer(_written)],
        )
    terminal = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), pad_event_to=0, pad_level=False, sort_keys=False, timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )  # fmt: skip
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=chain,
        processors=[_without_meta, terminal, _redacted_text],
    )


class _Line(NamedTuple):
    """What happened, before it is a line."""

    logger: str
    event: str
    time: datetime
    known: Mapping[str, Any]
    said: Mapping[str, Any]


class _Lines:
    """Writes lines about jobs, between those of a handler. Those of an event loop wait a moment for others: many that are made
    and written together cost less than as many in the midst of orders.
    """

    def __init__(self, handler: LogHandler) -> None:
        from asyncio import _get_running_loop  # noqa: PLC0415 - the command line does without; the public one raises in threads

        self._handler, self._loop_of_here = handler, _get_running_loop
        self._waiting: deque[_Line] = deque()
        self._timed_by: object = None  # the loop that will write them

    def tell(self, logger: str, event: str, said: Mapping[str, Any]) -> None:
        self._waiting.append(_Line(logger, event, datetime.now(UTC), about.get(), said))
        loop = self._loop_of_here()
        if loop is None or len(self._waiting) >= MOST_WAITING:
            self.write_waiting()
        elif self._timed_by is not loop:
            self._timed_by = loop
            loop.call_later(WAIT_SECONDS, self._end_waiting)

    def _end_waiting(self) -> None:
        self._timed_by = None
        self.write_waiting()

    def write_waiting(self) -> None:
        """Write what waits, in its order."""
        with suppress(OSError), self._handler.lock or nullcontext():  # nobody may read any more
            text = "".join([_text_of(self._waiting.popleft()) for _ in range(len(self._waiting))])
            if text:
                self._handler.stream.write(text)
                self._handler.stream.flush()


def _text_of(line: _Line) -> str:
    try:
        return _text_as_said(line)
    except Exception as error:  # noqa: BLE001 - it takes none of those along that it is written with
        event = f"a line of {line.logger} cannot be written ({type(error).__name__})"
        return _written({"event": event, "level": "error", "logger": __name__, "time": line.time}) + "\n"


def _text_as_said(line: _Line) -> str:
    said = {"event": line.event, "level": "info", "logger": line.logger, "time": line.time, **line.known, **line.said}
    for name, value in line.said.items():
        if name not in OURS and isinstance(value, str):
            said[name] = redact.redacted(value)
    if whose := said.get("job") or said.get("request"):
        said["trace"] = _trace_of(whose)
    return _written(said) + "\n"


_lines: _Lines | None = None


def _written(event: Mapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z).decode()


def _trace_of(whose: Any) -> str:
    """An id as traces are named: without dashes."""
    return whose.hex if isinstance(whose, UUID) else str(whose).replace("-", "")


def _with_what_is_known(_log: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    known = {**about.get(), **getattr(event["_record"], SAID, {})}
    whose = known.get("job") or known.get("request")
    event.update({name: value if isinstance(value, int | float) else str(value) for name, value in known.items()})
    if whose:
        event["trace"] = _trace_of(whose)
    return event


def _without_meta(_log: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    del event["_record"], event["_from_structlog"]
    return event


def _redacted(_log: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Before it becomes JSON: a secret with a quote in it is spelt otherwise there, and what cut a line short would break it."""
    for name, value in event.items():
        if isinstance(value, str) and name not in OURS:
            event[name] = redact.redacted(value)
    return event


def _redacted_text(_log: Any, _name: str, text: Any) -> str:
    return redact.redacted(text)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None, say: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    say("%s", "".join(traceback.format_exception(kind, error, trace)))


def _unraisable(given: Any) -> str:
    said = "".join(traceback.format_exception(given.exc_type, given.exc_value, given.exc_traceback))
    return f"{given.err_msg or 'an exception that could not be raised'}\n{said}"


def _of_a_thread(given: threading.ExceptHookArgs, say: Any) -> None:
    if given.exc_type is SystemExit:
        return
    said = "".join(traceback.format_exception(given.exc_type, given.exc_value, given.exc_traceback))
    say("%s", f"in thread {given.thread.name if given.thread else '?'}:\n{said}")


def _write(form: str, text: str) -> None:
    sys.stderr.write(redact.redacted((form % text).rstrip("\n")) + "\n")
    sys.stderr.flush()
