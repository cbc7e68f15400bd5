"""The adapters by name. A new one is a file, a line here, and a line in the contract test."""

from collections.abc import Callable

from common.settings import settings
from workers.providers.base import Endpoint, Provider
from workers.providers.cog import Cog
from workers.providers.fal import Fal
from workers.providers.http import Http
from workers.providers.openai import OpenAI
from workers.providers.replicate import Replicate
from workers.providers.sketch import Sketch
from workers.providers.sketch.book import Book


def _sketch(_endpoint: Endpoint) -> Provider:
    path = settings().sketch_book
    return Sketch(Book(path) if path else None)


ADAPTERS: dict[str, Callable[[Endpoint], Provider]] = {
    "sketch": _sketch,
    "openai": OpenAI,
    "replicate": Replicate,
    "fal": Fal,
    "cog": Cog,
    "http": Http,
}
