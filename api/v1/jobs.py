"""/v1/jobs: order, look at, list, cancel, order again."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.live.prefer_wait import wait_for_end
from api.orders.placing import cancel_own, place_order, see_job
from api.orders.told import job_view
from api.routes.callers import needs, permitted
from api.routes.cursors import PathId, WantedPage, id_of
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.labels import WantedLabel, label_wanted
from api.routes.once import KeyHeader, key_of
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.services import services
from api.v1.jobs_shapes import JobPage, JobRequest, JobView, Status
from api.v1.snapshots import JOBS, JobsShown, job_page, model_wanted
from common.errors import Forbidden, InvalidInput, JobNotEnded
from models.access import scopes
from models.access.scopes import Caller
from models.db import transaction
from models.events import endpoints
from models.fleet.replicas import caught_up
from models.jobs import reads
from models.jobs.admission import Order, body_hash

fast_router = PrefixRouter(prefix="/v1/jobs", tags=["jobs"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/jobs", tags=["jobs"], route_class=WalledRoute)


@fast_router.post("", status_code=201, response_model=JobView, summary="Order a job")
@fast(need="generate", body=JobRequest, idempotency_key=(KeyHeader, None))
async def create_job(request: Request) -> Response:
    """Checks the input, reserves the credits and queues the job. With an `Idempotency-Key` the same request, sent again
    within 24 hours, answers with the same job (and `Idempotent-Replayed: true`); another request with it is refused.
    """
    who, here = await permitted(request, "generate"), services(request.app)
    order, body = await read_body(request, JobRequest)
    key = key_of(request)
    asked = body_hash(body) if key else b""

    async def wanted() -> Order:
        scopes.check_model(who, order.model)
        offer = here.catalogue.named(order.model)
        values = await here.inputs.accept(who.account_id, offer, offer.checked(order.input))
        return Order(
            uuid7(), who.account_id, offer, values, priority=order.priority, queue=order.queue, api_key_id=who.key_id,
            key_budget=who.monthly_credits, idempotency_key=key, body_hash=asked, webhook=webhook_of(who, order),
            labels=order.labels, token_id=who.reach and who.reach.token_id,
        )  # fmt: skip

    return await _ordered(request, who, key, asked, wanted)


def webhook_of(who: Caller, order: JobRequest) -> dict[str, Any] | None:
    """The address that an order brings, checked. Raises InvalidInput, and Forbidden for a token's."""
    if order.webhook is None:
        if order.webhook_events is not None:
            raise InvalidInput("webhook_events needs a webhook to send them to", param="webhook_events")
        return None
    if who.reach is not None:
        raise Forbidden(f"{who.reach.in_words()}; its orders bring no webhook", param="webhook")
    return endpoints.for_job(who.account_id, order.webhook, order.webhook_events)


async def _ordered(
    request: Request, who: Caller, key: str | None, asked: bytes, wanted: Callable[[], Awaitable[Order]]
) -> Response:
    row, replayed = await place_order(request, who, key, asked, wanted)
    headers = {"location": f"/v1/jobs/{row.id}"} | ({"idempotent-replayed": "true"} if replayed else {})
    row, applied = await wait_for_end(request, row, services(request.app).live, services(request.app).jobs)
    return answer(job_view(row), 201, headers | applied)


@fast_router.get("/{job_id}", response_model=JobView, summary="Look at a job")
@fast(need="read", job_id=PathId)
async def get_job(request: Request) -> Response:
    """The job's status, where it stands while it waits, and its results once it has succeeded."""
    who = await permitted(request, "read")
    job_id = id_of(request.path_params["job_id"], "job")
    row = await see_job(request, job_id, who)
    row, headers = await wait_for_end(request, row, services(request.app).live, services(request.app).jobs)
    return answer(job_view(row), headers=headers)


