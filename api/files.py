"""Permanent addresses of results: `/files/{token}` (DESIGN section 7).

The token is the asset's id with a signature, so that it cannot be guessed and nothing secret is stored.
"""

import base64
import binascii
import hmac
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from models import results
from models.db import transaction
from models.errors import NotFound
from models.links import SIGNATURE_BYTES, signature_of
from storage.s3 import storage

router = APIRouter(tags=["files"])


def asset_of(token: str) -> UUID:
    """The result that a token names. Raises NotFound for a token that we did not make."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise NotFound("there is no such file") from None
    if len(raw) != 16 + SIGNATURE_BYTES or not hmac.compare_digest(raw[16:], signature_of(raw[:16])):
        raise NotFound("there is no such file")
    return UUID(bytes=raw[:16])


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for; None: the whole. Raises ValueError: it cannot be had.

    One range only; a header with several, or one that is no range at all, is ignored, as RFC 9110 allows.
    """
    if not header or not header.startswith("bytes=") or "," in header:
        return None
    first, dash, last = header[6:].strip().partition("-")
    if not dash or not (first or last) or not (first + last).isdigit():
        return None
    if not first:
        if int(last) == 0:
            raise ValueError("the range is empty")
        return max(0, size - int(last)), size - 1
    begin, end = int(first), min(int(last), size - 1) if last else size - 1
    if begin >= size or end < begin:
        raise ValueError("the range is outside the file")
    return begin, end


@router.get(
    "/files/{token}",
    summary="Download a result",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The bytes."},
        206: {"content": {"application/octet-stream": {}}, "description": "The range of bytes asked for."},
        404: {"description": "There is no such file."},
        410: {"description": "The result has expired or was deleted; the body says which."},
        416: {"description": "The range is outside the file."},
    },
)
def download(
    token: str,
    request: Request,
    thumbnail: Annotated[bool, Query(description="The small picture instead.")] = False,
    range_header: Annotated[str | None, Header(alias="Range")] = None,
) -> Response:
    """Needs no key: the address itself is the secret. Streams from storage, whole or by range."""
    with transaction() as conn:
        found = results.find_result(conn, asset_of(token))
    key = found.thumbnail_key if thumbnail else found.key
    if key is None:
        raise NotFound("this result has no thumbnail")
    size, media_type = found.size_bytes, found.media_type
    if thumbnail:
        head = storage().head(key)
        size, media_type = head.size, head.media_type or "image/webp"
    headers = {
        "accept-ranges": "bytes",
        "etag": f'"{found.sha256.hex()}{"-t" if thumbnail else ""}"',
        "cache-control": "private, max-age=3600",
        "content-disposition": f"inline; filename*=UTF-8''{quote(key.rsplit('/', 1)[-1])}",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    try:
        part = byte_range(range_header, size)
    except ValueError:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    begin, end = part or (0, size - 1)
    headers["content-length"] = str(end - begin + 1)
    if part:
        headers["content-range"] = f"bytes {begin}-{end}/{size}"
    return StreamingResponse(_stream(key, begin, end), 206 if part else 200, headers, media_type)


def _stream(key: str, begin: int, end: int) -> Iterator[bytes]:
    chunks = storage().get_range(key, begin, end).chunks
    yield from chunks
