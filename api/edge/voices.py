"""Refusals in the words of others: under some paths an error has the shape that the library expects which asks there."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class PlainRefusal(NamedTuple):
    """What is refused and why, before it has a shape."""

    status: int
    code: str
    detail: str
    title: str
    param: str | None
    retryable: bool
    request_id: str | None
    extra: dict[str, Any]

    @property
    def retry_after(self) -> int:
        """Seconds, where it is retryable."""
        return int(self.extra.get("retry_after", 1))


class Spoken(NamedTuple):
    """A refusal as one dialect has it."""

    body: dict[str, Any]
    headers: Mapping[str, str] = MappingProxyType({})
    status: int | None = None  # None: ours


Voice = Callable[[PlainRefusal], Spoken]
_VOICES: dict[str, Voice] = {}


def give_voice(prefix: str, voice: Voice) -> None:
    """Let everything that is refused under a path be said this way."""
    _VOICES[prefix] = voice


def voice_of(path: str) -> Voice | None:
    """How to refuse what was asked of a path. None: our own way."""
    for prefix, voice in _VOICES.items():
        if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
            return voice
    return None
