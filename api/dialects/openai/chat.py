"""Chat completions, whole or as they are written."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.openai.messages import chat_input
from api.dialects.openai.ordering import answer_ended, offer_of, order_translated, read_json
from api.dialects.openai.streams import DONE, PING, OpenAIStream, event_of, failure_event
from api.dialects.openai.writing import WrittenText, usage_of
from api.dialects.routes import DialectRoute, tell
from api.orders.repeatable import answer_placed
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from common.dialects.openai import BASE, chat_usage, completion, completion_chunk
from common.errors import InvalidInput, ResultGone
from models.jobs.outward import told_job
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)


@router.post("/chat/completions")
@fast(need="generate")
async def create_chat_completion(request: Request) -> Response:
    """An answer to a conversation. Who hangs up while it is written leaves a job that goes on: it is paid for, and whoever sends the
    same order again soon has its answer.
    """
    who = await permitted(request, "generate")
    body = await read_json(request)
    offer = offer_of(request, body, "text")
    streamed, options = is_streamed(body), body.get("stream_options")
    placed = await order_translated(request, who, offer, chat_input(offer, body), said=body)
    if not streamed:
        return await answer_ended(request, placed, partial(_whole, request))
    counts = isinstance(options, dict) and bool(options.get("include_usage"))
    return await answer_placed(request, placed, 0, partial(_stream, request, counts))


def is_streamed(body: dict[str, Any]) -> bool:
    """Whether an answer is to come in parts. Raises InvalidInput."""
    if body.get("stream") not in (None, True, False):
        raise InvalidInput("stream must be true or false", param="stream")
    return bool(body.get("stream"))


async def _whole(request: Request, row: JobRow) -> Response:
    job = await tell(request, row)
    if job.text is None:
        raise ResultGone(f"the text of the job {row.id} is not kept any more", reason="expired")
    return answer(completion(job, await usage_of(request, row)))


async def _stream(request: Request, counts: bool, row: JobRow) -> Response:
    return OpenAIStream(_frames(request, counts, row))


async def _frames(request: Request, counts: bool, row: JobRow) -> AsyncIterator[bytes]:
    job, writing = told_job(row), WrittenText(request, row)
    yield event_of(completion_chunk(job, {"role": "assistant", "content": ""}), named=False)
    async for part in writing.parts():
        yield event_of(completion_chunk(job, {"content": part}), named=False) if part else PING
    if writing.row.ended != JobEnd.SUCCEEDED:
        yield failure_event(writing.row)
        return
    yield event_of(completion_chunk(job, {}, "stop"), named=False)
    usage = chat_usage(await usage_of(request, row)) if counts else {}
    if usage:
        yield event_of({**completion_chunk(job, {}), "choices": [], **usage}, named=False)
    yield DONE
