"""Texts as they are written, told to whoever follows their jobs.

The thread that generates only adds to a list. Another one looks every so often which of the jobs are followed, and sends what
their followers lack; of a text that nobody follows nothing is ever sent. Nothing here is kept, and nothing waits for it: the
result is what the provider answers in the end.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import redis

from common.redis_client import redis_client
from common.rest import Rest
from common.settings import settings
from models.events.kinds import JOB_TEXT
from workers.doorbell import FOLLOWED, TEXT, publish_live

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.2
PIECE_CHARACTERS = 500  # of one message: six bytes each at most, in JSON
TOLD_CHARACTERS = 100_000  # of one text; what is longer is read when it is there
KEPT_SECONDS = 60  # of a text so far, for those who come in the middle
REDIS_SECONDS, REST_SECONDS = 1.0, 5.0


class _Telling:
    """One text on its way. Its parts are only ever added to."""

    __slots__ = ("account_id", "attempt", "closed", "job_id", "parts", "seen", "sent", "token")

    def __init__(self, account_id: UUID, job_id: UUID, token: int, attempt: int) -> None:
        self.account_id, self.job_id, self.token, self.attempt = account_id, job_id, token, attempt
        self.parts: list[str] = []
        self.seen = 0  # parts that the last look knew of
        self.sent = 0  # characters that were sent
        self.closed = False

    def has_more(self) -> bool:
        return len(self.parts) > self.seen or self.sent == 0 < len(self.parts)

    def text(self) -> str:
        """All of it so far, without what JSON cannot carry."""
        self.seen = len(self.parts)
        return "".join(self.parts[: self.seen]).encode(errors="replace").decode()


class _Teller:
    """The thread that tells, and what it has to."""

    def __init__(self) -> None:
        self._open: set[_Telling] = set()
        self._lock = threading.Lock()
        self._some, self._wake = threading.Event(), threading.Event()
        self._rest = Rest(REST_SECONDS)
        self._client: redis.Redis | None = None  # while there is something to tell
        threading.Thread(target=self._run, name="teller", daemon=True).start()

    def open(self, telling: _Telling) -> None:
        with self._lock:
            self._open.add(telling)
            self._some.set()

    def close(self, telling: _Telling) -> None:
        telling.closed = True
        self._wake.set()  # what is left of it is told before its job has ended

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._wake.wait(EVERY_SECONDS)
            self._wake.clear()
            with self._lock:
                now = list(self._open)
                closed = {each for each in now if each.closed}
            try:
                self._look([each for each in now if each.has_more()])
            except Exception:
                log.exception("texts on their way are not told just now")
            with self._lock:
                self._open -= closed
                idle = not self._open
                if idle:
                    self._some.clear()
            if idle and self._client is not None:
                self._client.close()
                self._client = None

    def _look(self, fresh: Sequence[_Telling]) -> None:
        if not fresh or self._rest.is_on:
            return
        if self._client is None:
            self._client = redis_client(settings().redis_url, timeout_seconds=REDIS_SECONDS, connect_seconds=0.5)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for each in fresh:
                    pipe.exists(FOLLOWED.format(each.job_id))
                followed = [each for each, wanted in zip(fresh, pipe.execute(), strict=True) if wanted]
                for each in fresh:
                    if each not in followed:
                        each.seen, each.sent = len(each.parts), 0  # whoever comes later is told all of it
                pieces = [_piece(pipe, each) for each in followed]
                pipe.execute()
        except redis.RedisError as error:
            self._rest.start()
            log.info("redis is away, a text is not told as it is written: %s", type(error).__name__)
            return
        for each, lacked in pieces:
            for start in range(0, len(lacked), PIECE_CHARACTERS):
                part = lacked[start : start + PIECE_CHARACTERS]
                data = {"run": each.token, "attempt": each.attempt, "position": each.sent, "text": part}
                publish_live(each.account_id, JOB_TEXT, each.job_id, data)
                each.sent += len(part)


def _piece(pipe: Any, telling: _Telling) -> tuple[_Telling, str]:
    """What a text's followers lack of it; and the whole is kept for the next ones, before any of it is told."""
    text = telling.text()
    if len(text) > TOLD_CHARACTERS:
        return telling, ""
    so_far = {"run": telling.token, "attempt": telling.attempt, "position": 0, "text": text}
    pipe.set(TEXT.format(telling.job_id), orjson.dumps(so_far), ex=KEPT_SECONDS)
    return telling, text[telling.sent :]


_lock = threading.Lock()
_teller: _Teller | None = None


@contextmanager
def telling(account_id: UUID, job_id: UUID, token: int, attempt: int) -> Iterator[Callable[[str], None]]:
    """For the time of a block, what takes each piece of a job's text. Costs nothing but a list's growth."""
    global _teller  # noqa: PLW0603 - one per process
    with _lock:
        _teller = _teller or _Teller()
    one = _Telling(account_id, job_id, token, attempt)
    _teller.open(one)
    try:
        yield one.parts.append
    finally:
        _teller.close(one)
