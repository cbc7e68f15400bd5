"""`client.events`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Event, EventPage, StreamToken


class EventsRoutes:
    """`client.events`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        after: int | Omit | None = OMIT,
        limit: int | Omit = OMIT,
        snapshot: Literal["jobs"] | Omit | None = OMIT,
        status: Literal["queued", "running", "succeeded", "failed", "canceled"] | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        label: str | Omit | None = OMIT,
    ) -> Pager[Event, EventPage]:
        """Hear what happens. `GET /v1/events`.

        With `Accept: text/event-stream` a stream of all that happens in the account: jobs, credits, subscription. It
        resumes after `Last-Event-ID` (or `after`) without a gap or a repeat; without either it begins with the `balance`
        and goes on from now. `snapshot=jobs` begins it with a page of the job list and the credits, and does so again where the place
        that it is to resume at is not kept any more. Otherwise the events after a number (or a page's `next`), oldest first, as JSON. Where they are not
        kept any more a `reset` stands for them: look at everything anew, and go on from its number.

        Args:
            after: The number of the last event that you know.
            limit: How many at most. Of the jobs in a snapshot 20, if nothing is said.
            snapshot: Begin a stream with the jobs and the credits.
            status: Of jobs in a snapshot.
            model: Of jobs in a snapshot.
            label: Only those with this label: name:value, such as customer:acme.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/events",
                query={
                    "after": after,
                    "limit": limit,
                    "snapshot": snapshot,
                    "status": status,
                    "model": model,
                    "label": label,
                },
            ),
            EventPage,
            lambda page: page.data,
        )

    def create_stream_token(self) -> StreamToken:
        """Get a token for a stream. `POST /v1/events/token`.

        For `new EventSource("/v1/events?token=…")` in a browser. It opens streams, nothing else, for a minute; a stream
        that is open stays open.
        """
        return self._sender.ask(Call("POST", "/v1/events/token"), StreamToken)
