"""Permanent addresses of results: `/files/{token}` (DESIGN section 7).

The token is the asset's id with a signature, so that it cannot be guessed and nothing secret is stored. A status is sent
once the object is open and its first bytes are here: where S3 is away that is 503. Where S3 breaks off later the
connection is closed without an end, and the client, who was told the length, notices.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, NamedTuple, TypeVar
from urllib.parse import quote
from uuid import UUID

from fastapi import Header, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.routes.prefix_router import PrefixRouter
from api.services import services
from api.turns.places import Place
from common.errors import NotFound, Overloaded, ResultGone, Unavailable
from common.links import SMALL, named_by
from common.settings import Settings, settings
from models.db import transaction
from models.files import results
from models.files.results import Result
from storage.objects import Chunks, Head
from storage.s3 import Storage, StorageError, storage

log = logging.getLogger(__name__)
router = PrefixRouter(tags=["files"])
T = TypeVar("T")

AWAY_SECONDS = 5  # when to ask again while S3 is away
BROWSER_SECONDS = 3600  # what is deleted meanwhile a browser may still show
DIGITS_MAX = 18  # of a range's numbers; more is as good as infinite


def asset_of(token: str) -> UUID:
    """The result that a token names. Raises NotFound for a token that we did not make."""
    found = named_by(token)
    if found is None:
        raise NotFound("there is no such file")
    return found


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for; None: the whole. Raises ValueError: it cannot be had.

    One range only; a header with several, or one that is no range at all, is ignored, as RFC 9110 allows.
    """
    if not header or not header.startswith("bytes=") or "," in header:
        return None
    first, dash, last = header[6:].strip().partition("-")
    numbers = first + last
    if not dash or not numbers or not numbers.isascii() or not numbers.isdigit():
        return None
    if not first:
        if _number(last) == 0 or size == 0:
            raise ValueError("the range is empty")
        return max(0, size - _number(last)), size - 1
    begin, end = _number(first), min(_number(last), size - 1) if last else size - 1
    if begin >= size or end < begin:
        raise ValueError("the range is outside the file")
    return begin, end


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= DIGITS_MAX else 10**DIGITS_MAX


