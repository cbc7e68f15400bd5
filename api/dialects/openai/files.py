"""Files, as OpenAI has them: pictures, sounds and films for inputs, JSON Lines for batches, and what batches have brought."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from uuid_utils.compat import uuid7

from api.dialects.openai.batch_results import LINES_TYPE, output_named, output_shape, stream_output
from api.dialects.openai.forms import fields_of, form_of, is_form, refuse_files
from api.dialects.openai.pages import MOST, after_id_of, page_of, wanted_page
from api.dialects.routes import DialectRoute
from api.intake.receiving import room_on_disk, without_stray
from api.orders.uploading import parts_of, receive_upload
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.once import asked, key_of, once
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.openai import BASE, seconds_of
from common.errors import InvalidInput, InvalidParameter, InvalidRequest, NotFound, Unavailable, UnusableFile
from common.links import url_of
from common.scratch import scratch_file
from common.settings import settings
from models.access.scopes import Caller, Scope
from models.db import certain, transaction
from models.files import room, uploads
from models.files.uploads import NewUpload, UploadRow, id_text
from storage import incoming, keys
from storage.s3 import StorageError, storage

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

PURPOSES = {"batch": LINES_TYPE, "vision": "image/%", "user_data": "%", "assistants": "%"}
MAX_LISTED, MAX_NAME_CHARACTERS = 10_000, 255  # the first is what its library asks for; a page has at most a hundred
Looked = TypeVar("Looked")


def openai_file(row: UploadRow) -> dict[str, Any]:
    """An upload as this dialect shows it."""
    said = row.said or {}
    usual = (
        "batch" if row.media_type == LINES_TYPE else "vision" if row.media_type.startswith("image/") else "user_data"
    )
    return {
        "id": id_text(row.id),
        "object": "file",
        "bytes": row.size_bytes,
        "created_at": seconds_of(row.created_at),
        "expires_at": seconds_of(row.expires_at),
        "filename": said.get("name") or f"{id_text(row.id)}.{row.key.rpartition('.')[2]}",
        "purpose": said.get("purpose") or usual,
        "status": "processed",
    }


@router.post("/files")
@fast(need="generate")
async def upload_openai_file(request: Request) -> Response:
    """A file, as a form: `file` and `purpose`. For a batch its lines are looked at when the batch is ordered."""
    who = await permitted(request, "generate")
    if not is_form(request):
        raise InvalidRequest("a file is sent as a form (multipart/form-data) with the field `file`", param="file")
    async with form_of(request, who) as form:
        refuse_files(form, "file")
        file, said = _said(form)
        if said["purpose"] == "batch":
            return await _lines_received(request, who, file, said)
        made = await receive_upload(
            request,
            who,
            parts_of(file.file),
            param="file",
            view=openai_file,
            location=f"{BASE}/files/{{id}}",
            said=said,
        )
        made.status_code = 200
        return made


def _said(form: FormData) -> tuple[UploadFile, dict[str, Any]]:
    file, purpose = form.get("file"), fields_of(form).get("purpose")
    if not isinstance(file, UploadFile):
        raise InvalidRequest("the form has no file in its field `file`", param="file")
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        raise InvalidInput(f"purpose must be one of {', '.join(PURPOSES)}", param="purpose")
    if "expires_after" in fields_of(form):
        raise InvalidInput(
            "expires_after: how long a file is kept is not chosen here; it lives on with its use", param="expires_after"
        )
    name = file.filename or ""
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidInput(f"the file's name has more than {MAX_NAME_CHARACTERS} characters", param="file")
    return file, {"purpose": purpose, **({"name": name} if name else {})}


async def _lines_received(request: Request, who: Caller, file: UploadFile, said: dict[str, Any]) -> Response:
    here, key = services(request.app), key_of(request)
    new = await here.places.uploads.run(partial(_store_lines, who.account_id, parts_of(file.file)))
    asked_for = asked(request, {"sha256": new.sha256.hex(), "said": said})

    def make() -> Response:
        with without_stray(new):
            return once(who, key, asked_for, lambda conn: openai_file(uploads.create(conn, new._replace(said=said))))

    return await here.wall.run(who.account_id, partial(here.places.ordinary.run, make))


def _store_lines(account_id: UUID, chunks: Iterable[bytes]) -> NewUpload:
    """JSON Lines on their way to storage. They are no picture, sound or film, so no input can name them."""
    try:
        with room_on_disk(), scratch_file() as file:
            digest, size_bytes = incoming.spool(chunks, file, settings().max_batch_bytes)
            with transaction() as conn:
                room.check_room(conn, account_id, size_bytes)
            upload_id = uuid7()
            key = keys.upload_key(account_id, upload_id, "jsonl")
            storage().put_file(key, Path(file.name), LINES_TYPE)
    except incoming.RefusedFile as error:
        raise UnusableFile(error.message, param="file", reason=error.code) from error
    except StorageError as error:
        raise Unavailable("the file could not be stored; try again soon") from error
    return NewUpload(upload_id, account_id, key, LINES_TYPE, size_bytes, digest, None, None, None)


@router.get("/files")
@fast(need="read")
async def list_openai_files(request: Request) -> Response:
    """An account's files that are still there."""
    who = await permitted(request, "read")
    wanted = wanted_page(request, most=MAX_LISTED, usual=MOST)
    purpose = request.query_params.get("purpose")
    if purpose is not None and purpose not in (*PURPOSES, "batch_output"):
        raise InvalidParameter(f"purpose can be one of {', '.join(PURPOSES)}", param="purpose")
    limit, after = min(MOST, wanted.limit), after_id_of(wanted, _file_id)
    kinds = "%" if purpose is None else PURPOSES.get(purpose, "none")

    def read() -> list[UploadRow]:
        with transaction() as conn:
            return uploads.page(
                conn, who.account_id, before=after, limit=limit + 1, media_types=kinds, oldest_first=wanted.oldest_first
            )

    return answer(page_of(await _asked(request, who, read), limit, openai_file))


