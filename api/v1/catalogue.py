"""What can be ordered and what it costs: models, plans, quotes. The catalogue is read again every few seconds."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from functools import partial

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import permitted
from api.edge.pace import weigh
from api.routes.fast_routes import LeanRoute, answer, handled_by, read_body
from api.routes.walls import WalledRoute
from api.v1 import schemas
from api.v1.jobs import offer_of
from api.v1.views import model_view, plan_view
from common.settings import settings
from models.access.scopes import Caller
from models.catalogue import plans, prices
from models.catalogue.entries import Offer, offers
from models.credits.reads import expire_and_read_balance
from models.db import certain, session, transaction

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=WalledRoute)
lean_router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=LeanRoute)


class Catalogue:
    """The current models, kept in memory."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        self.listed = _listed([])  # written once for all who ask
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
        self.listed = _listed(self._offers.values())

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


def _listed(offers: Iterable[Offer]) -> bytes:
    return orjson.dumps({"data": [model_view(offer) for offer in offers]})


@router.get("/models", response_model=schemas.ModelList, summary="List models")
async def list_models(request: Request) -> Response:
    """All models that can be ordered now, with their prices and the JSON Schema of their input."""
    listed: bytes = request.app.state.catalogue.listed
    weigh(request.scope, len(listed))
    return Response(listed, media_type="application/json")


@router.get("/models/{model_id:path}", response_model=schemas.Model, summary="Look at a model")
async def get_model(model_id: str, request: Request) -> Response:
    """One model."""
    return answer(model_view(offer_of(request, model_id)))


@router.get("/plans", response_model=schemas.PlanList, summary="List plans")
def list_plans() -> Response:
    """All plans."""
    with session() as opened:
        found = plans.list_plans(opened)
    return answer({"data": [plan_view(plan) for plan in found]})


@router.get("/plans/{plan_id}", response_model=schemas.PlanView, summary="Look at a plan")
def get_plan(plan_id: str) -> Response:
    """One plan."""
    with session() as opened:
        plan = plans.find_plan(opened, plan_id)
    return answer(plan_view(plan))


async def _quote(request: Request) -> Response:
    who = await permitted(request, "read")
    wanted, _ = await read_body(request, schemas.QuoteRequest)
    offer = offer_of(request, wanted.model)
    values = offer.checked(wanted.input)
    return answer(await request.app.state.places.ordinary.run(partial(_price, who, offer, values)))


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


@lean_router.post("/quotes", response_model=schemas.Quote, summary="Ask what a job would cost")
@handled_by(_quote, need="read")
def create_quote(body: schemas.QuoteRequest) -> None:
    """The credits that ordering this would reserve, on your plan. Nothing is ordered."""
