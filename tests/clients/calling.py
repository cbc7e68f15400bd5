"""Calls every method of the Python client, with values made up for its arguments' types."""

import datetime as dt
import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from headrace_client import Headrace, Omit, Pager
from pydantic import BaseModel

ID = "01a1fd03-f4e4-7365-bf9d-4827335166ca"
# Loops, ways round, and what does several calls at once: each is tested by name.
NOT_A_CALL = {"jobs.run", "jobs.submit", "jobs.wait", "jobs.finished", "files.replace_in", "files.read"}


def methods(client: Headrace) -> Iterator[tuple[str, Callable[..., Any]]]:
    """All methods of all parts: `jobs.create` → the method."""
    for part, thing in sorted(vars(client).items()):
        if part.startswith("_"):
            continue
        for name, method in inspect.getmembers(thing, inspect.ismethod):
            if not name.startswith("_") and f"{part}.{name}" not in NOT_A_CALL:
                yield f"{part}.{name}", method


def called(method: Callable[..., Any], **chosen: Any) -> Any:
    """Call a method with a value for each of its arguments, and read all of its answer."""
    hints = get_type_hints(method)
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if name == "idempotency_key" or parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        given[name] = chosen[name] if name in chosen else sample(hints[name], name)
    answer = method(**given)
    if isinstance(answer, Pager):
        return answer.first()
    return list(answer) if isinstance(answer, abc.Iterator) else answer


def sample(kind: Any, name: str = "") -> Any:
    """A value of a type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return sample(next(part for part in parts if part not in {Omit, type(None)}), name)
    if origin is Literal:
        return parts[0]
    if origin is abc.Mapping or origin is dict:
        return {"key": sample(parts[1])}
    if origin in {abc.Sequence, abc.Iterable, list}:
        return [sample(parts[0])]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind(**{field: sample(typing.cast("Any", one.annotation)) for field, one in kind.model_fields.items()})
    if kind is str and (name == "id" or name.endswith("_id") or name == "job"):
        return ID
    plain: dict[Any, Any] = {str: "x", int: 1, float: 1.5, bool: True, Any: "x"}
    plain |= {dt.datetime: dt.datetime(2026, 11, 21, tzinfo=dt.UTC), dt.date: dt.date(2026, 11, 21)}
    return plain[kind]
