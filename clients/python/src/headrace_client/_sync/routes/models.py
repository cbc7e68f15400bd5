"""`client.models`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Model, ModelPage


class ModelsRoutes:
    """`client.models`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[Model, ModelPage]:
        """List models. `GET /v1/models`.

        Models that can be ordered now, with their prices and the JSON Schema of their input.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/models", query={"limit": limit}), ModelPage, lambda page: page.data)

    def get(self, model_id: str) -> Model:
        """Look at a model. `GET /v1/models/{model_id}`.

        One model.
        """
        return self._sender.ask(Call("GET", "/v1/models/{model_id}", at={"model_id": model_id}), Model)
