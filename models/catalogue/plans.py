"""Plans: what an account gets each period, what its credits cost, and what the plan itself costs in which currency."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import orjson
from psycopg import Connection
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator
from pydantic import Field as Limit
from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Integer, SmallInteger, Text, text, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from common.errors import NotFound
from common.retention_settings import MAX_HOURS
from common.settings import hours_kept, settings
from models.columns import MAX_INTEGER, in_list

UNNAMED = "headrace"  # the product of what names none


class Plan(SQLModel, table=True):
    """One plan. `credit_price_usd_micros` and `markup_bp` are what cost-plus prices are made from (spec A5)."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("credits >= 0 and price_cents >= 0 and markup_bp >= 0", name="not_negative"),
        CheckConstraint("credit_price_usd_micros > 0 and slots > 0", name="positive"),
        CheckConstraint(in_list("granted", "once", "monthly"), name="granted"),
        CheckConstraint("priority between -100 and 100", name="priority"),
        CheckConstraint("token_allowance >= 0 and trial_days >= 0 and grace_days >= 0", name="allowances"),
        CheckConstraint(f"result_hours between 1 and {MAX_HOURS}", name="result_hours"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text, nullable=False)
    position: int = Field(sa_type=SmallInteger, nullable=False)
    credits: int = Field(sa_type=BigInteger, nullable=False)
    granted: str = Field(sa_type=Text, nullable=False)  # once: at sign-up; monthly: each month of a subscription
    price_cents: int | None = Field(
        default=None, sa_type=Integer, nullable=True
    )  # US cents a month, for processes of before: what a plan costs stands in `prices`
    credit_price_usd_micros: int = Field(sa_type=BigInteger, nullable=False)
    markup_bp: int = Field(sa_type=Integer, nullable=False)  # basis points: 8500 is 85 %
    storage_quota_bytes: int = Field(sa_type=BigInteger, nullable=False)
    slots: int = Field(sa_type=Integer, nullable=False)
    daily_text_jobs: int | None = Field(default=None, sa_type=Integer, nullable=True)  # None: without limit
    product: str = Field(default=UNNAMED, sa_type=Text, nullable=False, sa_column_kwargs={"server_default": UNNAMED})
    # {"monthly": {"USD": "10.00"}, "yearly": {…}} in major units; nothing for an interval: it is not sold so.
    prices: dict[str, dict[str, str]] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )
    priority: int = Field(  # added to a job's own when it is submitted
        default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"}
    )
    token_allowance: int | None = Field(
        default=None, sa_type=BigInteger, nullable=True
    )  # tokens a month; None: no limit
    result_hours: int | None = Field(default=None, sa_type=Integer, nullable=True)  # None: as the setting says
    trial_days: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    grace_days: int = Field(default=3, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "3"})
    collaborators: bool = Field(  # whether others may be invited to its accounts' collections
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )


def _amount(given: str) -> str:
    # No more than a column of money holds: sixteen digits before the point and four after it.
    whole, _, part = given.partition(".")
    if not (whole.isdecimal() and whole.isascii() and len(whole) <= 16) or ("." in given and not _places(part)):
        raise ValueError('a decimal in quotes such as "10.00", with at most four places')
    if not Decimal(given):
        raise ValueError("more than nothing; what is free has no price")
    return given


def _places(part: str) -> bool:
    return 1 <= len(part) <= 4 and part.isdecimal() and part.isascii()


Amount = Annotated[str, AfterValidator(_amount)]  # of money, in major units, exactly as it is written
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
ProductName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,49}$")]
OfferId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,49}$")]  # of a plan or a pack
Small = Annotated[int, Limit(ge=0, le=32_767)]
Kept = Annotated[int, Limit(ge=0, le=MAX_HOURS), AfterValidator(hours_kept)]  # hours; 0: for ever
Large = Annotated[int, Limit(ge=0, le=10**15)]


