"""Predictions: order, look at, list, cancel."""

import re
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.replicate.hooks import HookEvent, hook_of
from api.dialects.replicate.models import paged
from api.dialects.replicate.versions import offer_meant
from api.dialects.routes import DialectRoute, order_job, own_job, tell
from api.orders.placing import cancel_own, see_job
from api.orders.repeatable import answer_placed
from api.orders.texts import MOST_BYTES, text_of
from api.routes.callers import permitted
from api.routes.cursors import Listing, id_of
from api.routes.fast_routes import answer, fast, read_body
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.replicate import BASE, prediction
from common.errors import InvalidInput, InvalidParameter, NotCancelable, NotFound, Unavailable
from common.settings import settings
from models.access.scopes import Caller
from models.catalogue.entries import Offer
from models.fleet.replicas import caught_up
from models.jobs import reads
from models.jobs.outward import told_job
from models.jobs.reads import JobRow

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

UNSAID_WAIT = 60.0  # seconds that `Prefer: wait` means
LONGEST_WAIT = 55.0  # its library gives up half a second after a minute
MARGIN = 1.0  # before its library gives up
SHORTEST_LIFE, LONGEST_LIFE = 5, 86_400  # seconds of `cancel_after`
PREDICTIONS = Listing("predictions", UUID, usual=100)


class PredictionRequest(BaseModel):
    """An order for one prediction. What else a program sends is passed over, as there: `stream` is not needed, since whatever can be
    streamed can be.
    """

    model_config = ConfigDict(extra="ignore")

    version: Annotated[str | None, Field(min_length=1, max_length=300)] = None
    input: dict[str, Any] | None = None
    webhook: str | None = None
    webhook_completed: str | None = None
    webhook_events_filter: Annotated[list[HookEvent] | None, Field(max_length=8)] = None
    cancel_after: Annotated[str | None, Field(max_length=100)] = None


def prefer_seconds(header: str) -> float:
    """How long an order waits for its prediction to end."""
    found = re.search(r'(?:^|[,;\s])wait(?:\s*=\s*"?(\d{1,6})"?)?(?=$|[,;\s])', header, re.IGNORECASE)
    if not found:
        return 0.0
    asked = float(found[1]) if found[1] else UNSAID_WAIT
    return max(0.0, min(asked - MARGIN, LONGEST_WAIT, settings().prefer_wait_seconds))


def lifetime_of(given: str | None) -> float | None:
    """Seconds after which a prediction is to be canceled: `90s`, `1h30m`, `90`. Raises InvalidInput."""
    if given is None:
        return None
    found = re.fullmatch(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?", given.strip(), re.ASCII)
    seconds = (
        sum(int(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if not SHORTEST_LIFE <= seconds <= LONGEST_LIFE:
        raise InvalidInput("cancel_after must be a time from 5s to 24h, such as 90s or 1h30m", param="cancel_after")
    return float(seconds)


def _stop(account_id: UUID, job_id: UUID) -> bool:
    with suppress(NotCancelable, NotFound):  # it has ended
        cancel_own(job_id, account_id)
    return False


@router.post("/predictions", status_code=201)
@fast(need="generate")
async def create_prediction(request: Request) -> Response:
    """Order a prediction of a version, or of the model that `version` names."""
    who = await permitted(request, "generate")
    order, said = await read_body(request, PredictionRequest)
    if order.version is None:
        raise InvalidInput("version is required: a version's id, owner/name, or owner/name:id", param="version")
    return await _ordered(request, who, offer_meant(services(request.app).catalogue, order.version), order, said)


@router.post("/models/{owner}/{name}/predictions", status_code=201)
@fast(need="generate")
async def create_prediction_of_model(request: Request) -> Response:
    """Order a prediction of a model by its name."""
    return await _of_name(request)


@router.post("/deployments/{owner}/{name}/predictions", status_code=201)
@fast(need="generate")
async def create_prediction_of_deployment(request: Request) -> Response:
    """The same: a deployment is a model by its name."""
    return await _of_name(request)


async def _of_name(request: Request) -> Response:
    who = await permitted(request, "generate")
    order, said = await read_body(request, PredictionRequest)
    offer = services(request.app).catalogue.called("{owner}/{name}".format(**request.path_params))
    return await _ordered(request, who, offer, order, said)


async def _ordered(
    request: Request, who: Caller, offer: Offer, order: PredictionRequest, said: dict[str, Any]
) -> Response:
    webhook = hook_of(who.account_id, order.webhook, order.webhook_events_filter, order.webhook_completed)
    lifetime = lifetime_of(
        order.cancel_after if order.cancel_after is not None else request.headers.get("cancel-after")
    )
    starts = services(request.app).starts
    if lifetime is not None:
        starts.check_room()
    placed = await order_job(request, who, offer, order.input or {}, said=said, webhook=webhook)
    if lifetime is not None and not placed.row.ended:
        starts.watch(who.account_id, placed.row.id, lifetime, _stop)
    seconds = prefer_seconds(",".join(request.headers.getlist("prefer")))
    return await answer_placed(request, placed, seconds, partial(_created, request))


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
    job_id = id_of(request.path_params["job_id"], "prediction")
    here = services(request.app)
    with suppress(NotCancelable):
        row = await here.wall.run(
            who.account_id, partial(here.places.ordinary.run, partial(cancel_own, job_id, who.account_id))
        )
        return answer(prediction(await tell(request, row)))
    return answer(prediction(await tell(request, await see_job(request, job_id, who))))


@router.get("/predictions")
@fast(need="read")
async def list_predictions(request: Request) -> Response:
    """An account's predictions, newest first. Of long texts only what fits in a page is read."""
    who, here = await permitted(request, "read"), services(request.app)
    wanted = PREDICTIONS.wanted_by(request)
    since, before = _moment(request, "created_after"), _moment(request, "created_before")
    first = wanted.after if before is None else min(filter(None, (wanted.after, _id_at(before))))
    rows = await here.wall.run(
        who.account_id, partial(here.places.ordinary.run, partial(_page, who.account_id, first, wanted.reads)),
        locks=False,
    )  # fmt: skip
    rows = [row for row in rows if since is None or row.created_at > since]
    page = PREDICTIONS.page(rows, wanted, lambda row: row.id, lambda row: row)
    return answer(paged(request, await _with_texts(request, page["data"]), page["next"]))


def _page(account_id: UUID, before: UUID | None, limit: int) -> list[JobRow]:
    with caught_up() as conn:
        return reads.list_jobs(conn, account_id, before=before, limit=limit)


def _moment(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1970 < found.year < 9000:
        raise InvalidParameter(f"{name} must be a time with its zone, such as 2026-11-28T12:00:00Z", param=name)
    return found


def _id_at(moment: datetime) -> UUID:
    """The first id that may be given out at a time."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


async def _with_texts(request: Request, rows: list[JobRow]) -> list[dict[str, Any]]:
    found, left = [], MOST_BYTES
    for row in rows:
        size = sum(asset["size_bytes"] for asset in row.assets) if row.kind == "text" else 0
        text = None
        if 0 < size <= left:
            left -= size
            with suppress(Unavailable):  # the rest of the page can be told
                text = await text_of(request, row)
        found.append(prediction(told_job(row, text)))
    return found
