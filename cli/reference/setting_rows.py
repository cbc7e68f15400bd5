"""Every setting: its name, what may be said, what holds if nothing is, and what it means."""

import sys
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from cli.reference.markdown import code, page_of, plain, table
from common.settings import Settings

INTRODUCTION = """\
Each setting is an environment variable, or a line of `.env`; an empty one is one that is not set. `.env.example` has those
that a deployment names, [operating.md](../operating.md) tells what they are for, and what production refuses. All that is
wrong is said at the start of a process, in sentences without the values. Besides these there are the keys of providers, whose
names the catalogue chooses, and for the command line `HEADRACE_API_KEY` and `HEADRACE_STATE`."""
NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", SecretStr: "secret", UUID: "id"}


def page() -> str:
    """The page, a section for each class that settings are written in."""
    owners: list[type[BaseModel]] = [Settings, *parts()]
    sections = [
        f"## {_title(owner)}\n\n{table(('setting', 'value', 'default', 'meaning'), rows)}"
        for owner in owners
        if (rows := list(_rows(owner)))
    ]
    return page_of("Settings", INTRODUCTION, *sections)


def parts() -> list[type[BaseModel]]:
    """The classes that settings inherit fields from."""
    return [each for each in Settings.__mro__[1:] if issubclass(each, BaseSettings) and each is not BaseSettings]


def _title(owner: type[BaseModel]) -> str:
    """What a class's module says that it is of: `Settings of a CDN in front of files` makes `A CDN in front of files`."""
    if owner is Settings:
        return "One deployment"
    text = (sys.modules[owner.__module__].__doc__ or owner.__name__).strip().splitlines()[0]
    sentence = text.removesuffix(".").partition(":")[0].removeprefix("Settings of ")
    return sentence[:1].upper() + sentence[1:]


def _rows(owner: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in Settings.model_fields.items():
        if name in owner.__annotations__:
            yield code(name.upper()), kind(field), _default(field.default), plain(meaning(name, field))


def meaning(name: str, field: FieldInfo) -> str:
    """What a field's author says of it. Raises LookupError where that is nothing."""
    if not field.description:
        raise LookupError(f"the setting {name.upper()} has no description")
    return field.description


def kind(field: FieldInfo) -> str:
    """What may be said: `whole number, 1 to 64`, or the words that there are."""
    annotation = _not_none(field.annotation)
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
        return ", ".join(map(code, words)) if len(words) < 6 else f"one of {len(words)} words, as {code(words[0])}"
    if get_origin(annotation) is tuple:
        return "list, by commas"
    return ", ".join(filter(None, [NAMES.get(annotation, "text"), _bounds(field)]))


def _not_none(annotation: Any) -> Any:
    """Of `X | None`, X."""
    if get_origin(annotation) in (Union, UnionType):
        return next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def _bounds(field: FieldInfo) -> str:
    said = {
        name: f"{bound:,}"
        for each in field.metadata
        for name in ("gt", "ge", "le")
        if (bound := getattr(each, name, None)) is not None
    }
    if {"ge", "le"} <= said.keys():
        return f"{said['ge']} to {said['le']}"
    words = {"gt": "above", "ge": "from", "le": "to"}
    return ", ".join(f"{words[name]} {bound}" for name, bound in said.items())


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        return "one that production refuses"
    if isinstance(value, bool):
        return code(str(value).lower())
    if value is None or value in ("", ()):
        return "–"
    if isinstance(value, int | float):
        return code(f"{value:g}" if isinstance(value, float) and value < 1_000_000 else str(value))
    return code(str(value))
