"""`client.provider_keys`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import ProviderKey, ProviderKeyPage


class ProviderKeysRoutes:
    """`client.provider_keys`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[ProviderKey, ProviderKeyPage]:
        """List your keys at providers. `GET /v1/provider-keys`.

        By the provider's name.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/provider-keys", query={"limit": limit}), ProviderKeyPage, lambda page: page.data
        )

    def remove(self, provider: str) -> None:
        """Forget your key at a provider. `DELETE /v1/provider-keys/{provider}`.

        Args:
            provider: The provider's name in the catalogue.
        """
        return self._sender.ask_nothing(Call("DELETE", "/v1/provider-keys/{provider}", at={"provider": provider}))

    def set(self, provider: str, *, key: str) -> None:
        """Set your key at a provider. `PUT /v1/provider-keys/{provider}`.

        Replaces the one before.

        Args:
            provider: The provider's name in the catalogue.
            key: The key itself. Encrypted at rest, never shown again.
        """
        return self._sender.ask_nothing(
            Call("PUT", "/v1/provider-keys/{provider}", at={"provider": provider}, body={"key": key})
        )
