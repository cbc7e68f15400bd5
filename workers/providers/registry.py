"""The providers by name. A new one is a file, a line here, and a line in the contract test."""

from collections.abc import Callable
from functools import cache

from models.settings import settings
from workers.providers.base import Provider
from workers.providers.sketch import Sketch
from workers.providers.sketch.book import Book


def _sketch() -> Provider:
    path = settings().sketch_book
    return Sketch(Book(path) if path else None)


PROVIDERS: dict[str, Callable[[], Provider]] = {"sketch": _sketch}


@cache
def provider(name: str) -> Provider:
    """The provider of this name, made once per process. Raises LookupError that lists the known ones."""
    make = PROVIDERS.get(name)
    if make is None:
        raise LookupError(f"no provider {name!r}; there are {', '.join(sorted(PROVIDERS))}")
    return make()
