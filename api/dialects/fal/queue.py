"""Requests of the queue: submit, status, result, cancel. Under the addresses of `run` too, where a library that is older than
`FAL_QUEUE_RUN_HOST` looks for them, on a host that begins with `queue.`.
"""

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.fal.answers import FalRoute, answer_for, answer_result, is_late, place_request
from api.dialects.fal.asking import find_app, read_order, wants_logs
from api.dialects.fal.streams import StatusStream
from api.dialects.routes import own_job
from api.orders.placing import cancel_own, see_job
from api.orders.repeatable import answer_placed
from api.routes.callers import permitted, polling
from api.routes.cursors import id_of
from api.routes.fast_routes import Handler, fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.fal import FAL, LATE_TYPE, request_addresses, request_status
from common.errors import UnknownModel
from models.access.scopes import Caller
from models.jobs.outward import told_job
from models.jobs.reads import JobRow

router = PrefixRouter(prefix=FAL, route_class=FalRoute)

ROOTS = ("queue", "run")


def asked(method: str, path: str = "") -> Callable[[Handler], Handler]:
    """An endpoint about one request, under both addresses."""

    def mark(endpoint: Handler) -> Handler:
        for root in ROOTS:
            router.add_api_route(f"/{root}/{{app:path}}/requests/{{job_id}}{path}", endpoint, methods=[method])
        return endpoint

    return mark


# The first of these routes, since it is asked the most and is held against the path before the others.
@router.post("/queue/{app:path}")
@fast(need="generate")
async def create_fal_request(request: Request) -> Response:
    """Order a job of an app."""
    return await submit_request(request, await permitted(request, "generate"))


async def submit_request(request: Request, who: Caller) -> Response:
    """Order a job, and answer with where it is looked at. Raises the DomainError that refuses it."""
    app = find_app(services(request.app).catalogue, request.path_params["app"])
    order = await read_order(request, queued=True)
    placed = await place_request(request, who, app, order)
    return await answer_placed(request, placed, 0, partial(_submitted, app.name))


async def _submitted(name: str, row: JobRow) -> Response:
    job = told_job(row)
    place = {"queue_position": max(0, job.position or 0)} if job.status == "queued" else {}
    return answer_for(row.id, {"status": "IN_QUEUE", **place, **request_addresses(job, name)})


@router.post("/queue")
@router.post("/run")
@fast(need="generate")
async def refuse_nameless(request: Request) -> Response:
    """An order that names no app."""
    await permitted(request, "generate")
    raise UnknownModel("there is no app without a name; its address ends with owner/alias", param="app")


async def _own_request(request: Request) -> JobRow:
    """The caller's job that the path names, from memory where it was read just now. Raises NotFound, JobForgotten, and as `polling`."""
    who = await polling(request, "read")
    here = services(request.app)
    job_id = id_of(request.path_params["job_id"], "request")
    row = await here.polls.look(job_id)
    if row is None or row.account_id != who.account_id:
        await here.rates.count_request(request, who)  # who tries ids out spends what the key may ask
        return await see_job(request, job_id, who)
    return row


@asked("GET", "/status")
@fast(need="read")
async def get_fal_status(request: Request) -> Response:
    """How a request stands. Asked ten times in a second."""
    row = await _own_request(request)
    status = _status(request, row)
    return answer_for(row.id, status, 200 if status["status"] == "COMPLETED" else 202)


def _status(request: Request, row: JobRow) -> dict[str, object]:
    job = told_job(row)
    if job.files and job.kind == "text":  # which is not read for its status: that it is there is known by its file
        job = job._replace(text="")
    found = request_status(job, request.path_params["app"], with_logs=wants_logs(request))
    return {**found, "error_type": LATE_TYPE} if is_late(request, row) else found


@asked("GET", "/status/stream")
@fast(need="read")
async def stream_fal_status(request: Request) -> Response:
    """How a request stands, whenever that changes, until it is over."""
    wants_logs(request)
    row = await _own_request(request)
    return await StatusStream.opened(request, row, partial(_status, request))


@asked("GET", "/response")
@asked("GET")
@fast(need="read")
async def get_fal_result(request: Request) -> Response:
    """What a request has brought."""
    return await answer_result(request, await own_job(request), request.path_params["app"])


@asked("PUT", "/cancel")
@fast(need="generate")
async def cancel_fal_request(request: Request) -> Response:
    """Call a request off. Raises NotCancelable where it has ended."""
    who = await permitted(request, "generate")
    job_id = id_of(request.path_params["job_id"], "request")
    here = services(request.app)
    work = partial(here.places.ordinary.run, partial(cancel_own, job_id, who.account_id))
    await here.wall.run(who.account_id, work)
    here.polls.forget(job_id)
    return answer_for(job_id, {"status": "CANCELLATION_REQUESTED"}, 202)
