"""Files of fal's libraries on their way in: they become uploads, and their addresses may stand in an input. A library sends one
either at once, with a token that it has asked for; or it asks for an address, and puts the file there without a key.
"""

import time
from datetime import UTC, datetime
from functools import partial
from typing import IO, Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.auth.keyring import secret_of, visitor_of
from api.dialects.fal.answers import FalRoute
from api.dialects.fal.asking import refuse_lifecycles
from api.edge.pace import know
from api.intake.receiving import in_thread, room_on_disk, same_as, without_stray
from api.orders.uploading import parts_of
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast, read_body
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.fal import CDN, FAL
from common.dialects.fal_signing import webhook_keys
from common.errors import BodyTooLarge, LinkGone, NotAuthenticated, NotFound
from common.links import url_of
from common.scratch import scratch_file
from common.settings import settings
from common.tokens import FAL_FILE, FAL_STORAGE, body_of, make_token
from models.access.scopes import ROLES
from models.db import certain, transaction
from models.files import uploads
from models.files.uploads import NewUpload, UploadRow
from models.identity.people import Visitor

router = PrefixRouter(prefix=FAL, route_class=FalRoute)

TOKEN_SECONDS = 600  # for which a token, or an address for one file, is good: until the file begins to come
PIECE_BYTES = 1024 * 1024
NO_KEY = UUID(int=0)
NEITHER = "this address for a file is not one that this API gave out"


class FileNotice(BaseModel):
    """A file that is to come. What it is, its bytes will say."""

    model_config = ConfigDict(extra="ignore")

    file_name: Annotated[str | None, Field(max_length=1024)] = None
    content_type: Annotated[str | None, Field(max_length=255)] = None


@router.post("/rest/storage/auth/token")
@fast(need="generate")
async def create_storage_token(request: Request) -> Response:
    """A token with which files are sent for ten minutes, and nothing else is done."""
    who = visitor_of(await permitted(request, "generate"))
    until = int(time.time()) + TOKEN_SECONDS
    body = (
        who.account_id.bytes + (who.key_id or NO_KEY).bytes + bytes([ROLES.index(who.role)]) + until.to_bytes(8, "big")
    )
    return answer(
        {
            "token": make_token(FAL_STORAGE, body), "token_type": "Bearer", "base_url": f"{settings().public_url}{CDN}",
            "expires_at": datetime.fromtimestamp(until, UTC).isoformat(),
        }
    )  # fmt: skip


async def _sender(request: Request) -> UUID:
    """The account that sends a file: by such a token, or by a key. Raises NotAuthenticated, and as `permitted`."""
    body = body_of(FAL_STORAGE, secret_of(request.headers.get("authorization", ""))[:200])
    if body is None:
        return (await permitted(request, "generate")).account_id
    if int.from_bytes(body[33:], "big") <= time.time():
        raise NotAuthenticated("this token for files has expired; ask for a new one")
    know(request.scope)
    key_id = UUID(bytes=body[16:32])
    who = Visitor(UUID(bytes=body[:16]), None if key_id == NO_KEY else key_id, ROLES[body[32]])
    await services(request.app).live.let_in(who)
    return who.account_id


@router.post("/cdn/files/upload")
@fast(need="generate")
async def create_fal_file(request: Request) -> Response:
    """A file as the body."""
    account_id = await _sender(request)
    refuse_lifecycles(request)
    found = await _received(request, account_id)
    return answer({"access_url": url_of(found.id)})


@router.post("/rest/storage/upload/initiate")
@fast(need="generate")
async def create_file_address(request: Request) -> Response:
    """An address to put one file to, and the address that it will have."""
    who = await permitted(request, "generate")
    refuse_lifecycles(request)
    await read_body(request, FileNotice)
    file_id, until = uuid7(), int(time.time()) + TOKEN_SECONDS
    token = make_token(FAL_FILE, who.account_id.bytes + file_id.bytes + until.to_bytes(8, "big"))
    return answer({"upload_url": f"{settings().public_url}{CDN}/uploads/{token}", "file_url": url_of(file_id)})


@router.put("/cdn/uploads/{token}")
async def put_fal_file(request: Request) -> Response:
    """The file itself. Needs no key: the address is the secret. Put again, it stays what it was."""
    body = body_of(FAL_FILE, request.path_params["token"])
    if body is None:
        raise NotFound(NEITHER)
    know(request.scope)
    if int.from_bytes(body[32:], "big") <= time.time():
        raise LinkGone("this address for a file has expired; ask for a new one")
    found = await _received(request, UUID(bytes=body[:16]), UUID(bytes=body[16:32]))
    return answer({}, headers={"etag": f'"{found.sha256.hex()}"'})


@router.post("/rest/storage/upload/initiate-multipart")
@router.post("/cdn/files/upload/multipart")
@fast(need="generate")
async def refuse_parts(request: Request) -> Response:
    """A file in parts, which only larger ones than are taken need. A library that can sends it whole then."""
    await _sender(request)
    limit = settings().max_upload_bytes
    raise BodyTooLarge(
        f"files are taken whole, and not in parts; one may have {limit} bytes", param="file", limit=limit
    )


@router.get("/rest/.well-known/jwks.json")
async def get_fal_keys(_request: Request) -> Response:
    """The key with which webhooks of this dialect are signed."""
    return answer(webhook_keys(), headers={"cache-control": "public, max-age=3600"})


async def _received(request: Request, account_id: UUID, file_id: UUID | None = None) -> UploadRow:
    """The upload that a body has become. `file_id`: that it must be. Raises the DomainError that refuses it."""
    here = services(request.app)
    known = partial(same_as, account_id, "file", "file") if file_id is None else partial(_there, account_id, file_id)
    async with here.rooms.of_form(request, account_id):
        with room_on_disk(), scratch_file() as file:
            await _spool(request, file)
            found = await in_thread(here.places.uploads, parts_of(file), account_id, param="file", known=known)
        if isinstance(found, NewUpload):
            new = found if file_id is None else found._replace(id=file_id)
            found = await here.wall.run(account_id, partial(here.places.ordinary.run, partial(_create, new)))
    return found


async def _spool(request: Request, file: IO[bytes]) -> None:
    """Write a body to disk as it comes. Raises BodyTooLarge, OSError."""
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= PIECE_BYTES:
            await run_in_threadpool(file.write, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(file.write, bytes(waiting))
    file.seek(0)


def _there(account_id: UUID, file_id: UUID, _digest: bytes) -> UploadRow | None:
    with transaction() as conn:
        return uploads.find_made(conn, account_id, file_id)


def _create(new: NewUpload) -> UploadRow:
    with without_stray(new), certain() as conn:
        return uploads.create_once(conn, new)
