"""An account's own keys at providers (spec C1): its jobs then run under them."""

from datetime import datetime
from typing import Annotated

from fastapi import Body, Depends, Path
from pydantic import BaseModel, Field, SecretStr
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import MAX_LIMIT, Listing, ListPage, WantedPage, name_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from models.access.scopes import Caller
from models.catalogue import provider_keys
from models.db import certain, transaction

router = PrefixRouter(tags=["provider keys"], route_class=WalledRoute)

Name = Annotated[str, Path(description="The provider's name in the catalogue.")]


class NewProviderKey(RequestBody):
    """A key to keep."""

    key: SecretStr = Field(
        min_length=8,
        max_length=provider_keys.MAX_CHARACTERS,
        description="The key itself. Encrypted at rest, never shown again.",
    )


class ProviderKeyView(BaseModel):
    """What is shown of a key."""

    provider: str
    hint: str = Field(description="Its last four characters.")
    created_at: datetime


class ProviderKeyPage(ListPage[ProviderKeyView]):
    """Keys at providers, by the provider's name."""


PROVIDER_KEYS = Listing("provider-keys", name_of, usual=MAX_LIMIT)


@router.get("/v1/provider-keys", response_model=ProviderKeyPage, summary="List your keys at providers")
def list_provider_keys(
    who: Annotated[Caller, Depends(needs("read"))], wanted: Annotated[WantedPage[str], Depends(PROVIDER_KEYS.wanted)]
) -> Response:
    """By the provider's name."""
    with transaction() as conn:
        rows = provider_keys.shown(conn, who.account_id, after=wanted.after, limit=wanted.reads)
    return answer(PROVIDER_KEYS.page(rows, wanted, lambda row: row.provider, lambda row: row._asdict()))


@router.put("/v1/provider-keys/{provider}", summary="Set your key at a provider", status_code=204)
def set_provider_key(
    who: Annotated[Caller, Depends(needs("write"))], provider: Name, body: Annotated[NewProviderKey, Body()]
) -> Response:
    """Replaces the one before."""
    with certain() as conn:
        provider_keys.save(conn, who.account_id, provider, body.key)
    return Response(status_code=204)


@router.delete("/v1/provider-keys/{provider}", summary="Forget your key at a provider", status_code=204)
def remove_provider_key(who: Annotated[Caller, Depends(needs("delete"))], provider: Name) -> Response:
    with certain() as conn:
        provider_keys.remove(conn, who.account_id, provider)
    return Response(status_code=204)
