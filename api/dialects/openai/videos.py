"""Videos: ordered without waiting, looked at, fetched, listed, deleted."""

from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.dialects.openai.fields import Translated, translated
from api.dialects.openai.forms import fields_of, files_of, form_of, is_form, keep_upload, refuse_files
from api.dialects.openai.ordering import job_of_name, offer_of, order_translated, own_job_of_kind, read_json
from api.dialects.openai.pages import after_id_of, page_of, wanted_page
from api.dialects.openai.pictures import picture_fields, picture_named
from api.dialects.routes import DialectRoute
from api.orders.placing import cancel_own, delete_own_outputs
from api.orders.repeatable import answer_placed
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.openai import BASE, name_of_job, video
from common.errors import InvalidParameter, InvalidRequest, NotCancelable, NotFound, ResultGone
from models.access.scopes import Caller, Scope
from models.db import transaction
from models.files.states import AssetStatus
from models.jobs import reads
from models.jobs.outward import told_job
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

UNSAID_MODEL = "sora-2"
FIRST_PICTURE = "input_reference"
POLL_HEADER = "openai-poll-after-ms"
SOONEST, LATEST = 500, 5000  # milliseconds between two looks
ROUNDS = 20  # of reading, where a page is full of what was deleted


class VideoNotReady(InvalidRequest):
    """The video is not there yet."""

    code = "video_not_ready"


@router.post("/videos")
@fast(need="generate")
async def create_video(request: Request) -> Response:
    """Order a video, as a form or in JSON, with a picture to begin with."""
    who = await permitted(request, "generate")
    if not is_form(request):
        body = await read_json(request)
        return await _ordered(request, who, body, body.pop(FIRST_PICTURE, None), {**body})
    async with form_of(request, who) as form:
        refuse_files(form, FIRST_PICTURE)
        body = fields_of(form)
        said: dict[str, Any] = {"fields": dict(body)}
        offer_of(request, body, "video", UNSAID_MODEL)  # before anything is stored
        first: Any = body.pop(FIRST_PICTURE, None)
        for each in files_of(form, FIRST_PICTURE)[:1]:
            upload = await keep_upload(request, who, each, FIRST_PICTURE)
            first, said["file"] = upload.id, upload.sha256.hex()
    return await _ordered(request, who, body, first, said)


async def _ordered(request: Request, who: Caller, body: dict[str, Any], first: Any, said: dict[str, Any]) -> Response:
    offer = offer_of(request, body, "video", UNSAID_MODEL)
    made = translated(offer.entry, {name: value for name, value in body.items() if name not in ("model", "user")})
    if first is not None:
        picture = first if isinstance(first, UUID) else picture_named(first, FIRST_PICTURE)
        picture_fields(offer, made, "image", [picture])
        made = _said_as_reference(made)
    said = said if isinstance(first, UUID) or first is None else {**said, FIRST_PICTURE: first}
    placed = await order_translated(request, who, offer, made, said=said)
    return await answer_placed(request, placed, 0, _shown)


def _said_as_reference(made: Translated) -> Translated:
    said = {field: FIRST_PICTURE if name == "image" else name for field, name in made.said.items()}
    return Translated(made.values, said)


async def _shown(row: JobRow) -> Response:
    """A video, and when it is worth while to look again."""
    typical = 1000 * row.typical_seconds // 8
    return answer(video(told_job(row)), headers={POLL_HEADER: str(max(SOONEST, min(LATEST, typical)))})


async def _own(request: Request, need: Scope = "read") -> JobRow:
    """The caller's video. Raises NotFound, for one that was deleted as well, and as `permitted`."""
    row = await own_job_of_kind(request, "video", "video", need)
    if _is_deleted(row):
        raise NotFound(f"no video {request.path_params['name'][:60]!r}: it was deleted", param="id")
    return row


def _is_deleted(row: JobRow) -> bool:
    return bool(row.assets) and all(each["status"] == AssetStatus.DELETED for each in row.assets)


@router.get("/videos/{name}")
@fast(need="read")
async def get_video(request: Request) -> Response:
    """A video as it stands."""
    return await _shown(await _own(request))


@router.get("/videos/{name}/content")
@fast(need="read")
async def get_video_content(request: Request) -> Response:
    """Where the film is, or its small picture: its permanent address needs no key, and may be read in parts."""
    row = await _own(request)
    variant = request.query_params.get("variant", "video")
    if variant not in ("video", "thumbnail"):
        raise InvalidParameter("variant can be video or thumbnail", param="variant")
    if row.ended != JobEnd.SUCCEEDED:
        raise VideoNotReady(f"the video is {video(told_job(row))['status']}: there is nothing to fetch", param="id")
    file = next(iter(told_job(row).files), None)
    if file is None:
        raise ResultGone("this video is no longer kept", reason="expired")
    address = file.url if variant == "video" else file.thumbnail_url
    if address is None:
        raise NotFound("this video has no thumbnail", param="variant")
    return RedirectResponse(address, 302)


@router.get("/videos")
@fast(need="read")
async def list_videos(request: Request) -> Response:
    """An account's videos, newest first, or oldest first if that is asked for."""
    who = await permitted(request, "read")
    wanted = wanted_page(request)
    after = after_id_of(wanted, lambda name: job_of_name(name, "video"))
    found = await services(request.app).places.ordinary.run(
        partial(_read, who.account_id, after, wanted.limit + 1, wanted.oldest_first)
    )
    return answer(page_of(found, wanted.limit, lambda row: video(told_job(row))))


def _read(account_id: UUID, after: UUID | None, most: int, oldest_first: bool) -> list[JobRow]:
    found = list[JobRow]()
    with transaction() as conn:
        for _ in range(ROUNDS):
            left = most - len(found)
            rows = reads.jobs_of_kind(conn, account_id, "video", after=after, oldest_first=oldest_first, limit=left)
            found += [each for each in rows if not _is_deleted(each)]
            if not rows or len(found) >= most:
                break
            after = rows[-1].id
    return found


@router.delete("/videos/{name}")
@fast(need="delete")
async def delete_video(request: Request) -> Response:
    """Delete a video; one that is not done yet is called off."""
    row, here = await _own(request, "delete"), services(request.app)
    work = partial(_delete, row.id, row.account_id, over=bool(row.ended))
    await here.wall.run(row.account_id, partial(here.places.ordinary.run, work))
    return answer({"id": name_of_job("video", row.id), "object": "video.deleted", "deleted": True})


def _delete(job_id: UUID, account_id: UUID, *, over: bool) -> None:
    if not over:
        with suppress(NotCancelable):  # it has ended meanwhile
            over = cancel_own(job_id, account_id).ended == JobEnd.SUCCEEDED
    if over:
        delete_own_outputs(job_id, account_id)
