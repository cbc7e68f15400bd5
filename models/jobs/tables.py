"""Jobs: what a client ordered and what became of it. The live part of a job is in `runs`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.settings import settings
from models.columns import UTC_TIME, counter, created_at, in_list, moment
from models.files.states import AssetStatus
from models.jobs import answered
from models.jobs.states import LIVE_PHASES, OVER_PHASES, JobEnd, RunStatus

QUEUES = ("interactive", "batch")


class Job(SQLModel, table=True):
    """One order. Written at submit, updated once, at its end; a trigger refuses any change after that, but for what is
    forgotten: what people wrote (`input_erased_at`), and later all but what the books need: `account_id` is null then, so that
    nobody finds the job among theirs, `past_account_id` says whose it was, and `remains` what its attempts and results came to.

    `live_id` is the id while the job is alive and null after: `job_runs` and this column refer to each other, both
    deferred, so a job without its run, or a run without its living job, cannot be committed. `resolution` and the
    reservation's refer to each other in the same way: no end without exactly one settle or refund, nor the reverse.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        ForeignKeyConstraint(["model_id", "model_version"], ["models.id", "models.version"]),
        ForeignKeyConstraint(
            ["id", "resolution"], ["reservations.job_id", "reservations.resolution"],
            name="fk_jobs_resolution", deferrable=True, initially="DEFERRED", use_alter=True,
        ),
        ForeignKeyConstraint(
            ["live_id"], ["job_runs.job_id"],
            name="fk_jobs_live_id", deferrable=True, initially="DEFERRED", use_alter=True,
        ),
        UniqueConstraint("live_id"),
        UniqueConstraint("id", "resolution"),
        CheckConstraint(in_list("ended", *JobEnd), name="ended"),
        CheckConstraint(in_list("queue", *QUEUES), name="queue"),
        CheckConstraint("(ended is null) = (ended_at is null)", name="ended_at"),
        CheckConstraint(
            "case ended when 'succeeded' then resolution = 'settle' when 'failed' then resolution = 'refund' "
            "when 'canceled' then resolution in ('settle', 'refund') else resolution is null end",
            name="resolution",
        ),
        CheckConstraint("(ended = 'failed') = (error_code is not null) or ended is null", name="error"),
        CheckConstraint("price_credits >= 0 and coalesce(charged_credits, 0) between 0 and price_credits", name="price"),
        CheckConstraint("price_denominator > 0 and price_numerator >= 0 and quantity_milli >= 0", name="rate"),
        CheckConstraint("num_nonnulls(account_id, past_account_id) = 1", name="owner"),
        CheckConstraint(
            "past_account_id is null or (ended is not null and input_erased_at is not null and remains is not null)",
            name="past",
        ),
        Index(None, "account_id", text("id desc")),
        Index(None, "account_id", "model_id", text("id desc")),
        Index(None, "account_id", "ended", text("id desc")),
        Index("ix_jobs_failed", text("id desc"), postgresql_where=text("ended = 'failed'")),  # for operators
        Index("ix_jobs_retry_of", "retry_of", postgresql_where=text("retry_of is not null")),
        # What has ended lately lies together: so few of its pages are looked at, and an end pays nothing for it.
        Index("ix_jobs_ended_at", "ended_at", postgresql_using="brin", postgresql_with={"pages_per_range": "16"}),
        Index("ix_jobs_past", "past_account_id", postgresql_where=text("past_account_id is not null")),
        Index("ix_jobs_labelled", "account_id", "created_at", postgresql_where=text("labels is not null")),
        Index("ix_jobs_labels", "labels", postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"}, postgresql_where=text("labels is not null")),
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    account_id: UUID | None = Field(default=None, foreign_key="accounts.id", nullable=True)
    api_key_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    model_id: str = Field(sa_type=Text, nullable=False)
    model_version: int = Field(sa_type=Integer, nullable=False)
    input: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    queue: str = Field(sa_type=Text, nullable=False)
    retry_of: UUID | None = Field(default=None, foreign_key="jobs.id", nullable=True)
    price_credits: int = counter()  # what was reserved
    unit: str | None = Field(default=None, sa_type=Text, nullable=True)
    quantity_milli: int = counter()  # what was reserved for, in thousandths of the unit
    price_numerator: int = counter()
    price_denominator: int = counter(1)
    webhook: dict[str, Any] | None = Field(  # models.events.endpoints.for_job
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )
    labels: dict[str, str] | None = Field(  # its client's: at most 8 short names and values
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )
    created_at: datetime = created_at()

    live_id: UUID | None = Field(
        default=None,
        sa_column=Column(Uuid, Computed("CASE WHEN (ended IS NULL) THEN id ELSE NULL::uuid END", persisted=True)),
    )
    ended: str | None = Field(default=None, sa_type=Text, nullable=True)
    ended_at: datetime | None = moment()
    started_at: datetime | None = moment()
    resolution: str | None = Field(default=None, sa_type=Text, nullable=True)
    charged_credits: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    overrun_credits: int | None = Field(default=None, sa_type=BigInteger, nullable=True)  # the house's loss
    attempts: int | None = Field(default=None, sa_type=SmallInteger, nullable=True)
    error_code: str | None = Field(default=None, sa_type=Text, nullable=True)
    error_message: str | None = Field(default=None, sa_type=Text, nullable=True)

    input_erased_at: datetime | None = moment()
    past_account_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    remains: dict[str, int] | None = Field(  # models.operations.forgetting
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )


class IdempotencyKey(SQLModel, table=True):
    """A client's own name for one submit, or ours where it gave none (`models.jobs.repeats`). Only accepted submits are kept, for
    IDEMPOTENCY_KEY_HOURS.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index(None, "created_at"),
        Index(
            "ix_idempotency_keys_sent", "account_id", "body_hash", "created_at", postgresql_where=text("key like '~%'")
        ),
        Index("ix_idempotency_keys_lost", "account_id", "body_hash", postgresql_where=text("lost_at is not null")),
    )

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    key: str = Field(primary_key=True, sa_type=Text)
    body_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    job_id: UUID = Field(foreign_key="jobs.id", nullable=False)
    created_at: datetime = created_at()
    lost_at: datetime | None = moment()  # since when it is known that the answer did not reach who ordered


class JobRun(SQLModel, table=True):
    """The live part of a job: a row that goes when the job ends.

    `wake_at` is the one time at which something is due: the end of the lease while a worker holds it, the next poll,
    the retry, or the next ring of a dispatched job that nobody has claimed. Null: the job waits for a slot. NEVER: it waits
    outside of its account's line until its batch lets it go (`models.jobs.batches`).
    `token` grows with each claim and rescue; whoever changes this row names the token it was given.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id"], ["jobs.live_id"], name="fk_job_runs_job_id", deferrable=True, initially="DEFERRED"
        ),
        CheckConstraint(in_list("status", *RunStatus), name="status"),
        CheckConstraint(in_list("queue", *QUEUES), name="queue"),
        CheckConstraint("status = 'queued' or (dispatched and wake_at is not null and started_at is not null)", name="slot"),
        CheckConstraint("lease_owner is null or status <> 'queued'", name="lease"),
        CheckConstraint("not dispatched or wake_at is not null", name="wake"),
        CheckConstraint("attempts_spent between 0 and attempts and progress between 0 and 100", name="counts"),
        Index("ix_job_runs_wake_at", "wake_at", postgresql_where=text("wake_at is not null")),
        Index(
            "ix_job_runs_line", "account_id", text("requeued desc"), text("priority desc"), "job_id",
            postgresql_where=text("not dispatched and wake_at is null"),
        ),
        # The first job of each model in each queue stands at a place that can be gone to; the times are for who counts them all.
        Index(
            "ix_job_runs_lines", "account_id", "queue", "model_id", text("requeued desc"), text("priority desc"), "job_id",
            postgresql_include=["created_at"], postgresql_where=text("not dispatched and wake_at is null"),
        ),
        Index(None, "account_id", text("job_id desc")),
        Index("ix_job_runs_dispatched", "account_id", "model_id", postgresql_where=text("dispatched")),
        Index("ix_job_runs_delayed", "account_id", "wake_at", postgresql_where=text("not dispatched and wake_at is not null")),
        Index("ix_job_runs_reconciling", "job_id", postgresql_where=text("status = 'reconciling'")),
        Index("ix_job_runs_held_back", "account_id", "model_id", postgresql_where=text("held_back")),
        {"postgresql_with": {"fillfactor": "70"}},
    )  # fmt: skip

    job_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    model_id: str = Field(sa_type=Text, nullable=False)
    queue: str = Field(sa_type=Text, nullable=False)
    priority: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    requeued: bool = Field(default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"})
    status: str = Field(
        default=RunStatus.QUEUED,
        sa_type=Text,
        nullable=False,
        sa_column_kwargs={"server_default": RunStatus.QUEUED.value},
    )
    dispatched: bool = Field(sa_type=Boolean, nullable=False)
    expected_bytes: int = counter()  # as it was counted for the account at submit
    token: int = counter()
    lease_owner: str | None = Field(default=None, sa_type=Text, nullable=True)
    wake_at: datetime | None = moment()
    rings: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    attempts: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    attempts_spent: int = Field(
        default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"}
    )
    rescues: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    next_route: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    # Put back because its provider has no room: its account's other jobs of this model are not tried before it.
    held_back: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"}
    )
    called_back: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"}
    )
    # How often the live attempt was tried for after its limit, and nobody answered.
    late_tries: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    progress: int | None = Field(default=None, sa_type=SmallInteger, nullable=True)
    reason: str | None = Field(default=None, sa_type=Text, nullable=True)
    cancel_requested_at: datetime | None = moment()
    started_at: datetime | None = moment()
    deadline_at: datetime | None = moment()
    created_at: datetime = created_at()


