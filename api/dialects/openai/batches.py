"""Batches: a file of requests, ordered through the queue for batches, looked at, listed, called off."""

from functools import partial
from typing import IO, Any
from uuid import UUID

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.openai.batch_lines import ENDPOINTS, BatchDesk, check_requests
from api.dialects.openai.batch_results import LINES_TYPE, BatchOutput, find_batch
from api.dialects.openai.ordering import job_of_name, read_json
from api.dialects.openai.pages import after_id_of, page_of, wanted_page
from api.dialects.routes import DialectRoute
from api.intake.receiving import room_on_disk
from api.intake.repeats import is_retried
from api.orders.batched import with_files
from api.routes.callers import permitted
from api.routes.fast_routes import answer, fast
from api.routes.once import Made, asked, key_of, made_answer, make_once
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.openai import BASE, name_of_job, seconds_of
from common.errors import InvalidInput, InvalidRequest, NotFound, Unavailable
from common.scratch import scratch_file
from common.settings import settings
from models.access.scopes import Caller
from models.db import certain, transaction
from models.files import uploads
from models.jobs import batch_rows, batches
from models.jobs.batch_rows import COUNTED, BatchRow
from models.jobs.batches import Line
from models.jobs.dispatch import Ring
from storage.s3 import StorageError, storage
from workers.doorbell import ring

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

WINDOW = "24h"
DAY = 86_400
MAX_METADATA, MAX_KEY, MAX_VALUE = 16, 64, 512  # pairs and characters, as OpenAI has them


def batch_shape(row: BatchRow) -> dict[str, Any]:
    """A batch as this dialect shows it."""
    said, counts = row.said or {}, row.counts or dict.fromkeys(COUNTED, 0)
    failed = counts["failed"] + counts["canceled"] + row.orders - row.accepted
    canceled, ended = row.cancel_requested_at, row.ended_at
    status = ("cancelled" if ended else "cancelling") if canceled else ("completed" if ended else "in_progress")
    created = seconds_of(row.created_at) or 0
    return {
        "id": name_of_job("batch", row.id), "object": "batch", "endpoint": said.get("endpoint"), "errors": None,
        "input_file_id": said.get("input_file_id"), "completion_window": WINDOW, "status": status,
        "output_file_id": BatchOutput(row.id, errors=False).name if ended and counts["succeeded"] else None,
        "error_file_id": BatchOutput(row.id, errors=True).name if ended and failed else None,
        "created_at": created, "in_progress_at": created, "expires_at": created + DAY,
        "finalizing_at": seconds_of(ended), "completed_at": None if canceled else seconds_of(ended), "failed_at": None,
        "expired_at": None, "cancelling_at": seconds_of(canceled), "cancelled_at": seconds_of(ended) if canceled else None,
        "request_counts": {"total": row.orders, "completed": counts["succeeded"], "failed": failed},
        "metadata": said.get("metadata"),
    }  # fmt: skip


@router.post("/batches")
@fast(need="generate")
async def create_openai_batch(request: Request) -> Response:
    """Order all lines of a file that can be ordered; the others stand in the file of errors. A line that is no request at all, or a
    name that two have, refuses the whole at once.
    """
    who, here = await permitted(request, "generate"), services(request.app)
    body = await read_json(request)
    said, key = _said(body), key_of(request)
    size = settings().max_batch_bytes
    async with here.rooms.of_data(who.account_id, size, settings().decode_wait_seconds):
        with room_on_disk(), scratch_file() as file:
            await here.places.files.run(partial(_fetch, who.account_id, said["input_file_id"], file))
            async with here.places.batches.turn() as turn:
                desk = BatchDesk(who, here.catalogue, said["endpoint"], settings().max_body_bytes)
                lines = await turn.run(partial(check_requests, desk, file))
                lines = await with_files(here.inputs, who.account_id, lines)
                asked_for = asked(request, said)
                # Its library sends it again by itself and without a name, which would be as many batches.
                name, anew = key or f"~{asked_for.hex()}", key is None and not is_retried(request)
                work = partial(_place, who, name, asked_for, lines, said, anew=anew)
                made = await here.wall.run(who.account_id, partial(turn.run, work))
    return made_answer(made.body, status=200, location=f"{BASE}/batches/{{id}}", replayed=made.replayed)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    """What is told of a batch. Raises InvalidInput, InvalidRequest."""
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(body.get(name), str):
            raise InvalidRequest(f"you must say {name}, as a text", param=name)
    if body["endpoint"] not in ENDPOINTS:
        raise InvalidInput(f"endpoint can be one of {', '.join(ENDPOINTS)}", param="endpoint")
    if body["completion_window"] != WINDOW:
        raise InvalidInput(f"completion_window can only be {WINDOW}", param="completion_window")
    if body.get("output_expires_after") is not None:
        raise InvalidInput("output_expires_after: results are kept as the plan says", param="output_expires_after")
    metadata = body.get("metadata")
    if metadata is not None and not _is_metadata(metadata):
        raise InvalidInput(
            f"metadata must be at most {MAX_METADATA} texts of {MAX_VALUE} characters, with names of {MAX_KEY}", param="metadata"
        )  # fmt: skip
    return {"endpoint": body["endpoint"], "input_file_id": body["input_file_id"][:MAX_KEY], "metadata": metadata}


