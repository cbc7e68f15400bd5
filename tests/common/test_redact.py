"""Keys, passwords and signed addresses are in nothing that a process writes, whatever goes wrong and whoever says it."""

import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import logs, redact
from common.redact import MARK, for_strangers, redacted, secrets_in

ROOT = Path(__file__).resolve().parents[2]
SIGNED = "https://s3.example/b/k?X-Amz-Credential=AKIAMARKED&X-Amz-Signature=marked0123&X-Amz-Date=2026"


@pytest.mark.parametrize("text", [
    "postgresql://app:marked@db:5432/x", "postgresql+psycopg://app:marked@db/x", "postgres://app:mar ked@db/x".replace(" ", "/"),
    "redis://:marked@127.0.0.1/0", "rediss://u:marked:marked@h", "smtp://me%40x:marked@mail:25", "http://marked123456@host/x",
    'missing "=" after "postgresql+psycopg://app:marked@h/db" in connection info string', "amqp://u:p@marked@h/",
    "connection to 'host=h user=u password=marked dbname=d' failed", "password='mar ked' host=h", 'Password: "marked"',
    SIGNED, SIGNED.replace("&", "&amp;"), "https://x.example/o?sv=1&sig=marked%2Bmarked", "https://x.example/?token=marked",
    "https://x.example/a?api_key=marked", "https://cdn.example/?Key-Pair-Id=marked&Signature=marked-marked&Policy=marked",
    "GET /files/marked0123456789abcdef HTTP/1.1", "POST /hooks/providers/marked.0123456789abcdefghij",
    "Authorization: Bearer marked-token", "{'authorization': 'Bearer marked'}", "[(b'authorization', b'Bearer marked')]",
    "headers: x-api-key=marked", "Authorization: Key marked:marked", "bearer marked.marked", "Basic bWFya2VkOm1hcmtlZA=marked", "Authorization: Convex marked|marked",
    "Incorrect API key provided: sk-marked1234", "sk-proj-marked_1234-abcd", "r8_marked1234", "whsec_marked1234", "hr_marked1234",
    "org-marked1234", "eyJhbGciOiJtarked.eyJzdWIiOiJtYXJrZWQ.marked", "sk-ma****marked", "marked****rked",
])  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    told = redacted(f"it went wrong: {text}; and so on")
    assert "marked" not in told.lower()
    assert MARK in told
    assert told.startswith("it went wrong")
    assert redacted(told) == told


@pytest.mark.parametrize("text", [
    "job 01a2-7b: attempt 1 at provider painter failed: http_500: told to answer 500",
    "Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)", 'FATAL: password authentication failed for user "app"',
    "worker host:1:abc serves interactive, batch with 8 threads", "redis://127.0.0.1:6379/0", "https://x.example/a?page=2&size=3",
    "https://cdn.example/v1/key/image.png", "12:30:01", "the secret cannot be read: rotate it", "file_0123456789abcdef01234567",
])  # fmt: skip
def test_what_is_none_stays(text: str) -> None:
    assert redacted(text) == text


def test_the_values_of_this_deployment_are_taken_out_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_URL": "postgresql://app:Pa%2Fss/word%21@h/db", "SECRET_KEY": "odd value of a secret", "OPENAI_API_KEY": "plainkey12",
        "SMTP_URL": "smtp://u:hunter22@mail", "PROVISIONING_ADMIN_TOKEN": "token-of-today, token-of-tomorrow", "KEY_CACHE_SECONDS": "3.14159265", "S3_BUCKET": "headrace", "PGPASSWORD": "postgres",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    redact.forget()
    said = 'invalid port number: "word%21" odd value of a secret plainkey12 hunter22 Pa/ss/word! word!@h token-of-today; token-of-tomorrow 3.14159265 headrace postgres'
    told = redacted(said)
    for secret in ("word%21", "odd value", "plainkey12", "hunter22", "word!", "token-of-today", "token-of-tomorrow"):
        assert secret not in told
    assert told.endswith("3.14159265 headrace postgres")
    redact.forget()


def test_short_values_and_settings_that_are_no_secrets_are_left_alone() -> None:
    plain = {
        "IDEMPOTENCY_KEY_HOURS": "240000",
        "S3_ACCESS_KEY_ID": "access-key",
        "DATABASE_URL": "postgresql://h/d",
        "X_KEY": "abc",
    }
    assert secrets_in(plain) == set()


def test_a_line_made_for_it_takes_no_long_time() -> None:
    began = time.monotonic()
    for part in (
        "sk-",
        "a.",
        "http://a:",
        "Bearer ",
        "password=",
        "?sig=",
        "/files/",
        "a@",
        "1:",
        "x" * 30 + "*",
        "::",
    ):
        redacted(part * 100_000)
        for_strangers(part * 100_000)
    assert time.monotonic() - began < 20


# What is logged


@pytest.fixture
def logging_as_ours() -> Iterator[None]:
    """What `logs.install` changes in this process is put back, and is not there yet: a test before this one may have
    called what installs it, and pytest has put its own catcher of warnings in since."""
    logging.captureWarnings(False)
    root, hooks = logging.getLogger(), (sys.excepthook, sys.unraisablehook, threading.excepthook)
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


PASSWORD = "postgresql://app:marked@db/x"


@pytest.mark.usefixtures("logging_as_ours")
def test_arguments_tracebacks_warnings_and_stacks_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.install()  # pytest has put its own handlers and hooks in since
    log = logging.getLogger("uvicorn.error")
    log.info("cannot reach %s", PASSWORD)
    log.info("%(url)s", {"url": PASSWORD})
    try:
        raise RuntimeError(PASSWORD)  # noqa: TRY301 - the traceback is what is tested
    except RuntimeError:
        log.exception("it failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"odd: {PASSWORD}", stacklevel=1)
    log.info("%d", PASSWORD)  # cannot be formatted: logging would show its arguments
    told = capsys.readouterr().err
    assert "marked" not in told.replace(f'raise RuntimeError("{PASSWORD}")', "")
    assert told.count(MARK) >= 4
    assert "cannot be written" in told


@pytest.mark.usefixtures("logging_as_ours")
def test_what_nobody_catches_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.install()

    def fails() -> None:
        raise RuntimeError(PASSWORD)

    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    try:
        fails()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)

    class Broken:
        def __del__(self) -> None:
            raise RuntimeError(PASSWORD)

    Broken()
    told = capsys.readouterr().err
    assert "marked" not in told
    assert told.count("RuntimeError") >= 3
