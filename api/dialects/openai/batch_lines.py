"""A batch's lines, each a request as it would be sent alone: checked, and made orders. Pure but for the catalogue that it is given."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from uuid_utils.compat import uuid7

from api.catalogue import Catalogue
from api.dialects.openai.fields import Translated, translated
from api.dialects.openai.images import OF_ANSWER
from api.dialects.openai.messages import chat_input, response_input
from api.dialects.openai.ordering import in_their_words, offer_called
from api.dialects.openai.pictures import picture_fields, picture_named, pictures_named
from api.orders.batched import lines_of, read_line
from common.dialects.told import ToldKind
from common.errors import BodyTooLarge, DomainError, InvalidInput, InvalidRequest
from models.access import scopes
from models.access.scopes import Caller
from models.catalogue.entries import Offer
from models.jobs.admission import Order
from models.jobs.batch_rows import MAX_CUSTOM_ID
from models.jobs.batches import BEHIND, Line


class BatchEndpoint(NamedTuple):
    """What the lines of a batch are sent to: what its models make, which of them is meant unsaid, how a body becomes an input."""

    kind: ToldKind
    unsaid: str | None
    reads: Callable[[Offer, dict[str, Any]], Translated]


class InvalidBatch(InvalidInput):
    """The batch has a line that is no request to its endpoint."""

    code = "invalid_batch"
    status = 400


class BatchDesk(NamedTuple):
    """What lines are checked against."""

    who: Caller
    catalogue: Catalogue
    endpoint: str
    line_bytes: int


def _generated(offer: Offer, body: dict[str, Any]) -> Translated:
    return translated(offer.entry, {name: value for name, value in body.items() if name not in OF_ANSWER})


def _edited(offer: Offer, body: dict[str, Any]) -> Translated:
    made = _generated(offer, {name: body[name] for name in body if name not in ("image", "images", "mask")})
    images = pictures_named(body)
    if not images:
        raise InvalidInput("an edit needs a picture: image", param="image")
    picture_fields(offer, made, "image", images)
    if body.get("mask") is not None:
        picture_fields(offer, made, "mask", [picture_named(body["mask"], "mask")])
    return made


def _filmed(offer: Offer, body: dict[str, Any]) -> Translated:
    plain = {name: body[name] for name in body if name not in ("model", "user", "input_reference")}
    made = translated(offer.entry, plain)
    if body.get("input_reference") is not None:
        picture_fields(offer, made, "image", [picture_named(body["input_reference"], "input_reference")])
    return made


ENDPOINTS: Mapping[str, BatchEndpoint] = {
    "/v1/images/generations": BatchEndpoint("image", "gpt-image-1", _generated),
    "/v1/images/edits": BatchEndpoint("image", "gpt-image-1", _edited),
    "/v1/videos": BatchEndpoint("video", "sora-2", _filmed),
    "/v1/chat/completions": BatchEndpoint("text", None, chat_input),
    "/v1/responses": BatchEndpoint("text", None, response_input),
}


def check_requests(desk: BatchDesk, file: Iterable[bytes]) -> list[Line]:
    """All lines, each with its order, or with why it cannot be one. Raises InvalidBatch for a line that is no request to this
    endpoint, or has no name of its own: nothing of such a batch is ordered.
    """
    named = dict[str, int]()
    return [_line(desk, number, raw, named) for number, raw in lines_of(file)]


def _line(desk: BatchDesk, number: int, raw: bytes, named: dict[str, int]) -> Line:
    try:
        line = read_line(raw, desk.line_bytes)
    except (BodyTooLarge, InvalidInput, InvalidRequest) as error:
        raise InvalidBatch(f"line {number}: {error.detail}", param=f"line {number}") from None
    custom_id = _named(line, number, named)
    body = line.get("body")
    if line.get("method", "POST") != "POST" or line.get("url") != desk.endpoint or not isinstance(body, dict):
        raise InvalidBatch(f"line {number}: it must be a POST to {desk.endpoint}, with a body", param=f"line {number}")
    try:
        return Line(number, custom_id, _order(desk, body))
    except DomainError as error:
        return Line(number, custom_id, error)


def _named(line: dict[str, Any], number: int, named: dict[str, int]) -> str:
    given = line.get("custom_id")
    if not isinstance(given, str) or not 0 < len(given) <= MAX_CUSTOM_ID or min(given) < " ":
        raise InvalidBatch(
            f"line {number}: custom_id must be a text of 1 to {MAX_CUSTOM_ID} characters", param="custom_id"
        )
    if named.setdefault(given, number) != number:
        raise InvalidBatch(
            f"line {number}: custom_id {given!r} is that of line {named[given]} already", param="custom_id"
        )
    return given


def _order(desk: BatchDesk, body: dict[str, Any]) -> Order:
    if body.get("stream"):
        raise InvalidInput("a line of a batch cannot be streamed", param="stream")
    endpoint, who = ENDPOINTS[desk.endpoint], desk.who
    offer = offer_called(desk.catalogue, body, endpoint.kind, endpoint.unsaid)
    scopes.check_model(who, offer.entry.id)
    made = endpoint.reads(offer, body)
    try:
        values = offer.checked(made.values)
    except DomainError as error:
        raise in_their_words(made, error) from None
    return Order(
        uuid7(), who.account_id, offer, values, priority=-BEHIND, queue="batch", api_key_id=who.key_id,
        key_budget=who.monthly_credits,
    )  # fmt: skip
