"""The shapes of requests and responses, for validation and for the OpenAPI document."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from models.events.kinds import JOB_EVENTS, LIVE, STORED

JobEvent = Literal["job.queued", "job.output", "job.succeeded", "job.failed", "job.canceled"]
Status = Literal["queued", "running", "succeeded", "failed", "canceled"]


def _in_utc(moment: datetime) -> datetime:
    """A moment near the end of the calendar is beyond it in another zone, and could be stored and never read again."""
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar in UTC") from None


Moment = Annotated[datetime, AfterValidator(_in_utc), Field(description="Without an offset: UTC.")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class JobRequest(_Request):
    """An order for one job."""

    model_config = ConfigDict(
        extra="forbid",
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


class QuoteRequest(_Request):
    """What a job would cost, without ordering it."""

    model: Annotated[str, Field(min_length=1, max_length=100)]
    input: dict[str, Any]


class Quote(BaseModel):
    """The credits that would be reserved, and whether the account has them."""

    model: str
    credits: int
    unit: str
    quantity: float
    available: int
    enough: bool


class Output(BaseModel):
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
    expires_at: datetime


class FileData(_Request):
    """A small file in a JSON body; larger ones are sent as a form."""

    data: Annotated[str, Field(min_length=1, description="data:image/png;base64,…")]


class File(BaseModel):
    """An uploaded file."""

    id: Annotated[str, Field(examples=["file_01a1fd04f4e473658f9d4827335166ca"])]
    object: Literal["file"]
    media_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    url: str
    created_at: datetime
    expires_at: datetime


class FilePage(BaseModel):
    """A page of uploaded files."""

    data: list[File]
    next_cursor: str | None


class JobCredits(BaseModel):
    """What a job holds and what it cost in the end."""

    reserved: int
    charged: int | None


class Waiting(BaseModel):
    """Why a job waits. Position 0: a worker may take it at any moment."""

    position: int | None
    reason: str | None
    estimate_seconds: int | None


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str | None


class Job(BaseModel):
    """A job."""

    id: UUID
    status: Status
    model: str
    input: dict[str, Any]
    queue: Literal["interactive", "batch"]
    retry_of: UUID | None
    credits: JobCredits
    progress: Annotated[int | None, Field(description="Percent, where the provider tells.")]
    waiting: Waiting | None
    cancel_requested: bool
    attempts: int
    error: JobError | None
    outputs: list[Output]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobPage(BaseModel):
    """Jobs, newest first. `next_cursor` leads to the next page; null: this is the last."""

    data: list[Job]
    next_cursor: str | None


class EventView(BaseModel):
    """Something that happened. Numbers are the account's own, without gaps; what is only live has none."""

    number: int | None
    type: Annotated[str, Field(description=f"{', '.join(STORED)}, reset; only live: {', '.join(LIVE)}.")]
    job_id: UUID | None
    created_at: datetime | None
    data: dict[str, Any]


class EventPage(BaseModel):
    """Events, oldest first. `next_after` leads to the next page; where it equals `current` this is the last."""

    data: list[EventView]
    current: int
    next_after: int


class StreamToken(BaseModel):
    """What a browser opens a stream with."""

    token: str
    expires_at: datetime


class Price(BaseModel):
    """Credits, or a cost in micro-dollars plus the plan's markup, per so many units."""

    unit: str
    per: int
    credits: int | None = None
    cost_usd_micros: int | None = None
    quantity_field: str | None = None
    estimate_field: str | None = None
    characters_per_unit: int


class Model(BaseModel):
    """Something that can be ordered."""

    id: str
    version: int
    name: str
    description: str
    kind: Literal["image", "video", "speech", "text"]
    price: Price
    input_schema: dict[str, Any]
    timeout_seconds: int
    typical_seconds: int


class ModelList(BaseModel):
    """All models."""

    data: list[Model]


class PlanView(BaseModel):
    """A plan."""

    id: str
    name: str
    credits: int
    granted: Literal["once", "monthly"]
    price_cents: int | None
    credit_price_usd_micros: int
    markup_bp: int
    storage_quota_bytes: int
    slots: int


class PlanList(BaseModel):
    """All plans, cheapest first."""

    data: list[PlanView]


class GrantView(BaseModel):
    """A lot of credits."""

    id: UUID
    kind: str
    amount: int
    remaining: int
    expires_at: datetime | None


class Credits(BaseModel):
    """The account's balance and plan."""

    available: int
    reserved: int
    debt: int
    plan: str
    storage_bytes: int
    storage_quota_bytes: int
    slots: int
    slots_in_use: int
    grants: list[GrantView]
    more_grants: Annotated[int, Field(description="How many more there are, used after those that are listed.")]


class Entry(BaseModel):
    """A movement of credits."""

    id: int
    kind: str
    amount: int
    from_bucket: str
    to_bucket: str
    job_id: UUID | None
    grant_id: UUID | None
    available_after: int
    reserved_after: int
    created_at: datetime


class EntryPage(BaseModel):
    """Ledger entries, newest first."""

    data: list[Entry]
    next_cursor: str | None


class Problem(BaseModel):
    """RFC 9457 problem details. `retryable` says whether the same request may succeed soon."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    param: str | None
    retryable: bool
    request_id: str | None
