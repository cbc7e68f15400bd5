"""What the web client keeps here."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, Date, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.columns import NOW, UTC_TIME, counter, created_at, moment

REVOKED, ACTIVE = "revoked", "active"  # the two states that mean something here; others are the web client's own


class WebCredential(SQLModel, table=True):
    """A user's credential at a provider. Whoever has the token itself is told by its salted hash.

    `id` is the web client's; `as_saved` is the hash of what was saved under it, so that a save that is sent again, however
    late, is known from another one with the same id.
    """

    __tablename__ = "web_credentials"
    __table_args__ = (
        Index("ix_web_credentials_issued_at", text("issued_at desc"), text("row_id desc")),
        Index("ix_web_credentials_active", "user_id", "provider", text("issued_at desc"), text("row_id desc"),
              postgresql_where=text("status = 'active'")),
        CheckConstraint("length(as_saved) = 32", name="as_saved"),
    )  # fmt: skip

    row_id: UUID = Field(primary_key=True)
    id: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    user_id: str = Field(sa_type=Text, nullable=False)
    provider: str = Field(sa_type=Text, nullable=False)
    token_hash: str = Field(sa_type=Text, nullable=False)
    salt: str = Field(sa_type=Text, nullable=False)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    plan: str = Field(sa_type=Text, nullable=False)
    issued_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    status: str = Field(sa_type=Text, nullable=False)
    provider_reference: str | None = Field(default=None, sa_type=Text, nullable=True)
    metadata_: dict[str, Any] | None = Field(default=None, sa_column=Column("metadata", JSONB, nullable=True))
    last_rotated_at: datetime | None = moment()
    as_saved: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = created_at()


class WebUsage(SQLModel, table=True):
    """One report of tokens used at a provider, and what they cost. Never changed."""

    __tablename__ = "web_usage"
    __table_args__ = (
        Index("ix_web_usage_user_id", "user_id", text("recorded_at desc"), text("row_id desc")),
        CheckConstraint("tokens_used >= 0 and cost_minor_units >= 0", name="not_negative"),
    )

    row_id: UUID = Field(primary_key=True)
    id: str = Field(sa_column=Column(Text, nullable=False, unique=True))  # the caller's own, or made here
    user_id: str = Field(sa_type=Text, nullable=False)
    provider: str = Field(sa_type=Text, nullable=False)
    tokens_used: int = Field(sa_type=BigInteger, nullable=False)
    cost_minor_units: int = Field(sa_type=BigInteger, nullable=False)
    recorded_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    created_at: datetime = created_at()


class WebAccount(SQLModel, table=True):
    """One user's account: what they are on, and until when they have paid. What they used stands in `web_months`."""

    __tablename__ = "web_accounts"

    user_id: str = Field(primary_key=True, sa_type=Text)
    plan: str = Field(sa_type=Text, nullable=False)
    billing_status: str = Field(sa_type=Text, nullable=False)
    premium_expires_at: datetime | None = moment()
    used_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, server_default=NOW))
    created_at: datetime = created_at()


class WebMonth(SQLModel, table=True):
    """The tokens that an account used at one provider in one calendar month, UTC. A month that is over keeps its own."""

    __tablename__ = "web_months"
    __table_args__ = (CheckConstraint("tokens_used >= 0", name="not_negative"),)

    user_id: str = Field(foreign_key="web_accounts.user_id", primary_key=True, sa_type=Text)
    month: date = Field(sa_column=Column(Date, primary_key=True))
    provider: str = Field(primary_key=True, sa_type=Text)
    tokens_used: int = counter()
