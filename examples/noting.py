"""What a step of an example did: which calls of the client it made, and what it found. The tables in docs/port-*.md are made of it."""

import re
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from headrace_client import Headrace

SHOWN_CHARACTERS = 60
# What differs from run to run: ids, secrets, moments, addresses.
_CHANGES = re.compile(r"https?://\S+|\S+@\S+|\b\d{4}-\d\d-\d\d|[0-9a-f]{8}-?[0-9a-f]{4}|\bhr_")


class Noted(NamedTuple):
    """What a step did. `calls`: the calls in the order in which each came first; `facts`: what was compared, and was as it should be."""

    calls: tuple[str, ...]
    facts: tuple[str, ...]


class Notes:
    """What the step that is under way has done until now. Threads may note at the same time."""

    def __init__(self) -> None:
        self._calls: dict[str, None] = {}
        self._facts: dict[str, None] = {}
        self._within = threading.local()

    def begin(self) -> None:
        """Begin with nothing: another step."""
        self._calls.clear()
        self._facts.clear()

    def end(self) -> Noted:
        """All of it."""
        return Noted(tuple(self._calls), tuple(self._facts))

    def call(self, what: str) -> None:
        """Note a call."""
        self._calls[what] = None

    def fact(self, what: str, *value: Any) -> None:
        """Note what was found as it should be, or a refusal. A value is shown where it is short, and the same in every run."""
        shown = shown_value(value[0]) if value else None
        self._facts[f"{what} ✓" if value and shown is None else what if shown is None else f"{what}: {shown}"] = None

    def listen_to(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """The same method, whose calls are noted. What it calls in its turn is its own affair."""
        route = re.search(r"`([A-Z]+ /\S+)`", (method.__doc__ or "").partition("\n\n")[0])
        shown = f"`client.{name}`" + (f" {route.group(1)}" if route else "")

        @wraps(method)
        def noted(*given: Any, **named: Any) -> Any:
            if getattr(self._within, "is_set", False):
                return method(*given, **named)
            self._within.is_set = True
            try:
                self.call(shown)
                return method(*given, **named)
            finally:
                self._within.is_set = False

        return noted


NOTES = Notes()  # a process runs one step at a time


class NotingHeadrace(Headrace):
    """The client, except that what is called of it is noted."""

    def _begin(self, sender: Any) -> None:
        super()._begin(sender)
        for name, part in list(vars(self).items()):
            if name.startswith("_"):
                continue
            for each in dir(part):
                if not each.startswith("_") and callable(method := getattr(part, each)):
                    setattr(part, each, NOTES.listen_to(f"{name}.{each}", method))

    def acting_for(self, account: str, *, create: bool = False) -> Headrace:
        """The same client, acting for a user's account."""
        NOTES.call("`client.acting_for`")
        return super().acting_for(account, create=create)


def shown_value(value: Any) -> str | None:
    """A value in the words of a table; None: it is long, or another in each run."""
    words = _words(value)
    return None if words is None or len(words) > SHOWN_CHARACTERS or "\n" in words else words


def _words(value: Any) -> str | None:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return str(value)
        case str():
            return None if _CHANGES.search(value) else value or "nothing"
        case dict():
            return _joined(
                [None if (words := _words(each)) is None else f"{name} {words}" for name, each in value.items()]
            )
        case tuple() | list():
            return _joined([_words(each) for each in value])
        case _:
            return None


def _joined(words: list[str | None]) -> str | None:
    return None if None in words else ", ".join(filter(None, words)) or "none"
