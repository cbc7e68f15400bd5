"""Lines for machines are JSON, one a line whatever happens; lines for people are read as they are; neither holds a secret."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common import logs, redact
from common.logs import Form
from common.settings import Settings
from models.starting import form_of
from tests.common.test_redact import logging_as_ours  # noqa: F401 - a fixture
from tests.support import OWN_SECRET

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "postgresql://app:marked@db/x"
pytestmark = pytest.mark.usefixtures("logging_as_ours")
log = logging.getLogger("tests")


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_lines_for_machines_are_json_with_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    logs.install(form="json")
    with logs.bound(job="01a2-7b", account="me"), logs.bound(attempt=2):
        log.warning("attempt %d failed", 2)
        logs.tell(log, "job started", provider="painter")
    log.info("alone")
    first, second, third = written(capsys)
    assert (first["event"], first["level"], first["logger"]) == ("attempt 2 failed", "warning", "tests")
    for line in (first, second):
        assert {"job": "01a2-7b", "account": "me", "attempt": 2, "trace": "01a27b"}.items() <= line.items()
    assert (second["event"], second["provider"], second["level"]) == ("job started", "painter", "info")
    assert set(third) == {"event", "level", "logger", "time"}
    assert third["time"].endswith("Z")


def test_a_traceback_is_one_line_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.install(form="json")
    try:
        raise RuntimeError(PASSWORD)  # noqa: TRY301 - the traceback is what is tested
    except RuntimeError:
        log.exception("it failed:\n%s", PASSWORD)
    log.info("with its stack", stack_info=True)
    failed, stack = written(capsys)
    assert failed["event"].startswith("it failed:\npostgresql://app:***@db/x")
    assert "RuntimeError: postgresql://app:***" in failed["exception"]
    assert "test_logs.py" in stack["stack"]
    assert "marked" not in failed["event"]


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to standard error, write by write."""
    logs.install(form="json")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    written = list[str]()
    monkeypatch.setattr(handler.stream, "write", written.append)
    return written


def attempts_of(pieces: list[str]) -> list[list[int]]:
    return [[json.loads(line)["attempt"] for line in text.splitlines()] for text in pieces]


async def order(number: int) -> None:
    logs.tell(log, "job ordered", attempt=number)


def test_lines_of_a_loop_wait_a_moment_for_each_other_and_are_written_together(pieces: list[str]) -> None:
    async def order_together() -> None:
        for turn in range(2):
            await asyncio.gather(*map(order, range(3 * turn, 3 * turn + 3)))
        assert pieces == []
        await asyncio.sleep(logs.WAIT_SECONDS * 2)
        assert attempts_of(pieces) == [[0, 1, 2, 3, 4, 5]]
        await order(6)
        await asyncio.sleep(logs.WAIT_SECONDS * 2)

    asyncio.run(order_together())
    assert attempts_of(pieces) == [[0, 1, 2, 3, 4, 5], [6]]


def test_what_a_thread_writes_comes_at_once_and_after_what_waited(pieces: list[str]) -> None:
    async def order_and_start() -> None:
        await order(0)
        await asyncio.to_thread(logs.tell, log, "job started", attempt=1)
        assert attempts_of(pieces) == [[0, 1]]

    asyncio.run(order_and_start())
    logs.tell(log, "job done", attempt=2)
    assert attempts_of(pieces) == [[0, 1], [2]]


def test_no_more_lines_wait_than_may(pieces: list[str]) -> None:
    async def order_many() -> None:
        for number in range(logs.MOST_WAITING + 1):
            await order(number)
        assert attempts_of(pieces) == [list(range(logs.MOST_WAITING))]

    asyncio.run(order_many())


def test_a_line_that_waits_is_before_whatever_comes_later(capsys: pytest.CaptureFixture[str]) -> None:
    logs.install(form="json")

    async def order_and_warn() -> None:
        await order(1)
        log.warning("later")

    asyncio.run(order_and_warn())
    assert [each["event"] for each in written(capsys)] == ["job ordered", "later"]


def test_a_line_that_cannot_be_written_takes_no_other_along(pieces: list[str]) -> None:
    async def order_all() -> None:
        await order(1)
        logs.tell(log, "job failed", code="half a character: \ud800")
        await order(3)
        await asyncio.sleep(logs.WAIT_SECONDS * 2)

    asyncio.run(order_all())
    first, second, third = map(json.loads, "".join(pieces).splitlines())
    assert (first["attempt"], third["attempt"]) == (1, 3)
    assert (second["event"], second["level"]) == (f"a line of {log.name} cannot be written (TypeError)", "error")


def test_lines_that_wait_are_written_when_the_process_ends() -> None:
    program = """
import asyncio, logging
from common import logs
logs.install(form="json")
async def order(number):
    logs.tell(logging.getLogger("jobs"), "job ordered", attempt=number)
asyncio.run(order(1))
asyncio.run(order(2))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [json.loads(line)["attempt"] for line in done.stderr.splitlines()] == [1, 2]


def test_a_secret_that_json_spells_otherwise_is_taken_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAINTER_API_KEY", 'odd"\\ö key')
    logs.install(form="json")
    log.warning("it said: %s", 'odd"\\ö key')
    logs.tell(log, "job failed", code='odd"\\ö key', model="quick")
    told = written(capsys)
    assert told[0]["event"] == f"it said: {redact.MARK}"
    assert (told[1]["code"], told[1]["model"]) == (redact.MARK, "quick")
    redact.forget()


def test_what_nobody_catches_is_json_as_well() -> None:
    """The main thread, another one, and an exception that nobody could raise."""
    program = f"""
import threading
from common import logs
logs.install(form="json")
class Odd:
    def __del__(self):
        raise RuntimeError("unraisable {PASSWORD}")
def fails():
    raise RuntimeError("in a thread {PASSWORD}")
thread = threading.Thread(target=fails)
thread.start()
thread.join()
odd = Odd()
del odd
raise RuntimeError("at last\\n{PASSWORD}")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [each["level"] for each in told] == ["critical"] * 3
    assert [
        word in each["event"] for word, each in zip(("in a thread", "unraisable", "at last"), told, strict=True)
    ] == [True] * 3
    assert all("app:***@db" in each["event"] for each in told)


@pytest.mark.parametrize("form", ["plain", "text"])
def test_lines_for_people_are_sentences_without_secrets(capsys: pytest.CaptureFixture[str], form: Form) -> None:
    logs.install(form=form)
    with logs.bound(job="01a2-7b"):
        log.warning("cannot reach %s", PASSWORD)
        try:
            raise RuntimeError(PASSWORD)  # noqa: TRY301 - the traceback is what is tested
        except RuntimeError:
            log.exception("it failed")
    told = capsys.readouterr().err
    assert "cannot reach postgresql://app:***@db/x" in told
    assert "RuntimeError: postgresql://app:***@db/x" in told
    assert ("job=01a2-7b" in told) == (form == "text")
    assert "\x1b" not in told, "no colours where nobody sees them"


def test_machines_read_the_lines_of_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)

    def form(**settings: str) -> str:
        with monkeypatch.context() as changed:
            for name, value in settings.items():
                changed.setenv(name, value)
            return form_of(Settings(_env_file=None))

    assert form(ENVIRONMENT="production") == "json"
    assert form(ENVIRONMENT="development") == "text"
    assert form(ENVIRONMENT="production", LOG_FORMAT="text") == "text"
    assert form(ENVIRONMENT="test", LOG_FORMAT="json") == "json"
