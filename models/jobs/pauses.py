"""Pauses: what operators hold back for a while. What runs goes on; what waits keeps its place, and loses nothing."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Text, Uuid
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, created_at, in_list

KINDS = ("queue", "model", "provider", "account")


class Pause(SQLModel, table=True):
    """One thing that is paused until a time. Once that has come, a duty dispatches what waited, account by account, and deletes
    the row: so the table, which every dispatch looks at, is empty as a rule.
    """

    __tablename__ = "pauses"
    __table_args__ = (CheckConstraint(in_list("what", *KINDS), name="what"),)

    what: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(primary_key=True, sa_type=Text)
    until: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    reason: str = Field(sa_type=Text, nullable=False)
    actor: str = Field(sa_type=Text, nullable=False)
    created_at: datetime = created_at()
    place: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)  # accounts up to this have been dispatched
