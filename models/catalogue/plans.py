"""Plans: what an account gets each period and what its credits cost."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Integer, SmallInteger, Text, tuple_
from sqlmodel import Field, Session, SQLModel, col, select

from common.errors import NotFound
from models.columns import in_list

GB = 1_000_000_000


class Plan(SQLModel, table=True):
    """One plan. `credit_price_usd_micros` and `markup_bp` are what cost-plus prices are made from (spec A5)."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("credits >= 0 and price_cents >= 0 and markup_bp >= 0", name="not_negative"),
        CheckConstraint("credit_price_usd_micros > 0 and slots > 0", name="positive"),
        CheckConstraint(in_list("granted", "once", "monthly"), name="granted"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text, nullable=False)
    position: int = Field(sa_type=SmallInteger, nullable=False)
    credits: int = Field(sa_type=BigInteger, nullable=False)
    granted: str = Field(sa_type=Text, nullable=False)  # once: at sign-up; monthly: each month of a subscription
    price_cents: int | None = Field(
        default=None, sa_type=Integer, nullable=True
    )  # US cents a month; None: agreed by hand
    credit_price_usd_micros: int = Field(sa_type=BigInteger, nullable=False)
    markup_bp: int = Field(sa_type=Integer, nullable=False)  # basis points: 8500 is 85 %
    storage_quota_bytes: int = Field(sa_type=BigInteger, nullable=False)
    slots: int = Field(sa_type=Integer, nullable=False)
    daily_text_jobs: int | None = Field(default=None, sa_type=Integer, nullable=True)  # None: without limit


# Spec A5 and B2. A5 names no quota and B2 no markup; those values are ours.
STANDARD_PLANS = (
    Plan(id="free", name="Free", position=0, credits=10, granted="once", price_cents=0, credit_price_usd_micros=125_000, markup_bp=8500, storage_quota_bytes=1 * GB, slots=2, daily_text_jobs=5),
    Plan(id="starter", name="Starter", position=1, credits=80, granted="monthly", price_cents=1000, credit_price_usd_micros=125_000, markup_bp=8500, storage_quota_bytes=10 * GB, slots=3),
    Plan(id="creator", name="Creator", position=2, credits=250, granted="monthly", price_cents=3100, credit_price_usd_micros=124_000, markup_bp=7500, storage_quota_bytes=50 * GB, slots=5),
    Plan(id="pro", name="Pro", position=3, credits=500, granted="monthly", price_cents=2900, credit_price_usd_micros=58_000, markup_bp=7500, storage_quota_bytes=100 * GB, slots=8),
    Plan(id="studio", name="Studio", position=4, credits=500, granted="monthly", price_cents=6000, credit_price_usd_micros=120_000, markup_bp=7000, storage_quota_bytes=100 * GB, slots=10),
    Plan(id="enterprise", name="Enterprise", position=5, credits=2000, granted="monthly", price_cents=None, credit_price_usd_micros=58_000, markup_bp=7000, storage_quota_bytes=500 * GB, slots=20),
)  # fmt: skip


def page_of_plans(opened: Session, *, after: tuple[int, str] | None, limit: int) -> Sequence[Plan]:
    """Plans in the order in which they are offered, from the one after `after` (its position and id)."""
    wanted = select(Plan).order_by(col(Plan.position), col(Plan.id)).limit(limit)
    if after is not None:
        wanted = wanted.where(tuple_(col(Plan.position), col(Plan.id)) > after)
    return opened.exec(wanted).all()


def find_plan(opened: Session, plan_id: str) -> Plan:
    """One plan. Raises NotFound."""
    plan = opened.get(Plan, plan_id)
    if plan is None:
        raise NotFound(f"no plan {plan_id[:40]!r}", param="plan_id")
    return plan


def apply_standard(conn: Connection[Any]) -> int:
    """Write the standard plans where they are missing; plans an operator has changed stay as they are. Returns how many."""
    columns = list(STANDARD_PLANS[0].model_dump())
    statement = f"insert into plans ({', '.join(columns)}) values ({', '.join(f'%({c})s' for c in columns)}) on conflict do nothing"
    return sum(conn.execute(statement, plan.model_dump()).rowcount for plan in STANDARD_PLANS)
