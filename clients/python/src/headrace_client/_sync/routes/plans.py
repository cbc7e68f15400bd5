"""`client.plans`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Plan, PlanPage


class PlansRoutes:
    """`client.plans`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[Plan, PlanPage]:
        """List plans. `GET /v1/plans`.

        In the order in which they are offered.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/plans", query={"limit": limit}), PlanPage, lambda page: page.data)

    def get(self, plan_id: str) -> Plan:
        """Look at a plan. `GET /v1/plans/{plan_id}`.

        One plan.
        """
        return self._sender.ask(Call("GET", "/v1/plans/{plan_id}", at={"plan_id": plan_id}), Plan)
