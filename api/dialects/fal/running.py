"""`run` and `stream`: requests that are answered with what they bring.

Whoever runs waits as long as a proxy lets them (PREFER_WAIT_SECONDS). A job that takes longer goes on, and its order is answered
429, which both libraries take for a reason to send it again: the same order then waits on for the same job.
"""

from functools import partial
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.fal.answers import FalRoute, answer_for, answer_result, place_request
from api.dialects.fal.asking import STREAM, AskedApp, find_app, read_order
from api.dialects.fal.queue import submit_request
from api.dialects.fal.streams import ResultStream
from api.orders.repeatable import PlacedOrder, answer_placed
from api.routes.callers import permitted
from api.routes.fast_routes import fast
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.fal import FAL, FalFailure, failure_body, request_addresses
from common.settings import settings
from models.jobs.outward import told_job
from models.jobs.reads import JobRow

router = PrefixRouter(prefix=FAL, route_class=FalRoute)

QUEUE_HOST = "queue."  # before ours: where a library asks that knows no other address for the queue


@router.post("/run/{app:path}")
@fast(need="generate")
async def run_fal_app(request: Request) -> Response:
    """Order a job of an app, and wait for what it brings; under `…/stream`, as events."""
    who = await permitted(request, "generate")
    if request.headers.get("host", "").lower() == QUEUE_HOST + urlsplit(settings().public_url).netloc:
        return await submit_request(request, who)
    app = find_app(services(request.app).catalogue, request.path_params["app"])
    order = await read_order(request, queued=False)
    placed = await place_request(request, who, app, order)
    if app.path.rpartition("/")[2] == STREAM:
        return await answer_placed(request, placed, 0, partial(ResultStream.opened, request))
    return await answer_placed(request, placed, settings().prefer_wait_seconds, partial(_ran, request, app, placed))


async def _ran(request: Request, app: AskedApp, placed: PlacedOrder, row: JobRow) -> Response:
    if row.ended:
        return await answer_result(request, row, app.name)
    if placed.flight is not None:
        placed.flight.lose()  # its client knows nothing of the job yet: the same order, sent again, is this one
    detail = "the request is still in progress; send it again to wait on for the same one, or look at its response_url"
    failed = FalFailure(429, detail, "request_in_progress")
    body = {**failure_body(failed, str(row.id)), **request_addresses(told_job(row), app.name)}
    return answer_for(row.id, body, failed.status, {"retry-after": "1", "x-fal-error-type": failed.error_type})
