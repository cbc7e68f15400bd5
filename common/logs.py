"""Logging, set up once by every process: whatever is written, a traceback, a warning or a library's line as well, goes
through one filter that takes keys, passwords and signed addresses out (`common.redact`).

It is the formatter that redacts, not a `logging.Filter`: what is formatted is what is written, arguments, exceptions and
stacks included, whoever logged it.
"""

import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, TextIO

from common import redact

FORMAT = "%(levelname)s %(name)s %(message)s"


class Formatter(logging.Formatter):
    """Formats as usual, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redact.redacted(super().format(record))


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error. A line that cannot be formatted is told without its values, which logging would show."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        kind = sys.exc_info()[0]
        sys.stderr.write(
            f"ERROR logging a line of {record.pathname}:{record.lineno} cannot be written ({kind and kind.__name__})\n"
        )


def install(level: int = logging.INFO) -> None:
    """Log to standard error from now on, and say there what nobody catches."""
    redact.forget()
    handler = LogHandler()
    handler.setFormatter(Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _of_a_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _write("".join(traceback.format_exception(kind, error, trace)))


def _unraisable(given: Any) -> None:
    said = "".join(traceback.format_exception(given.exc_type, given.exc_value, given.exc_traceback))
    _write(f"{given.err_msg or 'an exception that could not be raised'}\n{said}")


def _of_a_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_type is SystemExit:
        return
    said = "".join(traceback.format_exception(given.exc_type, given.exc_value, given.exc_traceback))
    _write(f"in thread {given.thread.name if given.thread else '?'}:\n{said}")


def _write(text: str) -> None:
    sys.stderr.write(redact.redacted(text.rstrip("\n")) + "\n")
    sys.stderr.flush()
