"""If-Match: which version of a thing its editor has seen."""

import re
from typing import Annotated

from fastapi import Header

from common.errors import InvalidParameter, InvalidRequest
from models.columns import MAX_INTEGER

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description='The version that you have seen, as in the ETag: "3". Another by now: 412.')
]  # fmt: skip


def version_of(text: str | None) -> int | None:
    """The version that an If-Match names; None: any. Raises InvalidParameter."""
    if text is None or text.strip() == "*":
        return None
    found = re.fullmatch(r'(?:W/)?"([0-9]{1,10})"|([0-9]{1,10})', text.strip())
    if found is None or int(found[1] or found[2]) > MAX_INTEGER:
        raise InvalidParameter(f'If-Match must be a version, such as "3", not {text[:40]!r}', param="If-Match")
    return int(found[1] or found[2])


def seen_version(text: str | None) -> int:
    """The version that an editor has seen, where what they write takes its place. Raises InvalidRequest, InvalidParameter."""
    version = version_of(text)
    if version is None:
        raise InvalidRequest('say in If-Match which version you have changed: its ETag, such as "3"', param="If-Match")
    return version


def etag_of(version: int) -> dict[str, str]:
    """The header that names a version."""
    return {"etag": f'"{version}"'}
