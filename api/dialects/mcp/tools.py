"""The catalogue as tools for agents: find a model, ask its price, generate, look, call off. Each does what a route of ours does, with
the same keys, scopes and budgets; what is refused is the tool's result, so that the agent can read why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from mcp.server.context import ServerRequestContext
from mcp_types import ContentBlock, ResourceLink, TextContent, Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from uuid_utils.compat import uuid7

from api.dialects.mcp.words import FIRST_STEPS, told_model, told_result, waiting_words
from api.dialects.routes import tell
from api.edge.problems import first_of
from api.live.prefer_wait import wait_at_most
from api.orders.placing import cancel_own, place_order, see_job
from api.orders.quoting import quoted
from api.routes.cursors import id_of
from api.services import services
from common.dialects.told import ToldJob, ToldKind
from common.errors import InvalidInput
from models.access import scopes
from models.access.scopes import Caller, check
from models.jobs.admission import Order, body_hash
from models.jobs.reads import JobRow

LOOK_SECONDS = 2.0  # between words on how far a job is
USUAL_WAIT, LONGEST_WAIT = 60.0, 300.0
MODELS_SHOWN = 50

Context = ServerRequestContext[Any, Request]


class ToolAnswer(NamedTuple):
    """What a tool has to say: values, and what a model reads of them."""

    values: dict[str, Any]
    content: list[ContentBlock]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FindModels(_Asked):
    """What is looked for."""

    query: str = Field("", max_length=200, description="Words of a name, an id or a description; empty: all.")
    kind: ToldKind | None = Field(None, description="What it makes.")


class AskPrice(_Asked):
    """An order that is not placed."""

    model: str = Field(max_length=200, description="A model's id, as find_models tells it.")
    input: dict[str, Any] = Field(description="As the model's input_schema says.")


class Generate(AskPrice):
    """An order."""

    wait_seconds: float = Field(USUAL_WAIT, ge=0, le=LONGEST_WAIT, description="How long to wait for the result.")
    idempotency_key: str | None = Field(
        None, min_length=1, max_length=255, description="Your own name for this order: sent again, it is the same job."
    )


class OneJob(_Asked):
    """A job of one's own."""

    job: str = Field(max_length=100, description="A job's id.")


def who_asks(ctx: Context) -> Caller:
    """The caller whose key the request was let in with."""
    assert ctx.request is not None  # noqa: S101 - over HTTP there always is one
    caller: Caller = ctx.request.scope["headrace.caller"][0]
    return caller


def _request(ctx: Context) -> Request:
    assert ctx.request is not None  # noqa: S101 - as above
    return ctx.request


async def find_models(ctx: Context, asked: FindModels) -> ToolAnswer:
    """Find models that can be ordered: what they make, what they cost, and the JSON Schema of their input."""
    fitting = services(_request(ctx).app).catalogue.look_for(asked.query)
    found = [each for each in fitting if asked.kind in (None, each.entry.kind)]
    shown = [told_model(each) for each in found[:MODELS_SHOWN]]
    return _said({"models": shown, "more": len(found) > MODELS_SHOWN})


async def ask_price(ctx: Context, asked: AskPrice) -> ToolAnswer:
    """Ask what an order would cost, and whether there are credits for it. Nothing is ordered."""
    here = services(_request(ctx).app)
    offer = here.catalogue.called(asked.model)
    return _said(await here.places.ordinary.run(partial(quoted, who_asks(ctx), offer, offer.checked(asked.input))))


async def generate(ctx: Context, asked: Generate) -> ToolAnswer:
    """Generate a picture, a film, speech or a text. It costs credits; those of a job that fails are given back. Waits for the result;
    what takes longer goes on, and get_job tells of it.
    """
    request, who = _request(ctx), who_asks(ctx)
    check(who, "generate")
    said = body_hash({"mcp": asked.model_dump(exclude={"wait_seconds", "idempotency_key"})})

    async def wanted() -> Order:
        here = services(request.app)
        offer = here.catalogue.called(asked.model)
        scopes.check_model(who, offer.entry.id)
        values = await here.inputs.accept(who.account_id, offer, offer.checked(asked.input))
        return Order(
            uuid7(), who.account_id, offer, values, api_key_id=who.key_id, key_budget=who.monthly_credits,
            idempotency_key=asked.idempotency_key, body_hash=said if asked.idempotency_key else b"",
        )  # fmt: skip

    row, _ = await place_order(request, who, asked.idempotency_key, said, wanted)
    return _shown(await tell(request, await _ended(ctx, row, asked.wait_seconds)))