class Attempt(SQLModel, table=True):
    """One try at a job, written before the provider is called. At most one per job is live: it has no end yet.

    Its phases are `states.AttemptPhase`. In the phase of that name `delivered` says where the result is, what was used and
    what it cost.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint(f"{in_list('phase', *LIVE_PHASES)} or {in_list('phase', *OVER_PHASES)}", name="phase"),
        CheckConstraint(f"({in_list('phase', *LIVE_PHASES)}) = (ended_at is null)", name="live"),
        CheckConstraint("(phase = 'delivered') = (delivered is not null)", name="delivered"),
        CheckConstraint("phase <> 'accepted' or provider_job_id is not null", name="accepted"),
        UniqueConstraint("provider", "provider_job_id"),
        Index("ix_attempts_live", "job_id", unique=True, postgresql_where=text("ended_at is null")),
    )

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    number: int = Field(primary_key=True, sa_type=SmallInteger)
    token: int = Field(sa_type=BigInteger, nullable=False)
    provider: str = Field(sa_type=Text, nullable=False)
    route: int = Field(sa_type=SmallInteger, nullable=False)  # index into the model's routes
    phase: str = Field(sa_type=Text, nullable=False)
    provider_job_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    started_at: datetime = created_at()
    ended_at: datetime | None = moment()
    error_code: str | None = Field(default=None, sa_type=Text, nullable=True)
    error_message: str | None = Field(default=None, sa_type=Text, nullable=True)
    charged: bool | None = Field(default=None, sa_type=Boolean, nullable=True)
    cost_usd_micros: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    delivered: dict[str, Any] | None = Field(  # workers.steps.delivered
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )
    delivered_at: datetime | None = moment()
    # The account's own key that began it, sealed; null: the deployment's. What was begun with a key is asked for with it.
    own_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class Asset(SQLModel, table=True):
    """A stored result. The row is the commit point: an object without one is a stray."""

    __tablename__ = "assets"
    __table_args__ = (
        UniqueConstraint("job_id", "index"),
        CheckConstraint(in_list("status", *AssetStatus), name="status"),
        CheckConstraint("(status = 'stored') = (expired_at is null)", name="expired_at"),
        CheckConstraint("purged_at is null or status <> 'stored'", name="purged_at"),
        CheckConstraint("size_bytes > 0 and thumbnail_bytes >= 0 and length(sha256) = 32", name="bytes"),
        Index("ix_assets_expires_at", "expires_at", postgresql_where=text("status = 'stored'")),
        Index(
            "ix_assets_largest",
            "account_id",
            text("(size_bytes + thumbnail_bytes) desc"),
            "id",
            postgresql_where=text("status = 'stored'"),
        ),
        Index("ix_assets_purge", "expired_at", postgresql_where=text("status <> 'stored' and purged_at is null")),
    )

    id: UUID = Field(primary_key=True)
    job_id: UUID = Field(foreign_key="jobs.id", nullable=False)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    index: int = Field(sa_type=SmallInteger, nullable=False)
    key: str = Field(sa_type=Text, nullable=False)  # names its job and its index, so it is unique without an index
    media_type: str = Field(sa_type=Text, nullable=False)
    size_bytes: int = Field(sa_type=BigInteger, nullable=False)
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    width: int | None = Field(default=None, sa_type=Integer, nullable=True)
    height: int | None = Field(default=None, sa_type=Integer, nullable=True)
    duration_ms: int | None = Field(default=None, sa_type=Integer, nullable=True)
    thumbnail_key: str | None = Field(default=None, sa_type=Text, nullable=True)
    thumbnail_bytes: int = counter()
    status: str = Field(
        default=AssetStatus.STORED,
        sa_type=Text,
        nullable=False,
        sa_column_kwargs={"server_default": AssetStatus.STORED.value},
    )
    created_at: datetime = created_at()
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    plan_ends_at: datetime | None = moment()  # of what is kept past its plan's time: when that ends
    expired_at: datetime | None = moment()
    purged_at: datetime | None = moment()


def forget_idempotency_keys(conn: Connection[Any], limit: int) -> int:
    """Delete keys that are older than they are kept. Returns how many."""
    # The age is asked again of the row that is deleted: between the two a submit may have renewed its key.
    return conn.execute(
        """delete from idempotency_keys k using (
             select account_id, key from idempotency_keys
              where created_at <= app_now() - make_interval(hours => %(hours)s) limit %(limit)s) old
            where k.account_id = old.account_id and k.key = old.key
              and k.created_at <= app_now() - make_interval(hours => %(hours)s)""",
        {"hours": settings().idempotency_key_hours, "limit": limit},
    ).rowcount + answered.forget(conn, limit)
