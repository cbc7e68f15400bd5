"""A job as clients order and read it: shapes for validation and the OpenAPI document, and how rows become them. Pure, and
the one place that decides what is shown of a job.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.routes.cursors import ListPage
from api.routes.shapes import RequestBody
from common.labels import Labels
from common.links import url_of
from models.events.kinds import JOB_EVENTS
from models.files.states import AssetStatus
from models.jobs import words
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd, JobStatus, RunStatus

JobEvent = Literal["job.queued", "job.output", "job.succeeded", "job.failed", "job.canceled"]
Status = Literal["queued", "running", "succeeded", "failed", "canceled"]


class JobRequest(RequestBody):
    """An order for one job."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"model": "sketch-image", "input": {"prompt": "a harbour at dawn", "seed": 7}}]
        },
    )

    model: Annotated[str, Field(min_length=1, max_length=100, description="One of GET /v1/models.")]
    input: Annotated[dict[str, Any], Field(description="Must fit the model's input_schema.")]
    queue: Annotated[Literal["interactive", "batch"] | None, Field(description="The model's own, if absent.")] = None
    priority: Annotated[int, Field(ge=-100, le=100, description="Among the account's own jobs; higher goes first.")] = 0
    webhook: Annotated[
        str | None, Field(max_length=2048, description="Told of this job; signed with GET /v1/webhooks/default/secret.")
    ] = None
    webhook_events: Annotated[
        list[JobEvent] | None, Field(max_length=len(JOB_EVENTS), description="The three ends, if absent.")
    ] = None
    labels: Labels | None = None


class OutputView(BaseModel):
    """A stored result."""

    id: UUID
    url: str
    thumbnail_url: str | None
    media_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    status: Literal["stored", "expired", "deleted"]
    kept: Annotated[bool, Field(description="Past its plan's time, until it is deleted.")]
    expires_at: Annotated[datetime | None, Field(description="Null: it is kept for ever.")]


class JobCredits(BaseModel):
    """What a job holds and what it cost in the end."""

    reserved: int
    charged: int | None


class WaitingView(BaseModel):
    """Why a job waits. Position 0: a worker may take it at any moment."""

    position: int | None
    reason: str | None
    estimate_seconds: int | None


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str | None


class JobView(BaseModel):
    """A job."""

    id: UUID
    status: Status
    model: str
    input: dict[str, Any]
    input_erased_at: Annotated[
        datetime | None,
        Field(description="Since when the input is not kept: it is empty, and the job cannot be retried."),
    ]
    queue: Literal["interactive", "batch"]
    retry_of: UUID | None
    labels: dict[str, str]
    credits: JobCredits
    progress: Annotated[int | None, Field(description="Percent, where the provider tells.")]
    waiting: WaitingView | None
    cancel_requested: bool
    attempts: int
    error: JobError | None
    outputs: list[OutputView]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobPage(ListPage[JobView]):
    """Jobs, newest first."""


def status_of(row: JobRow) -> JobStatus:
    """A job's status as clients know it."""
    return seen_status(row.ended, row.run_status)


def seen_status(ended: str | None, run_status: str | None) -> JobStatus:
    """The same, of what the tables have; `reconciling` is running, with the reason."""
    if ended:
        return JobStatus(ended)
    return JobStatus.QUEUED if run_status == RunStatus.QUEUED else JobStatus.RUNNING


def job_view(row: JobRow) -> dict[str, Any]:
    """A job, as GET /v1/jobs/{id} answers."""
    return {
        "id": row.id,
        "status": status_of(row),
        "model": row.model_id,
        "input": row.input,
        "input_erased_at": row.input_erased_at,
        "queue": row.queue,
        "retry_of": row.retry_of,
        "labels": row.labels or {},
        "credits": {"reserved": row.price_credits, "charged": row.charged_credits},
        "progress": 100 if row.ended == JobEnd.SUCCEEDED else row.progress,
        "waiting": _waiting(row),
        "cancel_requested": row.cancel_requested,
        "attempts": row.attempts,
        "error": error_view(row.error_code, row.error_message),
        "outputs": [output_view(asset) for asset in row.assets],
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def error_view(code: str | None, message: str | None) -> dict[str, Any] | None:
    """Why a job failed, as its client reads it."""
    if code is None:
        return None
    code, message = words.failure(code, message)  # rows of before hold what the provider said
    return {"code": code, "message": message}


def _waiting(row: JobRow) -> dict[str, Any] | None:
    """Where a job stands, why it waits, and how long that may take."""
    if row.ended:
        return None
    if row.run_status != RunStatus.QUEUED:
        return {"position": None, "reason": words.waiting(row.reason), "estimate_seconds": None} if row.reason else None
    if row.paused is not None:
        position = None if row.dispatched or row.ahead is None else row.ahead + (row.wake_at is None)
        return {"position": position, "reason": words.PAUSED[row.paused], "estimate_seconds": None}
    if row.dispatched:
        return {"position": 0, "reason": "waiting for a worker", "estimate_seconds": row.typical_seconds}
    if row.later:
        return {"position": None, "reason": "its batch has as many jobs under way as it may", "estimate_seconds": None}
    if row.wake_at is not None:
        pause = max(0, round((row.wake_at - datetime.now(UTC)).total_seconds()))
        return {
            "position": row.ahead,
            "reason": f"retrying: {words.waiting(row.reason)}" if row.reason else "retrying",
            "estimate_seconds": pause + row.typical_seconds,
        }
    ahead = row.ahead or 0
    return {
        "position": ahead + 1 if row.ahead is not None else None,
        "reason": f"{row.slots_in_use} of the account's {row.slots} slots are in use",
        "estimate_seconds": (ahead // row.slots + 2) * row.typical_seconds,
    }


def output_view(asset: dict[str, Any]) -> dict[str, Any]:
    """A stored result, as a job shows it."""
    asset_id = UUID(asset["id"])
    stored = asset["status"] == AssetStatus.STORED
    return {
        "id": asset_id,
        "url": url_of(asset_id),
        "thumbnail_url": url_of(asset_id, thumbnail=True) if asset["thumbnail"] and stored else None,
        "media_type": asset["media_type"],
        "size_bytes": asset["size_bytes"],
        "sha256": asset["sha256"],
        "width": asset["width"],
        "height": asset["height"],
        "duration_seconds": asset["duration_ms"] / 1000 if asset["duration_ms"] is not None else None,
        "status": asset["status"],
        "kept": asset["kept"],
        "expires_at": asset["expires_at"],
    }
