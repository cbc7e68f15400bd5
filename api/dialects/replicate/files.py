"""Files for inputs, as Replicate has them: uploads of ours, with the name and the words that their sender gave them."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import orjson
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.dialects.replicate.models import paged
from api.dialects.routes import DialectRoute
from api.orders.uploading import opened_form, parts_of, receive_upload
from api.routes.callers import permitted
from api.routes.cursors import Listing
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.replicate import BASE, address
from common.errors import InvalidInput, InvalidRequest, NotFound
from common.links import url_of
from models.access.scopes import Caller, Scope
from models.db import certain, transaction
from models.files import uploads
from models.files.uploads import UploadRow, id_text

router = PrefixRouter(prefix=f"{BASE}/files", route_class=DialectRoute)

FILES = Listing("replicate-files", UUID, usual=100)
FIELDS = frozenset({"content", "metadata", "filename", "type"})
MAX_NAME_CHARACTERS = 255
MAX_METADATA_BYTES = 16_384

_Answer = TypeVar("_Answer")


def file_shape(row: UploadRow) -> dict[str, Any]:
    """An upload as this dialect shows it."""
    said = row.said or {}
    name = id_text(row.id)
    return {
        "id": name,
        "name": said.get("name") or f"{name}.{row.media_type.rpartition('/')[2].partition('+')[0]}",
        "content_type": row.media_type,
        "size": row.size_bytes,
        "etag": row.sha256.hex(),
        "checksums": {"sha256": row.sha256.hex()},
        "metadata": said.get("metadata") or {},
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "urls": {"get": address(f"/files/{name}")},
    }


@router.post("", status_code=201)
@fast(need="generate")
async def upload_replicate_file(request: Request) -> Response:
    """A file for the input of predictions, as a form: `content`, and what its sender says of it."""
    who = await permitted(request, "generate")
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidRequest("a file is sent as a form (multipart/form-data) with the field `content`", param="content")
    async with opened_form(request, who, files=2, field_bytes=MAX_METADATA_BYTES) as form:
        unknown = next((name for name in form if name not in FIELDS), None)
        if unknown is not None:
            raise InvalidInput(
                f"{unknown[:100]}: a form has no other fields than {', '.join(sorted(FIELDS))}", param=unknown[:100]
            )
        content = form.get("content")
        if not isinstance(content, UploadFile):
            raise InvalidRequest("the form has no file in its field `content`", param="content")
        said = {"name": _name(form, content), "metadata": await _metadata(form)}
        return await receive_upload(
            request, who, parts_of(content.file), param="content", view=file_shape, location=f"{BASE}/files/{{id}}",
            said={name: value for name, value in said.items() if value},
        )  # fmt: skip


def _name(form: FormData, content: UploadFile) -> str:
    given = form.get("filename")
    name = given if isinstance(given, str) and given else content.filename or ""
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidInput(f"filename has {len(name)} characters; the limit is {MAX_NAME_CHARACTERS}", param="filename")
    return name


async def _metadata(form: FormData) -> dict[str, Any]:
    """As a field, or as a part that says it is a file: one library sends the one, the other the other."""
    part = form.get("metadata", "{}")
    raw = part.encode() if isinstance(part, str) else await part.read(MAX_METADATA_BYTES + 1)
    if len(raw) > MAX_METADATA_BYTES:
        raise InvalidInput(f"metadata has more than {MAX_METADATA_BYTES} bytes", param="metadata")
    try:
        found = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        raise InvalidInput("metadata must be a JSON object", param="metadata") from None
    if not isinstance(found, dict):
        raise InvalidInput("metadata must be a JSON object", param="metadata")
    if b"\0" in raw or b"\\u0000" in raw:
        raise InvalidInput("metadata has a NUL character, which cannot be stored", param="metadata")
    return found


@router.get("")
@fast(need="read")
async def list_replicate_files(request: Request) -> Response:
    """An account's files, newest first."""
    who = await permitted(request, "read")
    wanted = FILES.wanted_by(request)
    rows = await _asked(request, who, partial(_page, who.account_id, wanted.after, wanted.reads))
    page = FILES.page(rows, wanted, lambda row: row.id, file_shape)
    return answer(paged(request, page["data"], page["next"]))


@router.get("/{file_id}")
@fast(need="read")
async def get_replicate_file(request: Request) -> Response:
    """What a file is. Its address is what an input names."""
    _, row = await _own(request, "read")
    return answer(file_shape(row))


@router.get("/{file_id}/download")
@fast(need="read")
async def download_replicate_file(request: Request) -> Response:
    """A file's bytes, at the address that needs no key."""
    _, row = await _own(request, "read")
    return RedirectResponse(url_of(row.id), 302)


@router.delete("/{file_id}", status_code=204)
@fast(need="delete")
async def delete_replicate_file(request: Request) -> Response:
    """Gone at once; predictions that wait with it as their input will fail."""
    who, row = await _own(request, "delete")
    here = services(request.app)
    await here.wall.run(who.account_id, partial(here.places.ordinary.run, partial(_delete, who.account_id, row.id)))
    return Response(status_code=204)


async def _own(request: Request, need: Scope) -> tuple[Caller, UploadRow]:
    who = await permitted(request, need)
    given = request.path_params["file_id"]
    file_id = uploads.id_of(given)
    if file_id is None:
        raise NotFound(f"no file {given[:40]!r}", param="id")
    return who, await _asked(request, who, partial(_find, who.account_id, file_id))


async def _asked(request: Request, who: Caller, ask: Callable[[], _Answer]) -> _Answer:
    here = services(request.app)
    return await here.wall.run(who.account_id, partial(here.places.ordinary.run, ask), locks=False)


def _page(account_id: UUID, before: UUID | None, limit: int) -> list[UploadRow]:
    with transaction() as conn:
        return uploads.page(conn, account_id, before=before, limit=limit)


def _find(account_id: UUID, file_id: UUID) -> UploadRow:
    with transaction() as conn:
        return uploads.find(conn, account_id, file_id)


def _delete(account_id: UUID, file_id: UUID) -> None:
    with certain() as conn:
        uploads.delete(conn, account_id, file_id)
