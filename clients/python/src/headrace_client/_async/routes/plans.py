"""`client.plans`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Plan, PlanPage


class AsyncPlansRoutes:
    """`client.plans`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Plan, PlanPage]:
        """List plans. `GET /v1/plans`.

        In the order in which they are offered.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/plans", query={"limit": limit}), PlanPage, lambda page: page.data)

    async def get(self, plan_id: str) -> Plan:
        """Look at a plan. `GET /v1/plans/{plan_id}`.

        One plan.
        """
        return await self._sender.ask(Call("GET", "/v1/plans/{plan_id}", at={"plan_id": plan_id}), Plan)
