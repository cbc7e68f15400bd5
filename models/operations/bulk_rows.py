"""Bulk runs as rows: what operators do to many jobs at once, and how far it has come."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.columns import counter, created_at, in_list, moment

ACTS = ("retry", "refund", "discard", "cancel")
STATUSES = ("running", "stopped", "done")


class BulkRun(SQLModel, table=True):
    """One act on all jobs of a filter that were there when it was ordered. They are walked from the newest to the oldest;
    `place` moves in the transaction that acts on a job, so that none is acted on twice and none left out.
    """

    __tablename__ = "bulk_runs"
    __table_args__ = (
        CheckConstraint(in_list("act", *ACTS), name="act"),
        CheckConstraint(in_list("status", *STATUSES), name="status"),
        CheckConstraint("(status = 'done') = (finished_at is not null)", name="finished_at"),
        CheckConstraint("jobs >= 0 and done >= 0 and skipped >= 0", name="counts"),
        Index("ix_bulk_runs_running", "id", postgresql_where=text("status = 'running'")),
    )

    id: UUID = Field(primary_key=True)
    act: str = Field(sa_type=Text, nullable=False)
    filter: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))  # finding.JobFilter
    reason: str = Field(sa_type=Text, nullable=False)
    actor: str = Field(sa_type=Text, nullable=False)
    key_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    address: str | None = Field(default=None, sa_type=Text, nullable=True)
    status: str = Field(default="running", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "running"})
    place: UUID = Field(sa_type=Uuid, nullable=False)  # older jobs than this are still to come
    jobs: int = Field(sa_type=Integer, nullable=False)  # that fitted when it was ordered
    credits: int = Field(sa_type=BigInteger, nullable=False)  # that were counted on then
    done: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    skipped: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    credits_done: int = counter()
    reasons: dict[str, Any] = Field(  # why jobs were skipped, by code, and how often
        sa_column=Column(JSONB, nullable=False, server_default=text("'{}'::jsonb")), default_factory=dict
    )
    created_at: datetime = created_at()
    finished_at: datetime | None = moment()
