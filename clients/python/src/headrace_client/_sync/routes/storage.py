"""`client.storage`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import Call
from headrace_client._sync.sending import Sender
from headrace_client.models import Storage


class StorageRoutes:
    """`client.storage`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def get(self) -> Storage:
        """Look at what is stored. `GET /v1/storage`.

        How much of the plan's quota is used, by what, and which files are the largest. What has expired counts until the
        next sweep, a few seconds later.
        """
        return self._sender.ask(Call("GET", "/v1/storage"), Storage)
