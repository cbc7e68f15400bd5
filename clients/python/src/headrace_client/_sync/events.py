"""`client.events`: all that happens in the account."""

from collections.abc import Iterator
from contextlib import closing

from headrace_client import models
from headrace_client._calls import Call
from headrace_client._retries import Deadline
from headrace_client._sync.routes.events import EventsRoutes
from headrace_client._sync.streams import listen


class Events(EventsRoutes):
    """Events of the account."""

    def stream(self, *, after: int | None = None, timeout: float | None = None) -> Iterator[models.Event]:
        """All that happens in the account, as it happens, over cuts and restarts of the server. `GET /v1/events`.

            for event in client.events.stream():
                if event.type == "credits.low":
                    warn(event.data["available"])

        It begins with `balance`. `reset` says that what you missed is not kept any more: look at everything anew.

        Args:
            after: The number of the last event that you know: what was missed comes first, and no `balance`.
            timeout: Stop after so many seconds.
        """
        call = Call("GET", "/v1/events")
        found = listen(self._sender, call, after=after, is_last=lambda _: False, deadline=Deadline(timeout))
        with closing(found) as events:
            for event in events:
                yield event
