"""What can be ordered and what it costs: models, plans, quotes. The catalogue is read again every few seconds."""

import asyncio
import contextlib
import logging
from bisect import bisect_right
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import permitted
from api.edge.pace import weigh
from api.routes.cursors import MAX_LIMIT, Listing, Page, Wanted, name_of, number_of
from api.routes.fast_routes import LeanRoute, answer, handled_by, read_body
from api.routes.shapes import RequestBody
from api.routes.walls import WalledRoute
from api.v1.jobs import offer_of
from common.errors import NotFound
from common.settings import settings
from models.access.scopes import Caller
from models.catalogue import prices
from models.catalogue.entries import Offer, offers
from models.catalogue.plans import Plan, page_of_plans
from models.db import certain, session, transaction
from models.jobs import reads

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=WalledRoute)
lean_router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=LeanRoute)


class QuoteRequest(RequestBody):
    """What a job would cost, without ordering it."""

    model_config = ConfigDict(strict=True)

    model: Annotated[str, Field(min_length=1, max_length=100)]
    input: dict[str, Any]


class Quote(BaseModel):
    """The credits that would be reserved, and whether the account has them."""

    model: str
    credits: int
    unit: str
    quantity: float
    available: int
    enough: bool


class Price(BaseModel):
    """Credits, or a cost in micro-dollars plus the plan's markup, per so many units."""

    unit: str
    per: int
    credits: int | None = None
    cost_usd_micros: int | None = None
    quantity_field: str | None = None
    estimate_field: str | None = None
    characters_per_unit: int


class Model(BaseModel):
    """Something that can be ordered."""

    id: str
    version: int
    name: str
    description: str
    kind: Literal["image", "video", "speech", "text"]
    price: Price
    input_schema: dict[str, Any]
    timeout_seconds: int
    typical_seconds: int


class ModelPage(Page[Model]):
    """Models that can be ordered, by id."""


class PlanView(BaseModel):
    """A plan."""

    id: str
    name: str
    credits: int
    granted: Literal["once", "monthly"]
    price_cents: int | None
    credit_price_usd_micros: int
    markup_bp: int
    storage_quota_bytes: int
    slots: int


class PlanPage(Page[PlanView]):
    """Plans, in the order in which they are offered."""


def model_view(offer: Offer) -> dict[str, Any]:
    """A model, as GET /v1/models answers; routes and options are the operator's own business."""
    entry = offer.entry
    return {
        "id": entry.id,
        "version": offer.version,
        "name": entry.name,
        "description": entry.description,
        "kind": entry.kind,
        "price": entry.price.model_dump(exclude_none=True),
        "input_schema": entry.input_schema,
        "timeout_seconds": entry.timeout_seconds,
        "typical_seconds": entry.typical_seconds,
    }


def plan_view(plan: Plan) -> dict[str, Any]:
    """A plan, as GET /v1/plans answers."""
    return plan.model_dump(exclude={"position"})


def _plan_place_of(text: str) -> tuple[int, str]:
    position, _, plan_id = text.partition(" ")
    return number_of(position), name_of(plan_id)


def _plan_place_text(place: tuple[int, str]) -> str:
    return f"{place[0]} {place[1]}"


MODELS = Listing("models", name_of, usual=MAX_LIMIT)
PLANS = Listing("plans", _plan_place_of, _plan_place_text, usual=MAX_LIMIT)


class Catalogue:
    """The current models, kept in memory."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        self._ids: list[str] = []  # in order
        self._written: list[bytes] = []  # each model, once for all who ask
        self._task: asyncio.Task[None] | None = None

    def get(self, model_id: str) -> Offer | None:
        return self._offers.get(model_id)

    def all(self) -> list[Offer]:
        return list(self._offers.values())

    def load(self) -> None:
        """Read the models from the database; those that have not changed keep their compiled schemas."""
        with transaction() as conn:
            fresh = offers(conn)
        self._offers = {
            model_id: old if (old := self._offers.get(model_id)) and old.version == offer.version else offer
            for model_id, offer in fresh.items()
        }
        self._ids = sorted(self._offers)
        self._written = [orjson.dumps(model_view(self._offers[model_id])) for model_id in self._ids]

    def page(self, wanted: Wanted[str]) -> bytes:
        """A page of the models, as it is answered."""
        begin = 0 if wanted.after is None else bisect_right(self._ids, wanted.after)
        end = begin + wanted.limit
        following = MODELS.cursor_of(self._ids[end - 1]) if end < len(self._ids) else None
        return b'{"data":[' + b",".join(self._written[begin:end]) + b'],"next":' + orjson.dumps(following) + b"}"

    def start(self) -> None:
        self._task = asyncio.create_task(self._refresh())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(settings().catalogue_refresh_seconds)
            try:
                await asyncio.to_thread(self.load)
            except Exception:
                log.warning("the catalogue could not be read again; the old one stays", exc_info=True)


@router.get("/models", response_model=ModelPage, summary="List models")
async def list_models(request: Request, wanted: Annotated[Wanted[str], Depends(MODELS.wanted)]) -> Response:
    """Models that can be ordered now, with their prices and the JSON Schema of their input."""
    listed: bytes = request.app.state.catalogue.page(wanted)
    weigh(request.scope, len(listed))
    return Response(listed, media_type="application/json")


@router.get("/models/{model_id:path}", response_model=Model, summary="Look at a model")
async def get_model(model_id: str, request: Request) -> Response:
    """One model."""
    return answer(model_view(offer_of(request, model_id)))


@router.get("/plans", response_model=PlanPage, summary="List plans")
def list_plans(wanted: Annotated[Wanted[tuple[int, str]], Depends(PLANS.wanted)]) -> Response:
    """In the order in which they are offered."""
    with session() as opened:
        plans = page_of_plans(opened, after=wanted.after, limit=wanted.reads)
        return answer(PLANS.page(plans, wanted, lambda plan: (plan.position, plan.id), plan_view))


@router.get("/plans/{plan_id}", response_model=PlanView, summary="Look at a plan")
def get_plan(plan_id: str) -> Response:
    """One plan."""
    with session() as opened:
        plan = opened.get(Plan, plan_id)
    if plan is None:
        raise NotFound(f"no plan {plan_id[:40]!r}", param="plan_id")
    return answer(plan_view(plan))


async def _quote(request: Request) -> Response:
    who = await permitted(request, "read")
    wanted, _ = await read_body(request, QuoteRequest)
    offer = offer_of(request, wanted.model)
    values = offer.checked(wanted.input)
    return answer(await request.app.state.places.ordinary.run(partial(_price, who, offer, values)))


def _price(who: Caller, offer: Offer, values: dict[str, object]) -> dict[str, object]:
    rule = offer.entry.price
    with certain() as conn:
        balance = reads.balance(conn, who.account_id)
    with session() as opened:
        plan = opened.get_one(Plan, balance.plan_id)
    price = prices.quote(rule, values, plan)
    return {
        "model": offer.entry.id, "credits": price.credits, "unit": rule.unit, "quantity": price.quantity_milli / 1000,
        "available": balance.available, "enough": balance.available >= price.credits,
    }  # fmt: skip


@lean_router.post("/quotes", response_model=Quote, summary="Ask what a job would cost")
@handled_by(_quote, need="read")
def create_quote(body: QuoteRequest) -> None:
    """The credits that ordering this would reserve, on your plan. Nothing is ordered."""
