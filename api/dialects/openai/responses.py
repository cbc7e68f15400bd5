"""Responses: a text, whole, in the order of events that its library insists on, or in the background."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.openai.chat import is_streamed
from api.dialects.openai.messages import response_input
from api.dialects.openai.ordering import (
    answer_ended,
    offer_of,
    order_translated,
    own_job_of_kind,
    read_json,
)
from api.dialects.openai.streams import PING, OpenAIStream, event_of
from api.dialects.openai.writing import WrittenText, usage_of
from api.dialects.routes import DialectRoute, tell
from api.orders.placing import cancel_own, delete_own_outputs
from api.orders.repeatable import answer_placed
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.openai import BASE, message_item, name_of_job, response, text_part
from common.dialects.told import ToldJob
from common.errors import InvalidInput, ResultGone
from models.jobs.outward import told_job
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)


@router.post("/responses")
@fast(need="generate")
async def create_response(request: Request) -> Response:
    """A text to an input. With `background` it is answered at once, and looked at later."""
    who = await permitted(request, "generate")
    body = await read_json(request)
    offer = offer_of(request, body, "text")
    streamed, background = is_streamed(body), body.get("background")
    if background not in (None, True, False):
        raise InvalidInput("background must be true or false", param="background")
    placed = await order_translated(request, who, offer, response_input(offer, body), said=body)
    if streamed:
        return await answer_placed(request, placed, 0, partial(_stream, request))
    if background:
        return await answer_placed(request, placed, 0, partial(_shown, request, True))
    return await answer_ended(request, placed, partial(_shown, request, False))


async def _shown(request: Request, background: bool, row: JobRow) -> Response:
    job = await tell(request, row)
    if row.ended == JobEnd.SUCCEEDED and job.text is None:
        raise ResultGone(f"the text of the job {row.id} is not kept any more", reason="expired")
    usage = await usage_of(request, row) if row.ended else None
    return answer(response(job, usage, background=background))


@router.get("/responses/{name}")
@fast(need="read")
async def get_response(request: Request) -> Response:
    """A response as it stands."""
    row = await own_job_of_kind(request, "text", "response")
    return await _shown(request, True, row)


@router.post("/responses/{name}/cancel")
@fast(need="generate")
async def cancel_response(request: Request) -> Response:
    """Call a response off that is not done yet."""
    row, here = await own_job_of_kind(request, "text", "response", "generate"), services(request.app)
    work = partial(cancel_own, row.id, row.account_id)
    return await _shown(request, True, await here.wall.run(row.account_id, partial(here.places.ordinary.run, work)))


@router.delete("/responses/{name}")
@fast(need="delete")
async def delete_response(request: Request) -> Response:
    """Delete what a response has brought."""
    row, here = await own_job_of_kind(request, "text", "response", "delete"), services(request.app)
    await here.wall.run(
        row.account_id, partial(here.places.ordinary.run, partial(delete_own_outputs, row.id, row.account_id))
    )
    return answer({"id": name_of_job("resp", row.id), "object": "response", "deleted": True})


async def _stream(request: Request, row: JobRow) -> Response:
    return OpenAIStream(_frames(request, row))


async def _frames(request: Request, row: JobRow) -> AsyncIterator[bytes]:
    numbers, writing = count(), WrittenText(request, row)
    begun = told_job(row)._replace(status="running")
    place = {"item_id": name_of_job("msg", row.id), "output_index": 0, "content_index": 0}
    for frame in _beginning(begun, place, numbers):
        yield frame
    async for part in writing.parts():
        delta = {"type": "response.output_text.delta", **place, "delta": part, "logprobs": []}
        yield event_of({**delta, "sequence_number": next(numbers)}) if part else PING
    job = await tell(request, writing.row)
    if job.status != "succeeded":
        kind = "response.failed" if job.has_ended else "response.incomplete"
        yield event_of({"type": kind, "sequence_number": next(numbers), "response": response(job, None)})
        return
    usage = await usage_of(request, row)
    for frame in _ending(job, response(job, usage), place, numbers):
        yield frame


def _beginning(job: ToldJob, place: dict[str, Any], numbers: Iterator[int]) -> Iterator[bytes]:
    index = {"output_index": place["output_index"]}
    for data in (
        {"type": "response.created", "response": response(job, None)},
        {"type": "response.in_progress", "response": response(job, None)},
        {"type": "response.output_item.added", **index, "item": message_item(job.id, None, "in_progress")},
        {"type": "response.content_part.added", **place, "part": text_part("")},
    ):
        yield event_of({**data, "sequence_number": next(numbers)})


def _ending(job: ToldJob, shown: dict[str, Any], place: dict[str, Any], numbers: Iterator[int]) -> Iterator[bytes]:
    text = job.text or ""
    index = {"output_index": place["output_index"]}
    for data in (
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": text_part(text)},
        {"type": "response.output_item.done", **index, "item": message_item(job.id, text, "completed")},
        {"type": "response.completed", "response": shown},
    ):
        yield event_of({**data, "sequence_number": next(numbers)})
