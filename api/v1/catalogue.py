"""What can be ordered and what it costs: models, plans, quotes. The catalogue is read again every few seconds."""

from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import weigh
from api.routes.callers import permitted
from api.routes.cursors import MAX_LIMIT, Listing, ListPage, WantedPage, name_of, number_of
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from api.services import services
from models.access.scopes import Caller
from models.catalogue import plans, prices
from models.catalogue.entries import Offer
from models.catalogue.plans import Plan
from models.credits.reads import expire_and_read_balance
from models.db import certain, session

router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=WalledRoute)
fast_router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=FastRoute)


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


class PriceView(BaseModel):
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
    price: PriceView
    input_schema: dict[str, Any]
    timeout_seconds: int
    typical_seconds: int


class ModelPage(ListPage[Model]):
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


class PlanPage(ListPage[PlanView]):
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


def written(offer: Offer) -> bytes:
    """A model as it is listed."""
    return orjson.dumps(model_view(offer))


@router.get("/models", response_model=ModelPage, summary="List models")
async def list_models(request: Request, wanted: Annotated[WantedPage[str], Depends(MODELS.wanted)]) -> Response:
    """Models that can be ordered now, with their prices and the JSON Schema of their input."""
    page, last = services(request.app).catalogue.page(wanted.after, wanted.limit)
    following = MODELS.cursor_of(last) if last is not None else None
    listed = b'{"data":[' + b",".join(page) + b'],"next":' + orjson.dumps(following) + b"}"
    weigh(request.scope, len(listed))
    return Response(listed, media_type="application/json")


@router.get("/models/{model_id:path}", response_model=Model, summary="Look at a model")
async def get_model(model_id: str, request: Request) -> Response:
    """One model."""
    return answer(model_view(services(request.app).catalogue.named(model_id)))


@router.get("/plans", response_model=PlanPage, summary="List plans")
def list_plans(wanted: Annotated[WantedPage[tuple[int, str]], Depends(PLANS.wanted)]) -> Response:
    """In the order in which they are offered."""
    with session() as opened:
        rows = plans.page_of_plans(opened, after=wanted.after, limit=wanted.reads)
    return answer(PLANS.page(rows, wanted, lambda plan: (plan.position, plan.id), plan_view))


@router.get("/plans/{plan_id}", response_model=PlanView, summary="Look at a plan")
def get_plan(plan_id: str) -> Response:
    """One plan."""
    with session() as opened:
        plan = plans.find_plan(opened, plan_id)
    return answer(plan_view(plan))


@fast_router.post("/quotes", response_model=Quote, summary="Ask what a job would cost")
@fast(need="read", body=QuoteRequest)
async def create_quote(request: Request) -> Response:
    """The credits that ordering this would reserve, on your plan. Nothing is ordered."""
    who, here = await permitted(request, "read"), services(request.app)
    wanted, _ = await read_body(request, QuoteRequest)
    offer = here.catalogue.named(wanted.model)
    values = offer.checked(wanted.input)
    return answer(await here.places.ordinary.run(partial(_price, who, offer, values)))


def _price(who: Caller, offer: Offer, values: dict[str, object]) -> dict[str, object]:
    rule = offer.entry.price
    with certain() as conn:
        balance = expire_and_read_balance(conn, who.account_id)
    with session() as opened:
        plan = plans.find_plan(opened, balance.plan_id)
    price = prices.quote(rule, values, plan)
    return {
        "model": offer.entry.id, "credits": price.credits, "unit": rule.unit, "quantity": price.quantity_milli / 1000,
        "available": balance.available, "enough": balance.available >= price.credits,
    }  # fmt: skip
