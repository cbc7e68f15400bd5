"""Models: listed, looked for, looked at, with their versions; and what stands beside them: the account, hardware, the secret that
signs webhooks.
"""

import json
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.replicate.versions import model_shape, of_this_version, version_shape
from api.dialects.routes import DialectRoute
from api.routes.callers import permitted
from api.routes.cursors import MAX_LIMIT, Listing, name_of
from api.routes.fast_routes import answer, fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.replicate import BASE, address
from common.errors import InvalidParameter, InvalidRequest
from models.access.scopes import Caller
from models.catalogue.entries import Offer
from models.db import certain, transaction
from models.events import endpoints
from models.identity import profiles

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

MODELS = Listing("replicate-models", name_of, usual=25)
MAX_QUERY_CHARACTERS = 400
FOUND = 50  # models of a search, at most


def paged(request: Request, results: list[Any], following: str | None) -> dict[str, Any]:
    """A page of a list. `next` is a whole address: the libraries would put a path behind their base a second time."""
    words = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    path = request.url.path.removeprefix(BASE)
    link = None if following is None else f"{address(path)}?{urlencode([*words, ('cursor', following)])}"
    return {"results": results, "next": link, "previous": None}


def offer_at(request: Request) -> tuple[Offer, str]:
    """The model that a path names, and how it calls it. Raises UnknownModel."""
    called = "{owner}/{name}".format(**request.path_params)
    return services(request.app).catalogue.called(called), called


@router.get("/models")
@fast(need="read")
async def list_replicate_models(request: Request) -> Response:
    """What can be ordered."""
    await permitted(request, "read")
    wanted = MODELS.wanted_by(request)
    page, last = services(request.app).catalogue.offers(wanted.after, min(wanted.limit, MAX_LIMIT))
    following = None if last is None else MODELS.cursor_of(last)
    return answer(paged(request, [model_shape(each) for each in page], following))


def _found(request: Request, query: str) -> list[Offer]:
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InvalidParameter(
            f"the query has {len(query)} characters; the limit is {MAX_QUERY_CHARACTERS}", param="query"
        )
    return services(request.app).catalogue.look_for(query)[:FOUND]


def query_of(body: bytes) -> str:
    """What somebody looks for: the body as it is, or in JSON's quotes, as one of the libraries sends it. Raises InvalidRequest."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the query is no UTF-8", param="body") from None
    if text[:1] == '"':
        try:
            text = str(json.loads(text))
        except ValueError:
            return text
    return text


@router.api_route("/models", methods=["QUERY"])
@fast(need="read")
async def search_models(request: Request) -> Response:
    """Models whose names or descriptions have all words of the body."""
    await permitted(request, "read")
    found = _found(request, query_of(await request.body()))
    return answer({"results": [model_shape(each) for each in found], "next": None, "previous": None})


@router.get("/search")
@fast(need="read")
async def search_everything(request: Request) -> Response:
    """The same by a newer way to ask: models alone, since there is nothing else to be found."""
    await permitted(request, "read")
    query = request.query_params.get("query", "")
    found = [
        {"model": model_shape(each), "metadata": {"generated_description": each.entry.description, "tags": [each.entry.kind], "score": 1.0}}
        for each in _found(request, query)
    ]  # fmt: skip
    return answer({"query": query, "models": found, "collections": [], "pages": []})


@router.get("/models/{owner}/{name}")
@fast(need="read")
async def get_replicate_model(request: Request) -> Response:
    """A model by one of its names."""
    await permitted(request, "read")
    return answer(model_shape(*offer_at(request)))


@router.get("/models/{owner}/{name}/versions")
@fast(need="read")
async def list_versions(request: Request) -> Response:
    """The one version of a model that can be ordered."""
    await permitted(request, "read")
    offer, _ = offer_at(request)
    return answer({"results": [version_shape(offer)], "next": None, "previous": None})


@router.get("/models/{owner}/{name}/versions/{version}")
@fast(need="read")
async def get_version(request: Request) -> Response:
    """The current version of a model."""
    await permitted(request, "read")
    offer, _ = offer_at(request)
    return answer(version_shape(of_this_version(offer, request.path_params["version"])))


@router.get("/hardware")
@fast(need="read")
async def list_hardware(request: Request) -> Response:
    """What models run on, which is nobody's to choose here."""
    await permitted(request, "read")
    return answer([{"sku": "headrace", "name": "Chosen by Headrace"}])


@router.get("/account")
@fast(need="read")
async def get_account(request: Request) -> Response:
    """Whose key it is."""
    who = await permitted(request, "read")
    here = services(request.app)
    return answer(
        await here.wall.run(who.account_id, partial(here.places.ordinary.run, partial(_account, who)), locks=False)
    )


def _account(who: Caller) -> dict[str, Any]:
    with transaction() as conn:
        found = profiles.profile(conn, who.account_id)
    names = [each for each in (found.first_name, found.last_name) if each]
    return {
        "type": "user", "username": found.email or str(who.account_id), "name": " ".join(names) or found.email or str(who.account_id),
        "github_url": None,
    }  # fmt: skip


@router.get("/webhooks/default/secret")
@fast(need="write")
async def get_webhook_secret(request: Request) -> Response:
    """The secret that signs what is sent to the addresses of predictions."""
    who = await permitted(request, "write")
    here = services(request.app)
    key = await here.wall.run(who.account_id, partial(here.places.ordinary.run, partial(_secret, who)))
    return answer({"key": key}, headers={"cache-control": "no-store"})


def _secret(who: Caller) -> str:
    with certain() as conn:
        return endpoints.default_secrets(conn, who.account_id)[0]
