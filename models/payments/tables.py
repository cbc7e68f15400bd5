"""Payments: what was ordered for money, where that money is, and what it has given. Refunds that we ask for."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Numeric, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, counter, created_at, in_list, moment
from models.payments.states import Dispute, Money, PaymentProblem, PaymentStatus

PURPOSES = ("pack", "plan", "refill", "renewal")
AMOUNT = Numeric(20, 4)  # major units, in the currency beside it


class Payment(SQLModel, table=True):
    """One order, and all that is known of its money (`models.payments.states`).

    `company_id` is what it is there; `payment_ref` is the one payment that its money came by, so that whatever tells of it
    credits it once. `check_at`: when the company is asked next, null: not by itself. `token` grows with each look: of two
    that run at once only the later one counts. `credits_given` is what it has given, less what was taken back.
    """

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("company", "company_id"),
        UniqueConstraint("company", "payment_ref"),
        CheckConstraint(in_list("purpose", *PURPOSES), name="purpose"),
        CheckConstraint(in_list("status", *PaymentStatus), name="status"),
        CheckConstraint(in_list("money", *Money), name="money"),
        CheckConstraint(in_list("dispute", *Dispute), name="dispute"),
        CheckConstraint(in_list("problem", *PaymentProblem), name="problem"),
        CheckConstraint("price >= 0 and refunded >= 0 and coalesce(paid, 0) >= 0", name="amounts"),
        CheckConstraint("(money = 'paid') = (paid is not null) and (paid is null) = (paid_at is null)", name="paid"),
        CheckConstraint("credits_given between 0 and credits", name="credits"),
        CheckConstraint("(purpose in ('plan', 'renewal')) = (interval is not null)", name="interval"),
        Index(None, "account_id", text("id desc")),
        Index("ix_payments_check_at", "check_at", postgresql_where=text("check_at is not null")),
        Index("ix_payments_paid_at", "paid_at", postgresql_where=text("paid_at is not null")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    company: str = Field(sa_type=Text, nullable=False)
    purpose: str = Field(sa_type=Text, nullable=False)
    item: str = Field(sa_type=Text, nullable=False)  # the pack's or plan's id
    interval: str | None = Field(default=None, sa_type=Text, nullable=True)
    credits: int = counter()  # what it gives when it is paid; 0 for a plan, whose periods give
    price: Decimal = Field(sa_column=Column(AMOUNT, nullable=False))
    currency: str = Field(sa_type=Text, nullable=False)

    status: str = Field(default="pending", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "pending"})
    money: str = Field(default="pending", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "pending"})
    paid: Decimal | None = Field(default=None, sa_column=Column(AMOUNT, nullable=True))
    paid_currency: str | None = Field(default=None, sa_type=Text, nullable=True)
    refunded: Decimal = Field(default=Decimal(0), sa_column=Column(AMOUNT, nullable=False, server_default="0"))
    refund_failed: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"}
    )
    dispute: str | None = Field(default=None, sa_type=Text, nullable=True)
    problem: str | None = Field(default=None, sa_type=Text, nullable=True)
    reason: str | None = Field(default=None, sa_type=Text, nullable=True)  # in the company's words
    credits_given: int = counter()
    moves: int = counter()  # how often credits were moved for it: makes each of its grants single
    holds: bool = Field(  # a plan's payment has its months
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"}
    )

    company_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    payment_ref: str | None = Field(default=None, sa_type=Text, nullable=True)
    pay_url: str | None = Field(default=None, sa_type=Text, nullable=True)
    return_url: str | None = Field(default=None, sa_type=Text, nullable=True)
    keep_card: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"}
    )
    customer_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    card_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    subscription_id: str | None = Field(default=None, sa_type=Text, nullable=True)  # the company's, where it renews

    check_at: datetime | None = moment()
    looks: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    token: int = counter()
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    created_at: datetime = created_at()
    paid_at: datetime | None = moment()


class Refund(SQLModel, table=True):
    """Money that an admin gives back. `sent_at`: the company has taken the order; what becomes of it is the payment's."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("sent_at is null or refused is null", name="end"),
        Index("ix_refunds_due", "check_at", postgresql_where=text("check_at is not null")),
        Index(None, "payment_id"),
    )

    id: UUID = Field(primary_key=True)
    payment_id: UUID = Field(foreign_key="payments.id", nullable=False)
    amount: Decimal = Field(sa_column=Column(AMOUNT, nullable=False))
    reason: str = Field(sa_type=Text, nullable=False)
    refused: str | None = Field(default=None, sa_type=Text, nullable=True)  # the company's word
    check_at: datetime | None = moment()
    tries: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    sent_at: datetime | None = moment()
    created_at: datetime = created_at()
