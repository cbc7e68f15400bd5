"""Speech: the sound itself, in the format that its type names."""

import base64
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.openai.fields import USUAL, translated
from api.dialects.openai.ordering import answer_ended, offer_of, order_translated, read_json
from api.dialects.openai.stored import read_results
from api.dialects.openai.streams import OpenAIStream, event_of, result_frames
from api.dialects.routes import DialectRoute
from api.orders.repeatable import answer_placed
from api.routes.callers import permitted
from api.routes.fast_routes import fast
from api.routes.prefix_router import PrefixRouter
from common.dialects.openai import BASE
from common.errors import InvalidInput
from models.catalogue.entries import Entry
from models.catalogue.providers import BUILT_IN
from models.jobs.reads import JobRow

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

PART_BYTES = 48 * 1024  # of sound in one event
OF_ANSWER = frozenset({"model", "stream_format", "user"})


@router.post("/audio/speech")
@fast(need="generate")
async def create_speech(request: Request) -> Response:
    """A text read aloud: raw bytes, or, with `stream_format` sse, in events."""
    who = await permitted(request, "generate")
    body = await read_json(request)
    offer = offer_of(request, body, "speech")
    streamed = "audio" if body.get("stream_format") is None else body["stream_format"]
    if streamed not in ("audio", "sse"):
        raise InvalidInput("stream_format must be audio or sse", param="stream_format")
    made = translated(offer.entry, speech_fields(offer.entry, body))
    placed = await order_translated(request, who, offer, made, said=body)
    if streamed == "sse":
        return await answer_placed(request, placed, 0, partial(_stream, request))
    return await answer_ended(request, placed, partial(_sound, request))


def speech_fields(entry: Entry, body: Mapping[str, Any]) -> dict[str, Any]:
    """What of an order says what is to be spoken and how. Raises InvalidInput for a format that the model does not make: its bytes
    would be taken for something that they are not.
    """
    given = {name: value for name, value in body.items() if name not in OF_ANSWER and value is not None}
    rules = entry.input_schema.get("properties", {})
    has_format = "response_format" in entry.fields or any(each in rules for each in USUAL["response_format"])
    if "response_format" in given and not has_format:
        makes = "wav" if all(each.provider == BUILT_IN for each in entry.routes) else None
        if given.pop("response_format") != makes:
            raise InvalidInput(
                f"{entry.id} makes {makes or 'one format only: leave response_format out'}", param="response_format"
            )
    return given


async def _sound(request: Request, row: JobRow) -> Response:
    sound = (await read_results(request, row))[0]
    return Response(sound.data, media_type=sound.media_type, headers={"x-headrace-job": str(row.id)})


async def _stream(request: Request, row: JobRow) -> Response:
    return OpenAIStream(result_frames(request, row, partial(_frames, request)))


async def _frames(request: Request, row: JobRow) -> AsyncIterator[bytes]:
    sound = (await read_results(request, row))[0].data
    for place in range(0, len(sound), PART_BYTES):
        part = base64.b64encode(sound[place : place + PART_BYTES]).decode()
        yield event_of({"type": "speech.audio.delta", "audio": part})
    yield event_of({"type": "speech.audio.done"})