class PlanEntry(BaseModel):
    """A `[plans.NAME]` of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: OfferId
    name: str = Limit(min_length=1, max_length=100)
    product: ProductName = UNNAMED
    position: Small
    credits: Large
    granted: Literal["once", "monthly"] = "monthly"
    prices: dict[Literal["monthly", "yearly"], Annotated[dict[Currency, Amount], Limit(min_length=1)]] = {}
    credit_price_usd_micros: int = Limit(ge=1, le=10**15)
    markup_bp: int = Limit(ge=0, le=MAX_INTEGER)
    storage_quota_bytes: Large
    slots: int = Limit(ge=1, le=MAX_INTEGER)
    daily_text_jobs: int | None = Limit(None, ge=0, le=MAX_INTEGER)
    priority: int = Limit(0, ge=-100, le=100)
    token_allowance: Large | None = None
    result_hours: Kept | None = None
    trial_days: Small = 0
    grace_days: Small = 3
    collaborators: bool = Limit(False, strict=True)

    @model_validator(mode="after")
    def _is_sold_if_it_is_subscribed_to(self) -> Self:
        if self.granted == "once" and (self.prices or self.trial_days):
            raise ValueError("what is granted once cannot be subscribed to: it has no prices and no trial_days")
        return self

    @property
    def price_cents(self) -> int | None:
        """What processes of before show: US cents a month; None: agreed by hand, or in other currencies only."""
        dollars = self.prices.get("monthly", {}).get("USD")
        if dollars is None:
            return 0 if self.granted == "once" else None
        cents = int(Decimal(dollars) * 100)
        return cents if cents <= MAX_INTEGER else None


def is_shown(product: str) -> bool:
    """Whether this deployment sells what is this product's."""
    shown = settings().shown_products()
    return not shown or product in shown


def page_of_plans(opened: Session, *, after: tuple[int, str] | None, limit: int) -> Sequence[Plan]:
    """Plans that this deployment shows, in the order in which they are offered, from the one after `after` (its position
    and id).
    """
    wanted = select(Plan).order_by(col(Plan.position), col(Plan.id)).limit(limit)
    if shown := settings().shown_products():
        wanted = wanted.where(col(Plan.product).in_(shown))
    if after is not None:
        wanted = wanted.where(tuple_(col(Plan.position), col(Plan.id)) > after)
    return opened.exec(wanted).all()


def find_plan(opened: Session, plan_id: str) -> Plan:
    """One plan that this deployment shows. Raises NotFound."""
    plan = opened.get(Plan, plan_id)
    if plan is None or not is_shown(plan.product):
        raise NotFound(f"no plan {plan_id[:40]!r}", param="plan_id")
    return plan


_COLUMNS = [name for name in PlanEntry.model_fields if name != "id"]


def stored_plans(conn: Connection[Any], *, lock: bool = False) -> dict[str, dict[str, Any]]:
    """The plans as they are, by id, each as the catalogue file would have it."""
    tail = " for update" if lock else ""
    rows = conn.execute(f"select id, {', '.join(_COLUMNS)} from plans order by position, id{tail}").fetchall()
    return {row[0]: dict(zip(_COLUMNS, row[1:], strict=True)) for row in rows}


def body_of(entry: PlanEntry) -> dict[str, Any]:
    """A plan as it is stored, but for its id."""
    return entry.model_dump(mode="json", exclude={"id"})


def apply_plans(conn: Connection[Any], entries: Iterable[PlanEntry]) -> dict[str, str]:
    """Write these plans. One that left the file stays: accounts are on it. Returns "new" or "changed", by id."""
    stored, changes = stored_plans(conn, lock=True), dict[str, str]()
    for entry in entries:
        if stored.get(entry.id) == body_of(entry):
            continue
        changes[entry.id] = "changed" if entry.id in stored else "new"
        _write(
            conn,
            entry,
            "do update set " + ", ".join(f"{name} = excluded.{name}" for name in [*_COLUMNS, "price_cents"]),
        )
    return changes


def add_missing(conn: Connection[Any], entries: Iterable[PlanEntry]) -> int:
    """Write plans where they are missing; what an operator has changed stays as it is. Returns how many were written."""
    return sum(_write(conn, entry, "do nothing") for entry in entries)


def _write(conn: Connection[Any], entry: PlanEntry, otherwise: str) -> int:
    values = {**body_of(entry), "id": entry.id, "price_cents": entry.price_cents}
    values["prices"] = orjson.dumps(values["prices"]).decode()
    marks = ", ".join(f"%({name})s" + ("::jsonb" if name == "prices" else "") for name in values)
    return conn.execute(
        f"insert into plans ({', '.join(values)}) values ({marks}) on conflict (id) {otherwise}", values
    ).rowcount
