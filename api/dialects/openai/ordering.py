"""An order of this dialect on its way to its job, and what its sender is answered with, whatever becomes of it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.catalogue import Catalogue
from api.dialects.openai.fields import Translated, named_as_said
from api.dialects.routes import order_job
from api.edge.problems import of_domain, problem
from api.orders.placing import see_job
from api.orders.repeatable import PlacedOrder, answer_placed
from api.routes.callers import permitted
from api.services import services
from common.dialects.openai import failure_status, why_failed
from common.dialects.told import ToldKind
from common.errors import DomainError, InvalidInput, InvalidRequest, NotFound, Unavailable, UnknownModel
from common.settings import settings
from models.access.scopes import Caller, Scope
from models.catalogue.entries import Offer
from models.jobs.outward import told_job
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

MARGIN = 5.0  # seconds before its library gives up
LONGEST = 300.0  # after which Node's own `fetch` does, which says nothing of it
# Who has less patience than this is gone before any word of ours: its library's own second try finds the job, and its result.
SHORT = 2 * MARGIN
TIMEOUT_HEADER = "x-stainless-read-timeout"
PLACES: Mapping[str, str] = {
    "image": "/images/generations",
    "video": "/videos",
    "speech": "/audio/speech",
    "text": "/chat/completions or /responses",
}


async def read_json(request: Request) -> dict[str, Any]:
    """The body of an order. Raises InvalidRequest for what is no JSON object."""
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", param="body") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", param="body")
    return body


def offer_of(request: Request, body: Mapping[str, Any], kind: ToldKind, unsaid: str | None = None) -> Offer:
    """`offer_called` of this process's catalogue."""
    return offer_called(services(request.app).catalogue, body, kind, unsaid)


def offer_called(catalogue: Catalogue, body: Mapping[str, Any], kind: ToldKind, unsaid: str | None) -> Offer:
    """The model that an order names. `unsaid`: what is meant where it names none, if there is such a one. Raises InvalidRequest,
    UnknownModel, and InvalidInput for one that makes something else.
    """
    name = body.get("model")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest("model must be a text", param="model")
    try:
        offer = catalogue.called(name or unsaid or "")
    except UnknownModel:
        if name:
            raise
        raise InvalidRequest("you must say which model: one of GET /models", param="model") from None
    if offer.entry.kind != kind:
        raise InvalidInput(
            f"{offer.entry.id} makes {offer.entry.kind}: order it at {PLACES[offer.entry.kind]}", param="model"
        )
    return offer


async def order_translated(
    request: Request, who: Caller, offer: Offer, made: Translated, *, said: dict[str, Any], queue: str | None = None
) -> PlacedOrder:
    """`order_job` of an input that was translated: what is wrong with it is said in the words of the order."""
    try:
        return await order_job(request, who, offer, made.values, said=said, queue=queue)
    except DomainError as error:
        raise in_their_words(made, error) from None


def in_their_words(made: Translated, error: DomainError) -> DomainError:
    """The same refusal, of the field that the order names."""
    if error.param is not None and error.param.startswith("input."):
        error.param, error.detail = named_as_said(made, error.param, error.detail)
    return error


def patience_of(request: Request) -> float:
    """Seconds that an order may wait for its result."""
    most = min(LONGEST - MARGIN, settings().prefer_wait_seconds)
    said = request.headers.get(TIMEOUT_HEADER, "")
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,20})?", said, re.ASCII) or float(said) <= SHORT:
        return most
    return min(most, float(said) - MARGIN)


async def answer_ended(
    request: Request, placed: PlacedOrder, written: Callable[[JobRow], Awaitable[Response]]
) -> Response:
    """The answer to an order that is waited for: `written` of a job that has succeeded; else why it has not."""
    return await answer_placed(request, placed, patience_of(request), partial(_ended, request, written))


async def _ended(request: Request, written: Callable[[JobRow], Awaitable[Response]], row: JobRow) -> Response:
    if not row.ended and services(request.app).live.is_stopping:
        raise Unavailable("this process is stopping; send the order again: it stays the same job")
    if row.ended != JobEnd.SUCCEEDED:
        return tell_failure(request, row)
    try:
        return await written(row)
    except DomainError as error:
        if error.retryable:
            raise
        return of_domain(request, error)  # an answer like any other: the order was heard, and is not to be found again


def tell_failure(request: Request, row: JobRow) -> Response:
    """Why an order has no result. Nothing of it is sent again by itself: another order would be another job, which is paid for; and
    the same one, sent again, is this job, as it ended.
    """
    failed = why_failed(told_job(row))
    extra = {"job_id": str(row.id)}
    if failed is None:
        detail = (
            f"the job {row.id} goes on, and takes longer than an answer may wait: look at it (GET /v1/jobs/{row.id}), "
            "and do not order it again"
        )
        return problem(request, 504, "still_running", detail, extra=extra)
    return problem(request, failure_status(failed["code"]), failed["code"], failed["message"], extra=extra)


_PREFIX = re.compile(r"(video|resp|chatcmpl|msg|batch)[_-]")


def job_of_name(name: str, what: str) -> UUID:
    """The job that an id of this dialect names. Raises NotFound."""
    try:
        return UUID(_PREFIX.sub("", name, count=1)) if len(name) <= 50 else _nothing(name, what)
    except ValueError:
        return _nothing(name, what)


def _nothing(name: str, what: str) -> UUID:
    raise NotFound(f"no {what} {name[:60]!r}", param="id")


async def own_job_of_kind(request: Request, kind: ToldKind, what: str, need: Scope = "read") -> JobRow:
    """The caller's job that the path's `name` names. Raises NotFound, for one of another kind as well, and as `permitted`."""
    who = await permitted(request, need)
    name = request.path_params["name"]
    row = await see_job(request, job_of_name(name, what), who)
    if row.kind != kind:
        _nothing(name, what)
    return row
