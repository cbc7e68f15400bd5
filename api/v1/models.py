"""What can be ordered. The catalogue is read again every few seconds."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import weigh
from api.routes.cursors import MAX_LIMIT, Listing, ListPage, WantedPage, name_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.services import services
from models.catalogue.entries import Offer

router = PrefixRouter(prefix="/v1", tags=["catalogue"], route_class=WalledRoute)


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


MODELS = Listing("models", name_of, usual=MAX_LIMIT)


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
