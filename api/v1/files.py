"""/v1/files: files of clients, as inputs of jobs. Sent as a form, streamed to disk; or small ones as a `data:` URI."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from api.orders.uploading import opened_form, parts_of, receive_upload
from api.routes.callers import needs, permitted
from api.routes.cursors import Listing, ListPage, WantedPage
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.once import RepeatKey, key_of
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from api.services import services
from common.errors import InvalidInput, InvalidRequest, NotFound
from common.links import url_of
from common.settings import settings
from models.access.scopes import Caller
from models.db import certain, transaction
from models.files import uploads
from models.files.uploads import UploadRow, id_text
from storage import incoming

fast_router = PrefixRouter(prefix="/v1/files", tags=["files"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/files", tags=["files"], route_class=WalledRoute)


class FileData(RequestBody):
    """A small file in a JSON body; larger ones are sent as a form."""

    model_config = ConfigDict(strict=True)

    data: Annotated[str, Field(min_length=1, description="data:image/png;base64,…")]


class FileView(BaseModel):
    """An uploaded file."""

    id: Annotated[str, Field(examples=["file_01a1fd04f4e473658f9d4827335166ca"])]
    object: Literal["file"]
    media_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    url: str
    created_at: datetime
    expires_at: datetime


class FilePage(ListPage[FileView]):
    """Uploaded files, newest first."""


FILES = Listing("files", UUID)


def upload_view(row: UploadRow) -> dict[str, Any]:
    """An uploaded file, as GET /v1/files/{id} answers."""
    return {
        "id": id_text(row.id),
        "object": "file",
        "media_type": row.media_type,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256.hex(),
        "width": row.width,
        "height": row.height,
        "duration_seconds": row.duration_ms / 1000 if row.duration_ms is not None else None,
        "url": url_of(row.id),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


LOCATION = "/v1/files/{id}"
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {"schema": FileData.model_json_schema()},
        },
    }
}


@fast_router.post("", status_code=201, response_model=FileView, summary="Upload a file", openapi_extra=BODY)
@fast(need="generate", idempotency_key=(RepeatKey, None))
async def create_file(request: Request) -> Response:
    """A picture, sound or film for the input of a job, as a form with the field `file`, or small ones as JSON with a
    `data:` URI. What it is, its bytes say. It counts as storage, and is kept for 24 hours after its last use.
    """
    who = await permitted(request, "generate")
    key_of(request)  # one that is too long is refused before anything is read
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        async with opened_form(request, who) as form:
            unknown = next((name for name in form if name != "file"), None)
            if unknown is not None:
                raise InvalidInput(f"{unknown[:100]}: a form has no other field than `file`", param=unknown[:100])
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise InvalidRequest("the form has no file in its field `file`", param="file")
            return await receive_upload(
                request, who, parts_of(part.file), param="file", view=upload_view, location=LOCATION
            )
    body, _ = await read_body(request, FileData)
    async with services(request.app).rooms.of_data(who.account_id, len(body.data), settings().decode_wait_seconds):
        return await receive_upload(
            request, who, incoming.data_uri_bytes(body.data), param="data", view=upload_view, location=LOCATION
        )


@router.get("", response_model=FilePage, summary="List uploaded files")
def list_files(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[UUID], Depends(FILES.wanted)],
) -> Response:
    """Your own files that are still there, newest first."""
    with transaction() as conn:
        rows = uploads.page(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(FILES.page(rows, wanted, lambda row: row.id, upload_view))


@router.get("/{file_id}", response_model=FileView, summary="Look at an uploaded file")
def get_file(file_id: str, who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """What it is, where it can be fetched, and until when it is kept."""
    with transaction() as conn:
        found = uploads.find(conn, who.account_id, _file_id(file_id))
    return answer(upload_view(found))


@router.delete("/{file_id}", status_code=204, summary="Delete an uploaded file")
def delete_file(file_id: str, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """Gone at once for everybody; jobs that wait with it as their input will fail, and be refunded."""
    with certain() as conn:
        uploads.delete(conn, who.account_id, _file_id(file_id))
    return Response(status_code=204)


def _file_id(text: str) -> UUID:
    found = uploads.id_of(text)
    if found is None:
        raise NotFound(f"no file {text[:40]!r}", param="id")
    return found
