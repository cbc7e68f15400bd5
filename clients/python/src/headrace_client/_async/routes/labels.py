"""`client.labels`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import LabelLimit, LabelLimitPage


class AsyncLabelsRoutes:
    """`client.labels`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def delete_limit(self, *, name: str, value: str) -> None:
        """Take a limit of a label away. `DELETE /v1/labels/limits`.

        Of exactly this value; `*` is one of them.

        Args:
            name: A label's name, such as customer.
            value: One value; `*`: each that has none of its own.
        """
        return await self._sender.ask_nothing(Call("DELETE", "/v1/labels/limits", query={"name": name, "value": value}))

    def list_limits(self, *, limit: int | Omit = OMIT) -> AsyncPager[LabelLimit, LabelLimitPage]:
        """List limits of labels. `GET /v1/labels/limits`.

        By name and value, with what each has spent this month.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/labels/limits", query={"limit": limit}), LabelLimitPage, lambda page: page.data
        )

    async def put_limit(self, *, monthly_credits: int, name: str, value: str) -> LabelLimit:
        """Limit what a label may spend. `PUT /v1/labels/limits`.

        In a month, for one value (`customer: acme`) or, with `*`, for each that has no limit of its own. What was ordered this
        month counts. An order that would pass it is 402 `label_limit_exceeded`.

        Args:
            monthly_credits: What its jobs and holds may cost in a calendar month (UTC).
            name: A label's name, such as customer.
            value: One value; `*`: each that has none of its own.
        """
        return await self._sender.ask(
            Call("PUT", "/v1/labels/limits", body={"monthly_credits": monthly_credits, "name": name, "value": value}),
            LabelLimit,
        )
