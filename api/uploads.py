"""/v1/files: files of clients, as inputs of jobs. Sent as a form, streamed to disk; or small ones as a `data:` URI."""

import base64
import binascii
from collections.abc import Iterator
from typing import IO, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.auth import needs, permitted
from api.lean import LeanRoute, answer, handled_by, read_body
from api.receiving import in_thread, room_on_disk
from api.views import upload_view
from models import uploads
from models.access import Caller
from models.db import transaction
from models.errors import InvalidRequest, NotFound
from storage import incoming

lean_router = APIRouter(prefix="/v1/files", tags=["files"], route_class=LeanRoute)
router = APIRouter(prefix="/v1/files", tags=["files"])

FIELD_BYTES = 4096  # of a form's other fields, which are let through and not looked at
READ_BYTES = 256 * 1024
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {"schema": schemas.FileData.model_json_schema()},
        },
    }
}


async def _create(request: Request) -> Response:
    who = await permitted(request, "generate")
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        with room_on_disk():  # more than a mebibyte of a form goes to disk as well, in files without a name
            async with request.form(max_files=1, max_fields=8, max_part_size=FIELD_BYTES) as form:
                part = form.get("file")
                if not isinstance(part, UploadFile):
                    raise InvalidRequest("the form has no file in its field `file`", param="file")
                found = await in_thread(request, who.account_id, _parts(part.file), param="file")
    else:
        body, _ = await read_body(request, schemas.FileData)
        found = await in_thread(request, who.account_id, incoming.data_uri_bytes(body.data), param="data")
    return answer(upload_view(found), 201, {"location": f"/v1/files/{uploads.id_text(found.id)}"})


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    while part := file.read(READ_BYTES):
        yield part


@lean_router.post(
    "", status_code=201, response_model=schemas.File, summary="Upload a file", openapi_extra=BODY
)  # fmt: skip
@handled_by(_create, need="generate")
def create_file() -> None:
    """A picture, sound or film for the input of a job, as a form with the field `file`, or small ones as JSON with a
    `data:` URI. What it is, its bytes say. It counts as storage, and is kept for 24 hours after its last use.
    """


@router.get("", response_model=schemas.FilePage, summary="List uploaded files")
def list_files(
    who: Annotated[Caller, Depends(needs("read"))],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Your own files that are still there, newest first."""
    before = _read_cursor(cursor) if cursor is not None else None
    with transaction() as conn:
        rows = uploads.page(conn, who.account_id, before=before, limit=limit + 1)
    following = base64.urlsafe_b64encode(rows[limit - 1].id.bytes).rstrip(b"=").decode() if len(rows) > limit else None
    return answer({"data": [upload_view(row) for row in rows[:limit]], "next_cursor": following})


def _read_cursor(text: str) -> UUID:
    try:
        return UUID(bytes=base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidRequest("cursor is not one that this API gave out", param="cursor") from None


@router.get("/{file_id}", response_model=schemas.File, summary="Look at an uploaded file")
def get_file(file_id: str, who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """What it is, where it can be fetched, and until when it is kept."""
    with transaction() as conn:
        found = uploads.find(conn, who.account_id, _file_id(file_id))
    return answer(upload_view(found))


@router.delete("/{file_id}", status_code=204, summary="Delete an uploaded file")
def delete_file(file_id: str, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """Gone at once for everybody; jobs that wait with it as their input will fail, and be refunded."""
    with transaction() as conn:
        uploads.delete(conn, who.account_id, _file_id(file_id))
    return Response(status_code=204)


def _file_id(text: str) -> UUID:
    found = uploads.id_of(text)
    if found is None:
        raise NotFound(f"no file {text[:40]!r}", param="id")
    return found
