"""`client.provider_keys`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import ProviderKey, ProviderKeyPage


class AsyncProviderKeysRoutes:
    """`client.provider_keys`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[ProviderKey, ProviderKeyPage]:
        """List your keys at providers. `GET /v1/provider-keys`.

        By the provider's name.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/provider-keys", query={"limit": limit}), ProviderKeyPage, lambda page: page.data
        )

    async def remove(self, provider: str) -> None:
        """Forget your key at a provider. `DELETE /v1/provider-keys/{provider}`.

        Args:
            provider: The provider's name in the catalogue.
        """
        return await self._sender.ask_nothing(Call("DELETE", "/v1/provider-keys/{provider}", at={"provider": provider}))

    async def set(self, provider: str, *, key: str) -> None:
        """Set your key at a provider. `PUT /v1/provider-keys/{provider}`.

        Replaces the one before.

        Args:
            provider: The provider's name in the catalogue.
            key: The key itself. Encrypted at rest, never shown again.
        """
        return await self._sender.ask_nothing(
            Call("PUT", "/v1/provider-keys/{provider}", at={"provider": provider}, body={"key": key})
        )