def _file_id(given: str) -> UUID:
    found = uploads.id_of(given.replace("file-", "file_", 1))
    if found is None:
        raise NotFound(f"no file {given[:60]!r}", param="id")
    return found


async def _own(request: Request, need: Scope) -> tuple[Caller, UploadRow]:
    who = await permitted(request, need)
    file_id = _file_id(request.path_params["name"])

    def find() -> UploadRow:
        with transaction() as conn:
            return uploads.find(conn, who.account_id, file_id)

    return who, await _asked(request, who, find)


async def _asked(request: Request, who: Caller, ask: Callable[[], Looked]) -> Looked:
    here = services(request.app)
    return await here.wall.run(who.account_id, partial(here.places.ordinary.run, ask), locks=False)


@router.get("/files/{name}")
@fast(need="read")
async def get_openai_file(request: Request) -> Response:
    """What a file is."""
    if (output := output_named(request.path_params["name"])) is not None:
        return answer(await output_shape(request, await permitted(request, "read"), output))
    return answer(openai_file((await _own(request, "read"))[1]))


@router.get("/files/{name}/content")
@fast(need="read")
async def get_openai_file_content(request: Request) -> Response:
    """A file's bytes: at the address that needs no key; or what a batch has brought, written as it is read."""
    if (output := output_named(request.path_params["name"])) is not None:
        return await stream_output(request, await permitted(request, "read"), output)
    return RedirectResponse(url_of((await _own(request, "read"))[1].id), 302)


@router.delete("/files/{name}")
@fast(need="delete")
async def delete_openai_file(request: Request) -> Response:
    """Gone at once."""
    who, row = await _own(request, "delete")
    here = services(request.app)

    def delete() -> None:
        with certain() as conn:
            uploads.delete(conn, who.account_id, row.id)

    await here.wall.run(who.account_id, partial(here.places.ordinary.run, delete))
    return answer({"id": id_text(row.id), "object": "file", "deleted": True})