def _is_metadata(given: Any) -> bool:
    return isinstance(given, dict) and len(given) <= MAX_METADATA and all(
        len(name) <= MAX_KEY and isinstance(value, str) and len(value) <= MAX_VALUE for name, value in given.items()
    )  # fmt: skip


def _fetch(account_id: UUID, name: str, file: IO[bytes]) -> None:
    """The lines of an uploaded file, to disk. Raises NotFound, InvalidInput, Unavailable."""
    file_id = uploads.id_of(name.replace("file-", "file_", 1))
    if file_id is None:
        raise NotFound(f"no file {name[:60]!r}", param="input_file_id")
    try:
        with transaction() as conn:
            found = uploads.find(conn, account_id, file_id)
    except NotFound as error:
        raise NotFound(error.detail, param="input_file_id") from None
    if found.media_type != LINES_TYPE:
        raise InvalidInput("this file holds no lines: upload it for the purpose `batch`", param="input_file_id")
    try:
        with storage().get_range(found.key, 0, settings().max_batch_bytes - 1).chunks as chunks:
            for chunk in chunks:
                file.write(chunk)
    except StorageError as error:
        raise Unavailable("the file cannot be read just now; try again soon") from error
    file.seek(0)


def _place(who: Caller, key: str, asked_for: bytes, lines: list[Line], said: dict[str, Any], *, anew: bool) -> Made:
    rings = list[Ring]()

    def work(conn: Connection[Any]) -> dict[str, Any]:
        placed = batches.place(conn, who.account_id, lines, all_or_none=False, said=said)
        rings.extend(placed.rings)
        return batch_shape(placed.row)

    made = make_once(who, key, asked_for, work, anew=anew)
    ring(rings)
    return made


@router.get("/batches/{name}")
@fast(need="read")
async def get_openai_batch(request: Request) -> Response:
    """How far a batch has come."""
    who = await permitted(request, "read")
    batch_id = job_of_name(request.path_params["name"], "batch")
    return answer(
        batch_shape(await services(request.app).places.ordinary.run(partial(find_batch, who.account_id, batch_id)))
    )


@router.get("/batches")
@fast(need="read")
async def list_openai_batches(request: Request) -> Response:
    """An account's batches that were ordered in this dialect, newest first."""
    who = await permitted(request, "read")
    wanted = wanted_page(request)
    after = after_id_of(wanted, lambda name: job_of_name(name, "batch"))
    rows = await services(request.app).places.ordinary.run(partial(_read, who.account_id, after, wanted.limit + 1))
    return answer(page_of(rows, wanted.limit, batch_shape))


def _read(account_id: UUID, after: UUID | None, limit: int) -> list[BatchRow]:
    with transaction() as conn:
        rows = batch_rows.list_batches(conn, account_id, before=after, said=True, limit=limit)
        return [
            each if each.counts is not None else each._replace(counts=batch_rows.count(conn, each.id)[0])
            for each in rows
        ]


@router.post("/batches/{name}/cancel")
@fast(need="generate")
async def cancel_openai_batch(request: Request) -> Response:
    """Call off what has not begun."""
    who, here = await permitted(request, "generate"), services(request.app)
    batch_id = job_of_name(request.path_params["name"], "batch")
    work = partial(_cancel, who.account_id, batch_id)
    return answer(batch_shape(await here.wall.run(who.account_id, partial(here.places.ordinary.run, work))))


def _cancel(account_id: UUID, batch_id: UUID) -> BatchRow:
    find_batch(account_id, batch_id)
    with certain() as conn:
        rings = batches.request_cancel(conn, account_id, batch_id)
        row = batch_rows.find(conn, account_id, batch_id)
    ring(rings)
    return row
