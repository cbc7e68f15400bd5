"""What a job would cost."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import permitted
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.shapes import RequestBody
from api.services import services
from models.access.scopes import Caller
from models.catalogue import plans, prices
from models.catalogue.entries import Offer
from models.credits.ledger import usable
from models.credits.reads import expire_and_read_balance, open_funds
from models.db import certain, session

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


@fast_router.post("/quotes", response_model=Quote, summary="Ask what a job would cost")
@fast(need="read", body=QuoteRequest)
async def create_quote(request: Request) -> Response:
    """The credits that ordering this would reserve, on your plan. Nothing is ordered."""
    who, here = await permitted(request, "read"), services(request.app)
    wanted, _ = await read_body(request, QuoteRequest)
    offer = here.catalogue.named(wanted.model)
    values = offer.checked(wanted.input)
    return answer(await here.places.ordinary.run(partial(quoted, who, offer, values)))


def quoted(who: Caller, offer: Offer, values: dict[str, object]) -> dict[str, object]:
    """What a checked input would cost on the caller's plan, and whether there is enough for it."""
    rule = offer.entry.price
    with certain() as conn:
        balance = expire_and_read_balance(conn, who.account_id)
        available = usable(open_funds(conn, who.account_id), offer.entry.id, offer.entry.kind)
    with session() as opened:
        plan = plans.find_plan(opened, balance.plan_id)
    price = prices.quote(rule, values, plan)
    return {
        "model": offer.entry.id, "credits": price.credits, "unit": rule.unit, "quantity": price.quantity_milli / 1000,
        "available": available, "enough": available >= price.credits,
    }  # fmt: skip
