"""/v1/batches: up to 10,000 jobs ordered in one call, looked at, fetched and canceled together."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from typing import IO, Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Query
from psycopg import Connection
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.edge.problems import first_of
from api.intake.receiving import room_on_disk
from api.orders.batched import with_files
from api.routes.callers import needs, permitted
from api.routes.cursors import Listing, PathId, WantedPage, id_of
from api.routes.fast_routes import FastRoute, answer, fast
from api.routes.once import KeyHeader, Made, asked, key_of, made_answer, make_once
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.services import Services, services
from api.v1.batch_orders import BatchedOrder, Desk, check_lines
from api.v1.batches_shapes import (
    BatchOptions,
    BatchPage,
    BatchResult,
    BatchView,
    OrderedBatchView,
    ResultOptions,
    batch_view,
    new_view,
    result_view,
)
from common.errors import InvalidParameter, InvalidRequest
from common.faultpoints import reached
from common.scratch import scratch_file
from common.settings import settings
from common.spooling import Spooled, Spooler
from models.access.scopes import Caller
from models.db import certain, transaction
from models.fleet.replicas import caught_up
from models.jobs import answered, batch_rows, batches
from models.jobs.batch_rows import MAX_LINES, MAX_RUNNING
from models.jobs.batches import Line
from models.jobs.dispatch import Ring
from workers.doorbell import ring

fast_router = PrefixRouter(prefix="/v1/batches", tags=["jobs"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/batches", tags=["jobs"], route_class=WalledRoute)

BATCHES = Listing("batches", UUID)
LOCATION = "/v1/batches/{id}"
LINES_AT_ONCE = 200  # of results, read and sent
WRITTEN_BYTES = 256 * 1024  # of a body, put on disk at once
MEDIA_TYPE = "application/x-ndjson"
BODY = {
    "requestBody": {
        "required": True,
        "content": {MEDIA_TYPE: {"schema": BatchedOrder.model_json_schema()}},  # of each line
    }
}
_Options = TypeVar("_Options", bound=BaseModel)


class Lines(StreamingResponse):
    """JSON Lines, as they are read."""

    media_type = MEDIA_TYPE


@fast_router.post("", status_code=201, response_model=OrderedBatchView, summary="Order a batch", openapi_extra=BODY)
@fast(
    need="generate",
    accept=(
        Annotated[Literal["all", "valid"], Query(description="All lines or none, or those that can be ordered.")],
        "all",
    ),
    max_running=(
        Annotated[int | None, Query(ge=1, le=MAX_RUNNING, description="At most so many of its jobs at a time.")],
        None,
    ),
    idempotency_key=(KeyHeader, None),
)
async def create_batch(request: Request) -> Response:
    """JSON Lines, up to 10,000, each an order as `POST /v1/jobs` takes it and a `custom_id` of your own. They go to the queue `batch`
    and stand behind all other jobs of the account. `accept=valid` leaves lines out that cannot be ordered; otherwise one refuses
    them all, and the answer (422 `batch_refused`) says which. With an `Idempotency-Key` the same request again has the same answer.
    """
    who, here = await permitted(request, "generate"), services(request.app)
    wanted = _options(request, BatchOptions)
    key = key_of(request)
    said = request.headers.get("content-length", "")
    size = int(said) if said.isdecimal() else settings().max_batch_bytes
    async with here.rooms.of_data(who.account_id, size, settings().decode_wait_seconds):
        with ExitStack() as stack:
            with room_on_disk():
                body = stack.enter_context(scratch_file())
            digest = (await _received(request, here, body)).sha256.hex()
            asked_for = asked(request, {**wanted.model_dump(), "sha256": digest})
            made = await _ordered(here, who, wanted, key, asked_for, body)
    return made_answer(made.body, status=201, location=LOCATION, replayed=made.replayed)


def _options(request: Request, shape: type[_Options]) -> _Options:
    """What the address says. Raises InvalidParameter."""
    try:
        return shape.model_validate(dict(request.query_params))
    except ValidationError as error:
        place, detail = first_of(error.errors(include_url=False))
        raise InvalidParameter(detail, param=place) from None


async def _received(request: Request, here: Services, file: IO[bytes]) -> Spooled:
    """Put the body on disk as it comes, however slowly that is. Raises BodyTooLarge, Unavailable for a full disk."""
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise InvalidRequest(f"send the lines as they are, as {MEDIA_TYPE}, and not as a form", param="body")
    spooler, parts, waiting = Spooler(file), list[bytes](), 0

    async def write() -> None:
        with room_on_disk():
            await here.places.uploads.run(partial(spooler.write, b"".join(parts)))

    async for chunk in request.stream():
        parts.append(chunk)
        waiting += len(chunk)
        if waiting >= WRITTEN_BYTES:
            await write()
            parts, waiting = [], 0
    await write()
    return spooler.done()


async def _ordered(
    here: Services, who: Caller, wanted: BatchOptions, key: str | None, asked_for: bytes, body: IO[bytes]
) -> Made:
    """Check the lines, and order them. Few batches are in memory at a time; the others wait on disk."""
    async with here.places.batches.turn() as turn:
        if key is not None:
            earlier = await turn.run(partial(_earlier, who.account_id, key, asked_for))
            if earlier is not None:  # whatever is gone of what it names: it was accepted
                return Made(earlier, replayed=True)
        desk = Desk(who, here.catalogue, settings().max_body_bytes)
        lines = await turn.run(partial(check_lines, desk, body))
        lines = await with_files(here.inputs, who.account_id, lines)
        work = partial(_place, who, key, asked_for, lines, wanted)
        return await here.wall.run(who.account_id, partial(turn.run, work))


def _earlier(account_id: UUID, key: str, asked_for: bytes) -> dict[str, Any] | None:
    with transaction() as conn:
        return answered.find(conn, account_id, key, asked_for)


def _place(who: Caller, key: str | None, asked_for: bytes, lines: list[Line], wanted: BatchOptions) -> Made:
    rings = list[Ring]()

    def work(conn: Connection[Any]) -> dict[str, Any]:
        placed = batches.place(
            conn, who.account_id, lines, all_or_none=wanted.accept == "all", max_running=wanted.max_running
        )
        rings.extend(placed.rings)
        reached("batch:placed")
        return {**new_view(placed.row), "refusals": batches.refusals(lines, placed.refused)}

    made = make_once(who, key, asked_for, work)
    reached("batch:committed")
    ring(rings)
    return made


@router.get("", response_model=BatchPage, summary="List batches")
def list_batches(
    who: Annotated[Caller, Depends(needs("read"))], wanted: Annotated[WantedPage[UUID], Depends(BATCHES.wanted)]
) -> Response:
    """Your own, newest first."""
    with caught_up() as conn:
        rows = batch_rows.list_batches(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    return answer(BATCHES.page(rows, wanted, lambda row: row.id, batch_view))


@router.get("/{batch_id}", response_model=BatchView, summary="Look at a batch")
def get_batch(batch_id: PathId, who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """How far it has come, and what it has cost so far."""
    with transaction() as conn:
        return answer(batch_view(batch_rows.find(conn, who.account_id, id_of(batch_id, "batch"))))


@router.post("/{batch_id}/cancel", response_model=BatchView, summary="Cancel a batch")
def cancel_batch(batch_id: PathId, who: Annotated[Caller, Depends(needs("generate"))]) -> Response:
    """No other of its jobs begins from now on; all that have not are canceled and refunded, a hundred at once and the others within
    seconds. Those that run are asked to stop, as with one job. Again, it changes nothing.
    """
    wanted = id_of(batch_id, "batch")
    with certain() as conn:
        rings = batches.request_cancel(conn, who.account_id, wanted)
        row = batch_rows.find(conn, who.account_id, wanted)  # here, since nothing may fail after the commit
    ring(rings)
    return answer(batch_view(row))


@fast_router.get(
    "/{batch_id}/results",
    summary="Fetch a batch's results",
    response_model=BatchResult,
    response_class=Lines,
    response_description="One a line.",
)
@fast(
    need="read",
    batch_id=PathId,
    after=(Annotated[int, Query(ge=0, le=MAX_LINES, description="Only what follows this line: go on where a download broke off.")], 0),
    all=(Annotated[bool, Query(description="Those that have not ended as well.")], False),
)  # fmt: skip
async def get_results(request: Request) -> Response:
    """JSON Lines in the order of the batch's own: what has ended, and what was refused. A download that breaks off goes on with `after`,
    the last `number` that was read. While the batch runs, lines before it may end later.
    """
    who, here = await permitted(request, "read"), services(request.app)
    batch_id = id_of(request.path_params["batch_id"], "batch")
    wanted = _options(request, ResultOptions)
    first = await here.places.ordinary.run(partial(_first_page, who.account_id, batch_id, wanted))
    return Lines(_results(here, batch_id, wanted, first))


_Page = tuple[bytes, int | None]  # lines as they are sent, and where to go on; None: there are no more


def _first_page(account_id: UUID, batch_id: UUID, wanted: ResultOptions) -> _Page:
    with transaction() as conn:
        batch_rows.check(conn, account_id, batch_id)
    return _page(batch_id, wanted.after, wanted)


def _page(batch_id: UUID, after: int, wanted: ResultOptions) -> _Page:
    with transaction() as conn:
        rows = batch_rows.lines_after(conn, batch_id, after, LINES_AT_ONCE)
    shown = [orjson.dumps(result_view(row)) + b"\n" for row in rows if wanted.all or row.is_over]
    return b"".join(shown), rows[-1].number if len(rows) == LINES_AT_ONCE else None


async def _results(here: Services, batch_id: UUID, wanted: ResultOptions, page: _Page) -> AsyncIterator[bytes]:
    """Page by page, as fast as they are read: between two of them neither a thread nor a connection is held."""
    while True:
        text, after = page
        if text:
            yield text
        if after is None:
            return
        page = await here.places.ordinary.run(partial(_page, batch_id, after, wanted))