def names(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this file: one of several tags, a weak one, or any (`*`)."""
    tags = [each.strip() for each in (header or "").split(",")]
    return "*" in tags or etag in [each.removeprefix("W/") for each in tags]


def cache_control(lasts_seconds: int, query: str) -> str:
    """How long a browser may keep a file, and a CDN: not past its end, nor past that of one that is kept no longer. A CDN keeps
    it under the addresses that we give alone: it is told to forget no other.
    """
    config = settings()
    own = max(0, min(BROWSER_SECONDS, lasts_seconds))
    if config.cdn_url is None or query not in ("", SMALL):
        return f"private, max-age={own}"
    longest = min(config.cdn_cache_seconds, config.unkept_hours * 3600, lasts_seconds)
    return f"public, max-age={own}, s-maxage={max(0, longest)}"


class Opened(NamedTuple):
    """A file, found and begun. `part` is the range that was asked for, None: the whole."""

    size: int
    part: tuple[int, int] | None
    media_type: str | None
    first: bytes
    chunks: Chunks


class Lost(Exception):
    """What should be stored is not there, or is something else."""


class Impossible(Exception):
    """A range that this file, of `size` bytes, does not have."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def look_at(key: str, size: int | None) -> Head:
    """What is known of an object. `size` is what it should have, if that is known. Raises Lost, StorageError (away)."""
    with _there():
        found = _impatient().head(key)
        return found._replace(size=_compared(found.size, size))


def open_file(key: str, size: int | None, wanted: str | None) -> Opened:
    """Find an object and read its first bytes; `wanted` is a Range header. Raises Impossible, and what `look_at` does."""
    if size is None and wanted:
        size = look_at(key, None).size
    part = None if size is None else _part(wanted, size)
    with _there():
        found = _impatient().get_range(key, *(part or ()))
        try:
            first = next(found.chunks, b"")
            found.chunks.wait_for(settings().s3_seconds)
            return Opened(_compared(found.size, size), part, found.media_type, first, found.chunks)
        except BaseException:
            found.chunks.close()
            raise


_made: tuple[Settings, Storage] | None = None


def _impatient() -> Storage:
    """Storage for those who wait for a file to begin: a silent S3 is not waited for as long as by a worker."""
    global _made  # noqa: PLW0603 - one per process, or per settings in tests
    config, made = settings(), _made
    if made is None or made[0] is not config:
        seconds = min(config.first_byte_seconds, config.s3_seconds)
        made = _made = (config, Storage(config.model_copy(update={"s3_seconds": seconds})))
    return made[1]


def prepare() -> None:
    """Make the clients of S3 before anybody is served: boto3 takes half a second for it, in which nobody else would be."""
    try:
        _impatient()
        storage()
    except StorageError as error:
        log.error("files cannot be served: %s", error)  # noqa: TRY400 - expected, and it says why


@contextmanager
def _there() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if error.missing or error.code == "InvalidRange":  # it is too short for a part that it should have
            raise Lost(str(error)) from None
        raise


def _part(wanted: str | None, size: int) -> tuple[int, int] | None:
    try:
        return byte_range(wanted, size)
    except ValueError:
        raise Impossible(size) from None


def _compared(found: int, wanted: int | None) -> int:
    if wanted is not None and found != wanted:
        raise Lost(f"{found} bytes are there, not {wanted}")
    return found


class Stream(StreamingResponse):
    """An opened file's bytes. Where S3 breaks off, or the client takes nothing, it does not end: the server closes."""

    def __init__(self, opened: Opened, what: str, place: Place, headers: dict[str, str]) -> None:
        super().__init__(self._bytes(opened.first), 206 if opened.part else 200, headers)
        self._chunks = opened.chunks
        self._what = what
        self._place = place

    async def _bytes(self, first: bytes) -> AsyncIterator[bytes]:
        chunk = first
        while chunk:
            yield chunk
            chunk = await self._place.run(self._next)

    def _next(self) -> bytes:
        return next(self._chunks, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        slow = settings().slow_reader_seconds

        async def patiently(message: Message) -> None:
            async with asyncio.timeout(slow):
                await send(message)

        try:
            await super().__call__(scope, receive, patiently)
        except (StorageError, TimeoutError, Overloaded) as error:
            log.warning("%s is cut off: %s", self._what, error if str(error) else "nobody reads it")
        finally:
            self._chunks.close()


@router.get(
    "/files/{token}",
    summary="Download a result",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The bytes."},
        206: {"content": {"application/octet-stream": {}}, "description": "The range of bytes asked for."},
        404: {"description": "There is no such file."},
        410: {"description": "The result has expired, was deleted or is lost; the body says which."},
        412: {"description": "The file is not the one that `If-Match` names."},
        416: {"description": "The range is outside the file."},
        503: {"description": "The storage of files is away: `Retry-After` says when to ask again."},
    },
)
async def download_file(
    token: str,
    request: Request,
    thumbnail: Annotated[bool, Query(description="The small picture instead.")] = False,
    range_header: Annotated[str | None, Header(alias="Range")] = None,
) -> Response:
    """Needs no key: the address itself is the secret. Streams from storage, whole or by range."""
    return await _serve(token, request, thumbnail=thumbnail, wanted=range_header)


@router.head("/files/{token}", include_in_schema=False)
async def look(token: str, request: Request, thumbnail: bool = False) -> Response:
    """What a download would say, without the bytes."""
    return await _serve(token, request, thumbnail=thumbnail, wanted=None)


async def _serve(token: str, request: Request, *, thumbnail: bool, wanted: str | None) -> Response:
    asset_id = asset_of(token)
    found = await services(request.app).places.open.run(partial(_find, asset_id))
    key = found.thumbnail_key if thumbnail else found.key
    if key is None:
        raise NotFound("this result has no thumbnail")
    etag = f'"{found.sha256.hex()}{"-t" if thumbnail else ""}"'
    headers = {
        "accept-ranges": "bytes",
        "etag": etag,
        "cache-control": cache_control(found.lasts_seconds, request.url.query),
        "content-disposition": f"inline; filename*=UTF-8''{quote(key.rsplit('/', 1)[-1])}",
    }
    if "if-match" in request.headers and not names(request.headers["if-match"], etag):
        raise HTTPException(412, "the file is not the one that If-Match names")
    if names(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if request.headers.get("if-range", etag) != etag:
        wanted = None  # a part of another file would not fit what the client has
    size = None if thumbnail else found.size_bytes
    if request.method == "HEAD":
        seen = await _waited(request, found, partial(look_at, key, size))
        headers |= _kind(found, seen.media_type, thumbnail=thumbnail) | {"content-length": str(seen.size)}
        return Response(headers=headers)
    try:
        opened = await _waited(request, found, partial(open_file, key, size, wanted))
    except Impossible as error:
        return Response(status_code=416, headers={"content-range": f"bytes */{error.size}"})
    headers |= _kind(found, opened.media_type, thumbnail=thumbnail)
    begin, end = opened.part or (0, opened.size - 1)
    headers["content-length"] = str(end - begin + 1)
    if opened.part:
        headers["content-range"] = f"bytes {begin}-{end}/{opened.size}"
    return Stream(opened, f"file {found.id}", services(request.app).places.files, headers)


def _kind(found: Result, stored: str | None, *, thumbnail: bool) -> dict[str, str]:
    return {"content-type": (stored or "image/webp") if thumbnail else found.media_type}


def _find(asset_id: UUID) -> Result:
    with transaction() as conn:
        return results.find_result(conn, asset_id)


async def _waited(request: Request, found: Result, ask: Callable[[], T]) -> T:
    """Ask S3 in one of the threads that wait for it. Raises Unavailable, ResultGone, Impossible."""
    places = services(request.app).places
    try:
        return await places.files.run(ask)
    except Lost as error:
        await places.open.run(partial(_find, found.id))  # it may have been deleted since
        lost = "file %s is lost, though its row says that it is stored: %s"
        log.error(lost, found.id, error)  # noqa: TRY400 - it is storage that lost it, not a line of ours
        raise ResultGone("this file is lost: it should still be kept, and is not in storage", reason="lost") from None
    except StorageError as error:
        log.warning("file %s cannot be served: %s", found.id, error)
        raise Unavailable("the storage of files is away; try again soon", retry_after=AWAY_SECONDS) from None
