"""A job as clients order and read it: shapes for validation and the OpenAPI document. How rows become them: `api.orders.told`."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.routes.cursors import ListPage
from api.routes.shapes import RequestBody
from common.labels import Labels
from models.events.kinds import JOB_EVENTS

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
