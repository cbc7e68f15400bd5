"""`client.events`: all that happens in the account."""

from collections.abc import Generator
from contextlib import closing
from typing import Literal

from headrace_client import models
from headrace_client._calls import OMIT, Call, Omit
from headrace_client._retries import Deadline
from headrace_client._sync.routes.events import EventsRoutes
from headrace_client._sync.streams import listen


class Events(EventsRoutes):
    """Events of the account."""

    def stream(
        self,
        *,
        after: int | None = None,
        timeout: float | None = None,
        snapshot: Literal["jobs"] | None = None,
        limit: int | Omit = OMIT,
        status: Literal["queued", "running", "succeeded", "failed", "canceled"] | Omit = OMIT,
        model: str | Omit = OMIT,
        label: str | Omit = OMIT,
    ) -> Generator[models.Event, None, None]:
        """All that happens in the account, as it happens, over cuts and restarts of the server. `GET /v1/events`.

            for event in client.events.stream():
                if event.type == "credits.low":
                    warn(event.data["available"])

        It begins with `balance`. `reset` says that what you missed is not kept any more: look at everything anew.

        With `snapshot="jobs"` it begins with an event `snapshot`, whose data has the newest jobs (`data`, `next`) and the `credits`, and
        what follows has happened since: a page of jobs that never asks twice.

        Args:
            after: The number of the last event that you know: what was missed comes first, and no `balance`.
            timeout: Stop after so many seconds.
            snapshot: Begin with the jobs and the credits.
            limit: How many jobs of a snapshot at most.
            status: Of jobs in a snapshot.
            model: Of jobs in a snapshot.
            label: Of jobs in a snapshot: name:value, such as customer:acme.
        """
        wanted = {"snapshot": snapshot or OMIT, "limit": limit, "status": status, "model": model, "label": label}
        call = Call("GET", "/v1/events", query=wanted)
        found = listen(self._sender, call, after=after, is_last=lambda _: False, deadline=Deadline(timeout))
        with closing(found) as events:
            for event in events:
                yield event
