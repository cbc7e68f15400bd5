"""/v1/admin/bulk-runs: one act on many jobs. Each needs a reason, and is in the audit log with it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import AdminRoute
from api.v1.admin_accounts import Because
from models.access.scopes import Caller
from models.db import certain, transaction
from models.operations import bulk
from models.operations.bulk import BulkRow
from models.operations.finding import JobFilter

router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)

BULK_RUNS = Listing("bulk_runs", UUID)
_Operator = Annotated[Caller, Depends(needs("admin"))]


class BulkOrder(Because):
    """What is done to which jobs."""

    act: Literal["retry", "refund", "discard", "cancel"]
    filter: Annotated[
        JobFilter, Field(description="Without a status: failed for retry, succeeded for refund, reconciling for discard, queued for cancel.")
    ]  # fmt: skip
    dry_run: Annotated[bool, Field(description="Only say how many jobs and credits.")] = True


class BulkRunView(BaseModel):
    """A bulk run, and how far it has come."""

    id: UUID
    act: str
    filter: dict[str, Any]
    reason: str
    actor: str
    status: Literal["running", "stopped", "done"]
    jobs: Annotated[int, Field(description="That fitted when it was ordered.")]
    credits: int
    done: int
    skipped: int
    left: int
    credits_done: int
    reasons: Annotated[dict[str, int], Field(description="Why jobs were skipped, and how many.")]
    created_at: datetime
    finished_at: datetime | None


class BulkAnswer(BaseModel):
    """How many jobs fit, and the credits that a retry would reserve at their old prices, or that would be given back. `run`: null
    for a dry run.
    """

    jobs: int
    credits: int
    run: BulkRunView | None


class BulkRunPage(ListPage[BulkRunView]):
    """Bulk runs, newest first."""


def bulk_view(row: BulkRow) -> dict[str, Any]:
    """A run, as it is shown."""
    return {**row._asdict(), "left": row.left}


@router.post(
    "/bulk-runs", status_code=202, response_model=BulkAnswer, summary="Do something to many jobs",
    responses={200: {"model": BulkAnswer, "description": "It was a dry run: nothing was done."}},
)  # fmt: skip
def order_bulk(body: BulkOrder, request: Request, who: _Operator, idempotency_key: RepeatKey = None) -> Response:
    """First as a dry run, which says how many jobs and credits it is about. The real one is carried out by the scheduler, job by
    job; each is done once, whatever is killed meanwhile. A filter leads to 100,000 jobs at most.
    """
    if body.dry_run:
        with transaction() as conn:
            found = bulk.count(conn, body.act, body.filter)
        return answer({**found._asdict(), "run": None})

    def work(conn: Connection[Any]) -> dict[str, Any]:
        made = bulk.start(conn, by(who, request), body.act, body.filter, body.reason)
        return {"jobs": made.jobs, "credits": made.credits, "run": bulk_view(made)}

    return once(who, idempotency_key, asked(request, body), work, status=202)


@router.get("/bulk-runs", response_model=BulkRunPage, summary="List bulk runs")
def list_bulk_runs(_who: _Operator, wanted: Annotated[WantedPage[UUID], Depends(BULK_RUNS.wanted)]) -> Response:
    """Newest first."""
    with transaction() as conn:
        rows = bulk.list_runs(conn, before=wanted.after, limit=wanted.reads)
    return answer(BULK_RUNS.page(rows, wanted, lambda row: row.id, bulk_view))


@router.get("/bulk-runs/{run_id}", response_model=BulkRunView, summary="Look at a bulk run")
def get_bulk_run(run_id: PathId, _who: _Operator) -> Response:
    """What was done, what was skipped and why, and what is left."""
    wanted = id_of(run_id, "bulk run")
    with transaction() as conn:
        return answer(bulk_view(bulk.run(conn, wanted)))


@router.post("/bulk-runs/{run_id}/stop", response_model=BulkRunView, summary="Stop a bulk run")
def stop_bulk_run(run_id: PathId, body: Because, request: Request, who: _Operator) -> Response:
    """At once: no job is begun any more. What was done stays; `left` is what is not, and it can be resumed."""
    wanted = id_of(run_id, "bulk run")
    with certain() as conn:
        row = bulk.stop(conn, by(who, request), wanted, body.reason)
    return answer(bulk_view(row))


@router.post("/bulk-runs/{run_id}/resume", response_model=BulkRunView, summary="Let a stopped bulk run go on")
def resume_bulk_run(run_id: PathId, body: Because, request: Request, who: _Operator) -> Response:
    """From where it was stopped; nothing is done twice."""
    wanted = id_of(run_id, "bulk run")
    with certain() as conn:
        row = bulk.go_on(conn, by(who, request), wanted, body.reason)
    return answer(bulk_view(row))
