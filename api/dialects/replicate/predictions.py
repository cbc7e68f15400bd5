"""Predictions: order, look at, cancel."""

import re
from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.routes import DialectRoute, order_job, own_job, tell
from api.orders.placing import cancel_own
from api.orders.repeatable import answer_placed
from api.routes.callers import permitted
from api.routes.cursors import id_of
from api.routes.fast_routes import answer, fast, read_body
from api.services import services
from common.dialects.replicate import BASE, prediction
from common.settings import settings
from models.jobs.reads import JobRow

router = APIRouter(prefix=BASE, route_class=DialectRoute)

UNSAID_WAIT = 60.0  # seconds that `Prefer: wait` means
MARGIN = 5.0  # before its library gives up


class PredictionRequest(BaseModel):
    """An order for one prediction. What else a program sends is passed over."""

    model_config = ConfigDict(extra="ignore")

    version: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)


def prefer_seconds(header: str) -> float:
    """How long an order waits for its prediction to end."""
    found = re.search(r'(?:^|[,;\s])wait(?:\s*=\s*"?(\d{1,6})"?)?', header, re.IGNORECASE)
    if not found:
        return 0.0
    asked = float(found[1]) if found[1] else UNSAID_WAIT
    return max(0.0, min(asked - 1 if asked <= MARGIN else asked - MARGIN, settings().prefer_wait_seconds))


@router.post("/models/{owner}/{name}/predictions", status_code=201)
@fast(need="generate")
async def create_prediction_of_model(request: Request) -> Response:
    """Order a prediction of a model by its name."""
    return await _ordered(request, "{owner}/{name}".format(**request.path_params))


async def _ordered(request: Request, name: str) -> Response:
    who = await permitted(request, "generate")
    order, said = await read_body(request, PredictionRequest)
    offer = services(request.app).catalogue.called(name)
    placed = await order_job(request, who, offer, order.input, said=said)
    return await answer_placed(
        request, placed, prefer_seconds(request.headers.get("prefer", "")), partial(_created, request)
    )


async def _created(request: Request, row: JobRow) -> Response:
    return answer(prediction(await tell(request, row), creating=True), 201)


@router.get("/predictions/{job_id}")
@fast(need="read")
async def get_prediction(request: Request) -> Response:
    """A prediction as it stands."""
    return answer(prediction(await tell(request, await own_job(request))))


@router.post("/predictions/{job_id}/cancel")
@fast(need="generate")
async def cancel_prediction(request: Request) -> Response:
    """Call a prediction off. One that has ended stays as it is."""
    who = await permitted(request, "generate")
    job_id = id_of(request.path_params["job_id"], "job")
    here = services(request.app)
    row = await here.wall.run(
        who.account_id, partial(here.places.ordinary.run, partial(cancel_own, job_id, who.account_id))
    )
    return answer(prediction(await tell(request, row)))
