"""Routes in the words of others: not in our OpenAPI document, and words of a query that nobody reads are passed over, as the
servers do whose place they take.
"""

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from uuid_utils.compat import uuid7

from api.orders.placing import see_job
from api.orders.repeatable import OrderName, PlacedOrder, place_repeatable
from api.orders.texts import text_of
from api.routes.callers import permitted
from api.routes.cursors import id_of
from api.routes.fast_routes import Handler
from api.services import services
from common.dialects.told import ToldJob
from models.access import scopes
from models.access.scopes import Caller
from models.catalogue.entries import Offer
from models.jobs.admission import Order
from models.jobs.outward import told_job
from models.jobs.reads import JobRow


class DialectRoute(APIRoute):
    """A route whose endpoint is handed the request as it came; `fast` says which scope it asks for."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **{**options, "include_in_schema": False})

    def get_route_handler(self) -> Handler:
        handler: Handler = self.endpoint
        return handler


async def order_job(
    request: Request,
    who: Caller,
    offer: Offer,
    values: dict[str, Any],
    *,
    said: dict[str, Any],
    webhook: dict[str, Any] | None = None,
    queue: str | None = None,
    priority: int = 0,
) -> PlacedOrder:
    """Order a job of a dialect: its input checked, its files made sure of, once however often it is sent. `said`: what makes two
    requests to this route the same order. The answer must be made with `answer_placed`. Raises the DomainError that refuses it.
    """

    async def wanted(name: OrderName) -> Order:
        scopes.check_model(who, offer.entry.id)
        given = await services(request.app).inputs.accept(who.account_id, offer, offer.checked(values))
        job_id = uuid7()
        return Order(
            job_id, who.account_id, offer, given, priority=priority, queue=queue, api_key_id=who.key_id,
            key_budget=who.monthly_credits, idempotency_key=name.key_of_job(job_id), body_hash=name.asked, retried=name.retried,
            webhook=webhook,
        )  # fmt: skip

    return await place_repeatable(request, who, said, wanted)


async def tell(request: Request, row: JobRow) -> ToldJob:
    """A job as dialects tell it, with its text where it is one."""
    return told_job(row, await text_of(request, row))


async def own_job(request: Request, name: str = "job_id") -> JobRow:
    """The caller's job that the path names. Raises NotFound, and as `permitted`."""
    who = await permitted(request, "read")
    return await see_job(request, id_of(request.path_params[name], "job"), who)
