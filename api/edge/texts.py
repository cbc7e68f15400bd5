"""What PostgreSQL cannot keep in a text, or JSON cannot carry back, refused before anything is done: NUL, half of a
character, bytes that are no UTF-8, too deep a nesting. In one place for every route: addresses and headers as a request
comes in, bodies when they are read (`api.edge.request_limits`); forms by `check_form`. Pure.
"""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from starlette.datastructures import FormData, UploadFile

from common.errors import InvalidInput

MAX_BRACKETS = 200  # a body with fewer cannot be nested too deep


def bad_address(path: str, raw_path: bytes | None, query: bytes) -> str | None:
    """The part of an address that is no text that can be stored: `path`, or a query parameter's name."""
    if "\0" in path or not _is_text(unquote_to_bytes(raw_path or b"")):
        return "path"
    if _is_text(unquote_to_bytes(query)):
        return None
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if not _is_text(unquote_to_bytes(name)) or not _is_text(unquote_to_bytes(value)):
            return unquote_to_bytes(name).decode(errors="replace").replace("\0", "")[:100]
    return "query"


def bad_header(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The name of a header with a NUL. Others are read as Latin-1, and so are texts whatever is in them."""
    return next((name.decode("latin-1")[:100] for name, value in headers if b"\0" in value), None)


def check_json(raw: bytes, what: str = "body") -> None:
    """Raises InvalidInput for a body, or a line of one, that would be read as JSON and could not be stored. What is no JSON at all is left to
    whoever reads it, and a backslash before `u0000` that is itself escaped makes a text of six characters.
    """
    if b"\0" in raw:
        raise InvalidInput(f"the {what} has a NUL character, which cannot be stored", param=what)
    if _is_text(raw) and b"\\u" not in raw and raw.count(b"[") + raw.count(b"{") <= MAX_BRACKETS:
        return  # nearly every body
    try:
        body = orjson.loads(raw)
        orjson.dumps(body)
    except orjson.JSONDecodeError:
        body = _read_leniently(raw)
    except orjson.JSONEncodeError:
        raise InvalidInput(f"the {what} is nested too deep", param=what) from None
    try:
        text = "".join(_texts(body))
    except RecursionError:
        raise InvalidInput(f"the {what} is nested too deep", param=what) from None
    if "\0" in text:
        raise InvalidInput(f"the {what} has a NUL character (\\u0000), which cannot be stored", param=what)
    if not _is_whole(text):
        raise InvalidInput(f"the {what} has half of a character (a lone surrogate)", param=what)


def check_form(form: FormData) -> None:
    """Raises InvalidInput for a form with a NUL in a name, a value or a file's name."""
    for name, value in form.multi_items():
        text = (value.filename or "") + (value.content_type or "") if isinstance(value, UploadFile) else value
        if "\0" in name or "\0" in text or (not (name + text).isascii() and not _is_whole(name + text)):
            raise InvalidInput(
                "the form has a NUL, or half of a character, in a name or a value",
                param=name.replace("\0", "").encode(errors="replace").decode()[:100],
            )


def _is_text(plain: bytes) -> bool:
    if b"\0" in plain:
        return False
    try:
        plain.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_leniently(raw: bytes) -> Any:
    """A body as the framework reads it, which takes what orjson refuses; None for one that is no JSON to it either."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _texts(value: Any) -> Iterable[str]:
    """All keys and texts in a JSON value. It is no deeper than orjson could write it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
