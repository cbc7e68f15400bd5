"""What the hooks of all companies have in common."""

import hashlib
import json
from typing import Any

from companies.base import Malformed

MAX_ID = 200


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a hook is. Raises Malformed."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is no JSON, or nested too deep") from None
    if not isinstance(found, dict):
        raise Malformed("the body is no JSON object")
    return found


def text_of(value: Any) -> str | None:
    """A name or an id; None for anything that cannot be one."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable() else None


def texts_of(*values: Any) -> tuple[str, ...]:
    """Those of these that can be ids, each once."""
    return tuple(dict.fromkeys(text for value in values if (text := text_of(value)) is not None))


def id_by_content(body: bytes) -> str:
    """The id of an event that names none: the same bytes are the same event."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
