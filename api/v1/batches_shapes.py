"""A batch as clients order and read it: shapes for validation and the document, and how rows become them. Pure."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.orders.told import error_view, output_view
from api.routes.cursors import ListPage
from api.v1.jobs_shapes import JobCredits, JobError, OutputView
from models.jobs.batch_rows import COUNTED, MAX_LINES, MAX_RUNNING, BatchRow, LineRow
from models.jobs.states import seen_status

BatchStatus = Literal["running", "canceling", "completed", "canceled"]


class BatchOptions(BaseModel):
    """How a batch is ordered."""

    accept: Literal["all", "valid"] = "all"
    max_running: Annotated[int | None, Field(ge=1, le=MAX_RUNNING)] = None


class ResultOptions(BaseModel):
    """Which of a batch's results are wanted."""

    after: Annotated[int, Field(ge=0, le=MAX_LINES)] = 0
    all: bool = False


class RefusalView(BaseModel):
    """A line that was not ordered, and why."""

    number: Annotated[int, Field(description="Of its line in the body, from 1.")]
    custom_id: str | None
    code: str
    message: str
    param: str | None


class BatchCounts(BaseModel):
    """How many of a batch's jobs stand where."""

    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int


class BatchView(BaseModel):
    """A batch. In a list, `counts` and what is made of them are null while it is under way."""

    id: UUID
    status: Annotated[BatchStatus, Field(description="`canceled`: it was asked to stop before all had ended.")]
    orders: int
    accepted: int
    refused: int
    max_running: int | None
    counts: BatchCounts | None
    progress: Annotated[int | None, Field(description="Percent of its jobs that have ended.")]
    credits: JobCredits
    estimate_seconds: Annotated[int | None, Field(description="Until all have ended, if it goes on as it went so far.")]
    created_at: datetime
    ended_at: datetime | None


class OrderedBatchView(BatchView):
    """A batch that was ordered now, and the first hundred of the lines that were not."""

    refusals: list[RefusalView]


class BatchPage(ListPage[BatchView]):
    """Batches, newest first."""


class BatchResult(BaseModel):
    """One line of a batch's results."""

    number: Annotated[int, Field(description="Of its line in the body, from 1.")]
    custom_id: str | None
    job: UUID | None
    status: Literal["queued", "running", "succeeded", "failed", "canceled", "refused"]
    model: str | None
    credits: JobCredits | None
    outputs: list[OutputView]
    error: Annotated[JobError | None, Field(description="Of a line that was refused, with `param` besides.")]


def batch_view(row: BatchRow) -> dict[str, Any]:
    """A batch, as GET /v1/batches/{id} answers."""
    alive = row.alive
    ended = None if alive is None else row.accepted - alive
    return {
        "id": row.id,
        "status": _status(row),
        "orders": row.orders,
        "accepted": row.accepted,
        "refused": row.orders - row.accepted,
        "max_running": row.max_running,
        "counts": row.counts,
        "progress": None if ended is None else 100 * ended // row.accepted,
        "credits": {"reserved": row.reserved, "charged": row.charged},
        "estimate_seconds": round(row.age_seconds * alive / ended) if alive and ended else None,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
    }


def new_view(row: BatchRow) -> dict[str, Any]:
    """The same of one that was ordered just now: none of its jobs can have begun before the commit."""
    return batch_view(row._replace(counts=dict.fromkeys(COUNTED, 0) | {"queued": row.accepted}, charged=0))


def _status(row: BatchRow) -> BatchStatus:
    if row.cancel_requested_at is None:
        return "running" if row.ended_at is None else "completed"
    return "canceling" if row.ended_at is None else "canceled"


def result_view(row: LineRow) -> dict[str, Any]:
    """What became of a line."""
    ordered = row.job_id is not None
    return {
        "number": row.number,
        "custom_id": row.custom_id,
        "job": row.job_id,
        "status": seen_status(row.ended, row.run_status) if ordered else "refused",
        "model": row.model_id,
        "credits": {"reserved": row.price_credits, "charged": row.charged_credits} if ordered else None,
        "outputs": [output_view(asset) for asset in row.assets],
        "error": error_view(row.error_code, row.error_message) if ordered else row.error,
    }
