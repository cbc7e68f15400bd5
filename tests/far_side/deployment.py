"""Far sides as providers of a deployment: catalogue entries that lead to them."""

from typing import Any

from models.catalogue import entries, providers
from models.catalogue.entries import Entry, Offer
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from tests.support import SCHEMA

KEY_VARIABLE = "FAR_SIDE_KEY"
KEY = "far-side-key"  # what FAR_SIDE_KEY is set to


def provider(name: str, adapter: str, url: str, **fields: Any) -> None:
    """Put a provider at this address into the catalogue."""
    entry = ProviderEntry.model_validate(
        {"name": name, "adapter": adapter, "base_url": url, "key": KEY_VARIABLE, **fields}
    )
    with transaction() as conn:
        providers.apply(conn, [entry])


def routed(name: str, *routes: dict[str, Any], **fields: Any) -> Offer:
    """A model by these routes; each needs `provider` and `model`."""
    entry = Entry.model_validate(
        {
            "id": name, "name": name, "kind": "image", "input_schema": SCHEMA, "price": {"unit": "job", "credits": 2},
            "routes": list(routes), **fields,
        }
    )  # fmt: skip
    with transaction() as conn:
        entries.apply(conn, [entry])
        return entries.offers(conn)[name]
