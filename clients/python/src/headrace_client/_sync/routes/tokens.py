"""`client.tokens`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import MadeToken, Token, TokenPage


class TokensRoutes:
    """`client.tokens`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[Token, TokenPage]:
        """List tokens. `GET /v1/tokens`.

        Those that still open something, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/tokens", query={"limit": limit}), TokenPage, lambda page: page.data)

    def create(
        self,
        *,
        may: Sequence[Literal["read", "stream", "generate"]],
        job: str | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        credits: int | Omit | None = OMIT,
        seconds: int | Omit = OMIT,
    ) -> MadeToken:
        """Make a token for a browser. `POST /v1/tokens`.

        Minutes long, for one account, one job or one model. `generate` needs `credits`: a browser never gets an open purse.

        Args:
            job: Only this job.
            model: Only this model.
            credits: At most so many, for `generate`.
            seconds: 60 to 3600; 600 if absent.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/tokens",
                body={"may": may, "job": job, "model": model, "credits": credits, "seconds": seconds},
            ),
            MadeToken,
        )

    def revoke(self, token_id: str) -> None:
        """Revoke a token. `DELETE /v1/tokens/{token_id}`."""
        return self._sender.ask_nothing(Call("DELETE", "/v1/tokens/{token_id}", at={"token_id": token_id}))
