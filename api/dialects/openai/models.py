"""What can be ordered, as OpenAI lists it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.routes import DialectRoute
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.openai import BASE
from models.catalogue.entries import Offer

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

CREATED = 1_704_067_200  # of every model: a number is needed, and ours have no day


def openai_model(offer: Offer, name: str | None = None) -> dict[str, Any]:
    """A model; `name`: one of its others."""
    entry = offer.entry
    owner, _, rest = (name or entry.id).partition("/")
    return {
        "id": name or entry.id,
        "object": "model",
        "created": CREATED,
        "owned_by": owner if rest else "headrace",
        "kind": entry.kind,
        "name": entry.name,
    }


@router.get("/models")
@fast(need="read")
async def list_openai_models(request: Request) -> Response:
    """All that can be ordered, under every name that it has."""
    await permitted(request, "read")
    found = list[dict[str, Any]]()
    for offer in services(request.app).catalogue.every_offer():
        found += [openai_model(offer), *(openai_model(offer, each) for each in offer.entry.aliases)]
    return answer({"object": "list", "data": found})


@router.get("/models/{name:path}")
@fast(need="read")
async def get_openai_model(request: Request) -> Response:
    """One model, by any of its names."""
    await permitted(request, "read")
    name = request.path_params["name"]
    return answer(openai_model(services(request.app).catalogue.called(name), name))