@router.get("", response_model=JobPage, summary="List jobs")
def list_jobs(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[UUID], Depends(JOBS.wanted)],
    status: Annotated[Status | None, Query()] = None,
    model: Annotated[str | None, Query(max_length=100)] = None,
    label: WantedLabel = None,
) -> Response:
    """Your own jobs, newest first."""
    chosen = JobsShown(status, model_wanted(who.reach, model), label_wanted(label))
    with caught_up() as conn:
        return answer(job_page(conn, who.account_id, wanted, chosen))


@router.post("/{job_id}/cancel", response_model=JobView, summary="Cancel a job")
def cancel_job(job_id: PathId, who: Annotated[Caller, Depends(needs("generate"))]) -> Response:
    """A job that has not started is canceled and refunded at once. A running one is asked to stop: `cancel_requested`
    is true until it has, and its model decides whether it is refunded.
    """
    return answer(job_view(cancel_own(id_of(job_id, "job"), who.account_id, who.reach)))


def _webhook_again(account_id: UUID, job_id: UUID) -> dict[str, Any] | None:
    """The address that a job brought, for the job that is ordered in its place."""
    with transaction() as conn:
        kept = reads.webhook(conn, job_id)
    return endpoints.for_job_again(account_id, kept)


@fast_router.post("/{job_id}/retry", status_code=201, response_model=JobView, summary="Order an ended job again")
@fast(need="generate", job_id=PathId, idempotency_key=(KeyHeader, None))
async def retry_job(request: Request) -> Response:
    """A new job with the same input, labels, queue and webhook, at today's price and without a priority; `retry_of` names the old one, which stays as it ended. With an
    `Idempotency-Key` it is ordered once, as with `POST /v1/jobs`.
    """
    who, here = await permitted(request, "generate"), services(request.app)
    job_id = id_of(request.path_params["job_id"], "job")
    key = key_of(request)
    asked = body_hash({"retry_of": str(job_id)}) if key else b""

    async def wanted() -> Order:
        row = await see_job(request, job_id, who)
        if row.ended is None:
            raise JobNotEnded("only a job that has ended can be ordered again", param="id")
        scopes.check_model(who, row.model_id)
        offer = here.catalogue.named(row.model_id)
        values = await here.inputs.accept(who.account_id, offer, offer.checked(row.given()))
        return Order(
            uuid7(), who.account_id, offer, values, queue=row.queue, api_key_id=who.key_id,
            key_budget=who.monthly_credits, idempotency_key=key, body_hash=asked, retry_of=job_id,
            labels=row.labels, webhook=await here.places.ordinary.run(partial(_webhook_again, who.account_id, job_id)),
        )  # fmt: skip

    return await _ordered(request, who, key, asked, wanted)


def examples() -> dict[str, Any]:
    """A job as the OpenAPI document shows it."""
    job_id = "01a1fd03-f4e4-7365-bf9d-4827335166ca"
    return {
        "id": job_id, "status": "succeeded", "model": "sketch-image",
        "input": {"prompt": "a harbour at dawn", "width": 768, "height": 768, "seed": 7, "count": 1, "format": "png"},
        "input_erased_at": None, "queue": "interactive", "retry_of": None, "labels": {"customer": "acme"}, "credits": {"reserved": 1, "charged": 1}, "progress": 100,
        "waiting": None, "cancel_requested": False, "attempts": 1, "error": None,
        "outputs": [
            {
                "id": "01a1fd04-0a12-7c55-9b1f-3d0a5c2e7f10", "url": "https://api.example.com/files/AaH9BAoSfFWbHz0KXC5_EA",
                "thumbnail_url": "https://api.example.com/files/AaH9BAoSfFWbHz0KXC5_EA?thumbnail=1",
                "media_type": "image/png", "size_bytes": 823144, "sha256": "9f86d081884c7d65" * 4, "width": 768,
                "height": 768, "duration_seconds": None, "status": "stored", "kept": False, "expires_at": "2026-11-22T07:30:58Z",
            }
        ],
        "created_at": "2026-11-21T07:30:57Z", "started_at": "2026-11-21T07:30:57Z", "ended_at": "2026-11-21T07:30:58Z",
    }  # fmt: skip
