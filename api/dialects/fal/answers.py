"""What answers of this dialect have in common: a request's id on each of them, and no redirect for a slash."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.fal.asking import AskedApp, AskedOrder
from api.dialects.routes import DialectRoute, order_job, tell
from api.orders.repeatable import PlacedOrder
from api.routes.fast_routes import Handler, answer
from api.services import services
from common.dialects.fal import LATE_TYPE, FalFailure, failure_body, failure_of, request_addresses, request_result
from models.access.scopes import Caller
from models.events import endpoints
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

ID_HEADER = "x-fal-request-id"
NOT_AGAIN = {"x-fal-request-timeout-type": "user"}  # what its libraries look for, to not send the same again


class FalRoute(DialectRoute):
    """A route whose every answer names its request. The async library follows no redirect, so a slash at the end is passed over."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + "/?$")

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def named(request: Request) -> Response:
            response = await handler(request)
            response.headers.setdefault(ID_HEADER, request.scope.get("request_id", ""))
            return response

        return named


def answer_for(job_id: UUID, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer about a job."""
    return answer(body, status, {ID_HEADER: str(job_id), **(headers or {})})


async def place_request(request: Request, who: Caller, app: AskedApp, order: AskedOrder) -> PlacedOrder:
    """Order the job that is asked for. The answer must be made with `answer_placed`. Raises the DomainError that refuses it."""
    starts = services(request.app).starts
    if order.start_seconds is not None:
        starts.check_room()
    webhook = None
    if order.webhook is not None:
        webhook = endpoints.for_job(who.account_id, order.webhook, None, dialect="fal")
    placed = await order_job(
        request, who, app.offer, order.arguments, said=order.said(), webhook=webhook, priority=order.priority
    )
    if order.start_seconds is not None and not placed.replayed:
        starts.watch(who.account_id, placed.row.id, order.start_seconds)
    return placed


async def answer_result(request: Request, row: JobRow, name: str | None = None) -> Response:
    """What a request has brought, or why it has brought nothing."""
    if is_late(request, row):
        detail = "the request had not begun within its start time-out; it was called off, and costs nothing"
        return answer_failure(row.id, FalFailure(504, detail, LATE_TYPE), NOT_AGAIN)
    job = await tell(request, row)
    if not job.has_ended:
        unfinished = FalFailure(400, "the request is still in progress", "request_in_progress")
        body = {**failure_body(unfinished, str(row.id)), **request_addresses(job, name)}
        return answer_for(row.id, body, unfinished.status)
    failed = failure_of(job)
    return answer_for(row.id, request_result(job)) if failed is None else answer_failure(row.id, failed)


def answer_failure(job_id: UUID, failed: FalFailure, headers: dict[str, str] | None = None) -> Response:
    """The answer in the place of a result."""
    more = {"x-fal-error-type": failed.error_type, **(headers or {})}
    return answer_for(job_id, failure_body(failed, str(job_id)), failed.status, more)


def is_late(request: Request, row: JobRow) -> bool:
    """Whether a job was called off since it had not begun in time."""
    return row.ended == JobEnd.CANCELED and services(request.app).starts.is_late(row.id)
