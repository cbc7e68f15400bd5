"""Persons of whom all is to be erased, because they or the law ask for it. `erasure` does most of it, as for any user who is deleted."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Uuid, text
from sqlmodel import Field, SQLModel

from models.columns import created_at, moment


class Erasure(SQLModel, table=True):
    """One person's. `place` is the last job whose texts are gone; a stop half-way goes on behind it."""

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_open", "account_id", postgresql_where=text("finished_at is null")),)

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    place: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    created_at: datetime = created_at()
    finished_at: datetime | None = moment()
