"""A running far side for the tests of Replicate, and requests to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.book import Book
from tests.far_side.callbacks import came
from tests.far_side.replicate import ReplicateFarSide
from workers.providers.base import Done, Endpoint, Outcome, Pending, ProviderError, Request
from workers.providers.replicate import Replicate

KEY = "job:1"
SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIz"
HOOK = "https://headrace.example/callbacks/token"
MODEL = "acme/paint"


class Set:
    """A server, and providers that ask it."""

    def __init__(self, far: ReplicateFarSide) -> None:
        self.far = far
        self._made: list[Replicate] = []

    def provider(self, **options: Any) -> Replicate:
        self._made.append(Replicate(Endpoint("replicate", self.far.url, "r8_ours", options)))
        return self._made[-1]

    def end(self, request: Request, **script: Any) -> Outcome:
        """Begin a prediction with this script, and ask for it once."""
        self.far.script["*"] = script
        bucket = self.far.root.replace("http://127.0.0.1", "localhost")  # the same server under a name that has no key
        provider = self.provider(hosts=[bucket])
        begun = provider.start(request, KEY)
        assert isinstance(begun, Pending)
        return provider.poll(request, begun.provider_job_id)

    def done(self, request: Request, **script: Any) -> Done:
        outcome = self.end(request, **script)
        assert isinstance(outcome, Done)
        return outcome

    def failure(self, request: Request, **script: Any) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self.end(request, **script)
        return caught.value

    def asked(self) -> dict[str, Any]:
        return self.far.book.calls(method="POST")[-1]

    def close(self) -> None:
        for each in self._made:
            each.close()


@contextmanager
def running(tmp_path: Path) -> Iterator[Set]:
    book = Book(tmp_path / "far.sqlite")
    with ReplicateFarSide(book).running() as far:
        made = Set(far)
        yield made
        made.close()
    book.close()


def make(kind: Any = "image", model: str = MODEL, **fields: Any) -> Request:
    return Request(model, kind, fields.pop("input", {"prompt": "a lake"}), **fields)


def read(done: Done) -> list[bytes]:
    return [b"".join(each.chunks()) for each in done.outputs]


def of(error: ProviderError) -> tuple[str, bool, bool, bool, bool]:
    return error.code, error.retryable, error.charged, error.limited, error.elsewhere


def believed(
    provider: Replicate, body: bytes, headers: dict[str, str], known: str | None = "p1", arrived: float | None = None
) -> Outcome | None:
    return provider.callback(make(), known, came(headers, body, arrived))
