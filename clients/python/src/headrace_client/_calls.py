"""A request as a value: what is asked for, before anybody sends it. Pure."""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from headrace_client._uploads import Source

_ANYTHING = TypeAdapter(Any)


class Omit:
    """What is not given: the field is not sent at all, which is something else than `None` where a field may be null."""

    def __repr__(self) -> str:
        return "OMIT"

    def __bool__(self) -> bool:
        return False


OMIT = Omit()


@dataclass(frozen=True)
class Call:
    """A request of one route. `path` is as the document writes it, and `at` has its parts.

    `once`: the route knows an Idempotency-Key, so it may be sent again without doing twice what it does.
    """

    verb: str
    path: str
    at: Mapping[str, str | int] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | Omit] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    lines: bytes | None = None
    upload: Source | None = None
    once: bool = False
    key: str | None = None

    @property
    def address(self) -> str:
        """The path with its parts. Raises ValueError for a part that would lead elsewhere."""
        path = self.path
        for name, value in self.at.items():
            text = str(value)
            if text in {"", ".", ".."}:
                raise ValueError(f"{name} must not be {text!r}")
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        return path

    @property
    def may_repeat(self) -> bool:
        """Whether it does the same when it is sent again, although the first may have arrived."""
        if self.upload is not None and not self.upload.can_rewind:
            return False
        conditional = any(name == "If-Match" and value is not OMIT for name, value in self.headers.items())
        return self.once or self.verb in {"GET", "PUT", "DELETE"} or (self.verb == "PATCH" and not conditional)


def sent_headers(call: Call) -> dict[str, str]:
    """The headers of a call, the same for every time that it is sent."""
    found = {name: value for name, value in call.headers.items() if not isinstance(value, Omit)}
    if call.once:
        found["Idempotency-Key"] = call.key or str(uuid.uuid4())
    return found


def sent_query(call: Call) -> dict[str, str | int | float]:
    """The query of a call, in the words of the API."""
    return {
        name: _word(value) for name, value in call.query.items() if not isinstance(value, Omit) and value is not None
    }


def _word(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):  # a moment too
        return value.isoformat()
    return value if isinstance(value, int | float) else str(value)


def sent_body(call: Call) -> bytes | None:
    """The JSON of a call's body; None: it has none."""
    if call.body is None:
        return call.lines
    given = {name: value for name, value in call.body.items() if not isinstance(value, Omit)}
    return _ANYTHING.dump_json(given, exclude_unset=True)
