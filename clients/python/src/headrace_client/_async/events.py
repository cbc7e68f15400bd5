"""`client.events`: all that happens in the account."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from headrace_client import models
from headrace_client._async.routes.events import AsyncEventsRoutes
from headrace_client._async.streams import listen
from headrace_client._calls import Call
from headrace_client._retries import Deadline


class AsyncEvents(AsyncEventsRoutes):
    """Events of the account."""

    async def stream(self, *, after: int | None = None, timeout: float | None = None) -> AsyncIterator[models.Event]:
        """All that happens in the account, as it happens, over cuts and restarts of the server. `GET /v1/events`.

            async for event in client.events.stream():
                if event.type == "credits.low":
                    warn(event.data["available"])

        It begins with `balance`. `reset` says that what you missed is not kept any more: look at everything anew.

        Args:
            after: The number of the last event that you know: what was missed comes first, and no `balance`.
            timeout: Stop after so many seconds.
        """
        call = Call("GET", "/v1/events")
        found = listen(self._sender, call, after=after, is_last=lambda _: False, deadline=Deadline(timeout))
        async with aclosing(found) as events:
            async for event in events:
                yield event
