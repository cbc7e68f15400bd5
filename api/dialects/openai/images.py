"""Pictures: generated, and edited. The answer waits for them, as its library does; there is no shape for one that does not."""

import base64
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.openai.fields import Translated, translated
from api.dialects.openai.forms import fields_of, files_of, form_of, is_form, keep_upload, refuse_files
from api.dialects.openai.ordering import answer_ended, offer_of, order_translated, read_json
from api.dialects.openai.pictures import picture_fields, pictures_named
from api.dialects.openai.stored import read_results
from api.dialects.openai.streams import OpenAIStream, event_of, result_frames
from api.dialects.routes import DialectRoute
from api.orders.repeatable import PlacedOrder, answer_placed
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from common.dialects.openai import BASE, seconds_of, size_text
from common.errors import InvalidInput, InvalidRequest
from models.access.scopes import Caller
from models.jobs.outward import told_job
from models.jobs.reads import JobRow

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

UNSAID_MODEL = "gpt-image-1"
# What says how an answer is written, and not what is drawn; partial pictures come only of models that show some.
OF_ANSWER = frozenset({"model", "stream", "partial_images", "response_format", "user", "safety_identifier"})


@router.post("/images/generations")
@fast(need="generate")
async def generate_images(request: Request) -> Response:
    """Pictures of a prompt."""
    who = await permitted(request, "generate")
    body = await read_json(request)
    offer = offer_of(request, body, "image", UNSAID_MODEL)
    wanted = WantedPictures(body, "image_generation")
    made = translated(offer.entry, {name: value for name, value in body.items() if name not in OF_ANSWER})
    placed = await order_translated(request, who, offer, made, said=body)
    return await _answer(request, placed, wanted)


@router.post("/images/edits")
@fast(need="generate")
async def edit_images(request: Request) -> Response:
    """Pictures of a prompt and other pictures, which come with the form, or are named in JSON."""
    who = await permitted(request, "generate")
    if not is_form(request):
        body = await read_json(request)
        return await _edited(request, who, body, pictures_named(body), body)
    async with form_of(request, who) as form:
        refuse_files(form, "image", "mask")
        body = fields_of(form)
        said: dict[str, Any] = {"fields": dict(body)}
        offer_of(request, body, "image", UNSAID_MODEL)  # before anything is stored
        for name in ("image", "mask"):
            uploads = [await keep_upload(request, who, each, name) for each in files_of(form, name)]
            said[name] = [each.sha256.hex() for each in uploads]
            if uploads:
                body[name] = [each.id for each in uploads] if name == "image" else uploads[0].id
    images = body.pop("image", [])
    return await _edited(request, who, body, images if isinstance(images, list) else [images], said)


async def _edited(
    request: Request, who: Caller, body: dict[str, Any], images: list[Any], said: dict[str, Any]
) -> Response:
    offer = offer_of(request, body, "image", UNSAID_MODEL)
    if not images:
        raise InvalidRequest("an edit needs a picture: image", param="image")
    wanted = WantedPictures(body, "image_edit")
    plain = {name: value for name, value in body.items() if name not in (*OF_ANSWER, "image", "images", "mask")}
    made = translated(offer.entry, plain)
    picture_fields(offer, made, "image", images)
    if body.get("mask") is not None:
        picture_fields(offer, made, "mask", [body["mask"]])
    placed = await order_translated(request, who, offer, Translated(*made), said=said)
    return await _answer(request, placed, wanted)


class WantedPictures:
    """How an order for pictures is answered. Raises InvalidInput."""

    def __init__(self, body: dict[str, Any], event: str) -> None:
        form = "b64_json" if body.get("response_format") is None else body["response_format"]
        if form not in ("b64_json", "url"):
            raise InvalidInput("response_format must be b64_json or url", param="response_format")
        self.urls = form == "url"
        self.streamed = body.get("stream") in (True, "true", "True", "1")
        self.event = event


async def _answer(request: Request, placed: PlacedOrder, wanted: WantedPictures) -> Response:
    if wanted.streamed:
        return await answer_placed(request, placed, 0, partial(_stream, request, wanted))
    return await answer_ended(request, placed, partial(_pictures, request, wanted))


async def _pictures(request: Request, wanted: WantedPictures, row: JobRow) -> Response:
    job = told_job(row)
    body = {
        "created": seconds_of(row.created_at),
        "data": await _shown(request, wanted, row),
        "size": size_text(job),
        "output_format": _format_of(job.files[0].media_type) if job.files else None,
        "job_id": str(row.id),
    }
    return answer({name: value for name, value in body.items() if value})


async def _shown(request: Request, wanted: WantedPictures, row: JobRow) -> list[dict[str, Any]]:
    if wanted.urls:
        return [{"url": each.url} for each in told_job(row).files]
    return [{"b64_json": base64.b64encode(each.data).decode()} for each in await read_results(request, row)]


def _format_of(media_type: str) -> str:
    return media_type.rpartition("/")[2].partition("+")[0]


async def _stream(request: Request, wanted: WantedPictures, row: JobRow) -> Response:
    return OpenAIStream(result_frames(request, row, partial(_frames, request, wanted)))


async def _frames(request: Request, wanted: WantedPictures, row: JobRow) -> AsyncIterator[bytes]:
    for shown, file in zip(await _shown(request, wanted, row), told_job(row).files, strict=False):
        yield event_of(
            {
                "type": f"{wanted.event}.completed", **shown, "created_at": seconds_of(row.ended_at), "quality": "auto",
                "background": "auto", "size": f"{file.width}x{file.height}", "output_format": _format_of(file.media_type),
            }
        )  # fmt: skip
