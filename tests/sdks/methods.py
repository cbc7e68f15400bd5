"""Every method of the libraries that programs order with, and what becomes of it here: `python -m tests.sdks.methods --write` writes
the table of docs/sdk-methods.md from `methods.toml`; a test holds that none is missing, and that the tests it names are there.
"""

import functools
import inspect
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import fal_client
import openai
import replicate
from openai._resource import SyncAPIResource
from replicate.prediction import Prediction
from replicate.resource import Namespace

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "sdk-methods.md"
HEAD = """# Every method of these libraries

What becomes of each public method here, and the test that drives it. Written by `python -m tests.sdks.methods --write` from the
libraries themselves; asynchronous methods are tested beside the others. What is refused is refused in the library's own words: its error
class with status 404, unless the table says otherwise.
"""


class Rule(NamedTuple):
    """What becomes of the methods that a pattern names."""

    pattern: str
    works: bool
    how: str
    test: str


def rules() -> dict[str, list[Rule]]:
    """By library, the more special first."""
    raw = tomllib.loads((HERE / "methods.toml").read_text())
    return {
        library: [Rule(each["methods"], each.get("works", True), each.get("how", ""), each["test"]) for each in entries]
        for library, entries in raw.items()
    }


def methods() -> dict[str, list[str]]:
    """What the libraries have, by library; an asynchronous twin is not listed beside its brother."""
    return {
        f"replicate {version('replicate')}": sorted(_replicate()),
        f"openai {version('openai')}": sorted(_openai(openai.OpenAI(api_key="none"), "")),
        f"fal-client {version('fal-client')}": sorted(_fal()),
    }


def _openai(thing: Any, path: str) -> Iterator[str]:
    for name in dir(type(thing)):
        found = inspect.getattr_static(type(thing), name)
        if name.startswith(("_", "with_")):
            continue
        if isinstance(found, functools.cached_property | property):
            value = getattr(thing, name)
            if isinstance(value, SyncAPIResource):
                yield from _openai(value, f"{path}{name}.")
        elif inspect.isfunction(found) and path:
            yield path + name


def _replicate() -> Iterator[str]:
    yield from _of_namespace(replicate.Client(api_token="none"), "")
    yield from (f"Prediction.{name}" for name in _public(Prediction))


def _of_namespace(thing: Any, path: str) -> Iterator[str]:
    for name in dir(type(thing)):
        found = inspect.getattr_static(type(thing), name)
        if name.startswith("_"):
            continue
        if isinstance(found, property):
            value = getattr(thing, name)
            if isinstance(value, Namespace):
                yield from _of_namespace(value, f"{path}{name}.")
        elif inspect.isfunction(found) and not name.startswith("async_"):
            yield path + name


def _fal() -> Iterator[str]:
    yield from (f"SyncClient.{name}" for name in _public(fal_client.SyncClient))
    yield from (f"SyncRequestHandle.{name}" for name in _public(fal_client.SyncRequestHandle))


def _public(kind: type) -> list[str]:
    return [
        name for name, _ in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith(("_", "async_")) and any(name in vars(each) for each in kind.__mro__ if each.__module__.split(".")[0] != "pydantic")
    ]  # fmt: skip


def rule_of(library: str, method: str) -> Rule | None:
    """The first rule that names a method."""
    return next((rule for rule in rules()[library.split(maxsplit=1)[0]] if fnmatchcase(method, rule.pattern)), None)


def page() -> str:
    """The document. Methods that one rule names are one line, but those that work."""
    lines = [HEAD]
    for library, names in methods().items():
        lines += [f"\n## {library}\n", "| method | here | test |", "|---|---|---|"]
        told: set[str] = set()
        for name in names:
            rule = rule_of(library, name)
            if rule is None or (not rule.works and rule.pattern in told):
                continue
            told.add(rule.pattern)
            shown = (
                (name if rule.works else rule.pattern)
                if name[0].isupper()
                else f"client.{name if rule.works else rule.pattern}"
            )
            lines.append(
                f"| `{shown}` | {'works' if rule.works else 'refused'}{rule.how and f': {rule.how}'} | `{rule.test}` |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or say that it is another."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page())
    elif not PAGE.is_file() or PAGE.read_text() != page():
        sys.exit(f"{PAGE} is not what the libraries say: python -m tests.sdks.methods --write")


if __name__ == "__main__":
    main()
