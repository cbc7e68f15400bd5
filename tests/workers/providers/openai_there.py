"""A running far side for the tests of OpenAI-compatible servers, and requests to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.book import Book
from tests.far_side.openai import OpenAIFarSide
from workers.providers.base import Done, Endpoint, ProviderError, Request
from workers.providers.openai import OpenAI

KEY = "job:1"


class Set:
    """A server, and providers that ask it."""

    def __init__(self, far: OpenAIFarSide) -> None:
        self.far = far
        self._made: list[OpenAI] = []

    def provider(self, **options: Any) -> OpenAI:
        self._made.append(OpenAI(Endpoint("openai", self.far.url, "sk-ours", options)))
        return self._made[-1]

    def start(self, request: Request, **options: Any) -> Done:
        done = self.provider(**options).start(request, KEY)
        assert isinstance(done, Done)
        return done

    def asked(self) -> dict[str, Any]:
        return self.far.book.calls(method="POST")[-1]

    def close(self) -> None:
        for each in self._made:
            each.close()


@contextmanager
def running(tmp_path: Path) -> Iterator[Set]:
    book = Book(tmp_path / "far.sqlite")
    with OpenAIFarSide(book).running() as far:
        made = Set(far)
        yield made
        made.close()
    book.close()


def image(values: dict[str, Any] | None = None, **fields: Any) -> Request:
    return Request("gpt-image-1", "image", values or {"prompt": "a lake"}, **fields)


def text(values: dict[str, Any] | None = None, **fields: Any) -> Request:
    return Request("gpt-5-mini", "text", values or {"prompt": "Write."}, **fields)


def speech(**fields: Any) -> Request:
    return Request("tts-1", "speech", {"text": "hello"}, **fields)


def read(done: Done) -> bytes:
    return b"".join(done.outputs[0].chunks())


def failure(there: Set, request: Request, **options: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        there.start(request, **options)
    return caught.value


def of(error: ProviderError) -> tuple[str, bool, bool, bool, bool]:
    return error.code, error.retryable, error.charged, error.limited, error.elsewhere