async def get_job(ctx: Context, asked: OneJob) -> ToolAnswer:
    """Look at a job: how far it is, or what it has brought."""
    request = _request(ctx)
    return _shown(await tell(request, await see_job(request, id_of(asked.job, "job"), who_asks(ctx))))


async def cancel_job(ctx: Context, asked: OneJob) -> ToolAnswer:
    """Call a job off. One that has not started costs nothing."""
    request, who = _request(ctx), who_asks(ctx)
    check(who, "generate")
    here, job_id = services(request.app), id_of(asked.job, "job")
    row = await here.wall.run(
        who.account_id, partial(here.places.ordinary.run, partial(cancel_own, job_id, who.account_id))
    )
    return _shown(await tell(request, row))


async def _ended(ctx: Context, row: JobRow, seconds: float) -> JobRow:
    """The job once it has ended or the patience is over; meanwhile its progress is told."""
    here, until = services(_request(ctx).app), time.monotonic() + seconds
    while row.ended is None and (left := until - time.monotonic()) > 0 and not here.live.is_stopping:
        await ctx.session.report_progress(float(row.progress or 0), 100.0, waiting_words(row))
        found = await wait_at_most(_request(ctx), row, min(left, LOOK_SECONDS), here.live, here.jobs)
        if found is None:  # something hinders the waiting: it is looked at instead
            await asyncio.sleep(min(left, LOOK_SECONDS))
            found = await here.jobs.ask(row.id)
        row = found or row
    return row


def _said(values: dict[str, Any]) -> ToolAnswer:
    return ToolAnswer(values, [TextContent(type="text", text=told_result(values))])


def _shown(job: ToldJob) -> ToolAnswer:
    """A job with its results: links to files, and a text as a text."""
    values: dict[str, Any] = {
        "job": str(job.id), "status": job.status, "model": job.model, "credits": job.credits, "progress": job.progress,
        "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
        "outputs": [
            {"url": each.url, "media_type": each.media_type, "width": each.width, "height": each.height, "size_bytes": each.size_bytes}
            for each in job.files
        ],
        "text": job.text,
    }  # fmt: skip
    content: list[ContentBlock] = [TextContent(type="text", text=told_result(values))]
    content += [
        ResourceLink(
            type="resource_link", uri=each.url, name=each.name, mime_type=each.media_type, size=each.size_bytes
        )
        for each in job.files
    ]
    return ToolAnswer(values, content)


class _Doing(NamedTuple):
    asked: type[BaseModel]
    do: Callable[[Context, Any], Awaitable[ToolAnswer]]
    reads: bool


TOOLS = {
    "find_models": _Doing(FindModels, find_models, reads=True),
    "ask_price": _Doing(AskPrice, ask_price, reads=True),
    "generate": _Doing(Generate, generate, reads=False),
    "get_job": _Doing(OneJob, get_job, reads=True),
    "cancel_job": _Doing(OneJob, cancel_job, reads=False),
}


def list_tools() -> list[Tool]:
    """What an agent can do."""
    return [
        Tool(
            name=name, description=" ".join((each.do.__doc__ or "").split()), input_schema=each.asked.model_json_schema(),
            annotations=ToolAnnotations(read_only_hint=each.reads, destructive_hint=False),
        )
        for name, each in TOOLS.items()
    ]  # fmt: skip


async def use_tool(ctx: Context, name: str, arguments: dict[str, Any]) -> ToolAnswer:
    """What a tool answers. Raises the DomainError that refuses it."""
    doing = TOOLS.get(name)
    if doing is None:
        raise InvalidInput(f"there is no tool {name[:100]!r}. {FIRST_STEPS}", param="name")
    try:
        asked = doing.asked.model_validate(arguments)
    except ValidationError as error:
        place, detail = first_of(error.errors(include_url=False))
        raise InvalidInput(detail, param=place) from None
    return await doing.do(ctx, asked)
