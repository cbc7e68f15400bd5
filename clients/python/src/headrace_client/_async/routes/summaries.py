"""`client.summaries`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import ListedSummary, Summary, SummaryPage


class AsyncSummariesRoutes:
    """`client.summaries`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[ListedSummary, SummaryPage]:
        """List summaries. `GET /v1/summaries`.

        All that were ordered, newest first, without their texts. For those who edit.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/summaries", query={"limit": limit}), SummaryPage, lambda page: page.data
        )

    async def create(
        self,
        *,
        kind: Literal["article", "paper"],
        text: str,
        model: str | Omit | None = OMIT,
        title: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Summary:
        """Summarise an article or a paper. `POST /v1/summaries`.

        For those who edit. All parts are ordered, or none; the house account pays for them. With `Prefer: wait=N` the answer
        waits for the texts, as with jobs; look at the summary until its status says that it has ended.

        Args:
            kind: An article becomes a paragraph; a paper a paragraph and its implications.
            model: SUMMARY_MODEL, if left out.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/summaries",
                body={"kind": kind, "text": text, "model": model, "title": title},
                once=True,
                key=idempotency_key,
            ),
            Summary,
        )

    async def get(self, summary_id: str) -> Summary:
        """Look at a summary. `GET /v1/summaries/{summary_id}`.

        Its texts are there when all of its parts have succeeded. For those who edit.
        """
        return await self._sender.ask(Call("GET", "/v1/summaries/{summary_id}", at={"summary_id": summary_id}), Summary)
