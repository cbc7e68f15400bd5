"""What a job would cost."""

from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.orders.quoting import quoted
from api.routes.callers import permitted
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.services import services
from models.access.scopes import check_model

fast_router = PrefixRouter(prefix="/v1", tags=["catalogue"], route_class=FastRoute)


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
    if who.reach is not None:  # a key for some models may ask what others cost; of a page the rest is not its business
        check_model(who, wanted.model)
    offer = here.catalogue.named(wanted.model)
    values = offer.checked(wanted.input)
    return answer(await here.places.ordinary.run(partial(quoted, who, offer, values)))
