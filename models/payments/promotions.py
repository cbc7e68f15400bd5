"""Promotion codes: credits or a plan's months for whoever has the code, once per account, so often and so long."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Integer, Text, text
from sqlmodel import Field, SQLModel

from common.errors import InvalidInput, NotFound, PromotionRefused
from models.access import audit_log
from models.access.audit_log import By
from models.accounts import paid_periods
from models.columns import created_at, moment
from models.credits import giving
from models.locks import lock_account

CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{3,39}")


class Promotion(SQLModel, table=True):
    """One code, in capitals. `max_uses` and `expires_at` null: without that limit."""

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint("(credits is null) = (plan_id is not null)", name="one_thing"),
        CheckConstraint("(plan_id is null) = (interval is null)", name="interval"),
        CheckConstraint("credits > 0 and uses between 0 and coalesce(max_uses, uses)", name="counts"),
    )

    code: str = Field(primary_key=True, sa_type=Text)
    credits: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    plan_id: str | None = Field(default=None, foreign_key="plans.id", sa_type=Text, nullable=True)
    interval: str | None = Field(default=None, sa_type=Text, nullable=True)
    max_uses: int | None = Field(default=None, sa_type=Integer, nullable=True)
    uses: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": text("0")})
    expires_at: datetime | None = moment()
    ended_at: datetime | None = moment()
    created_at: datetime = created_at()


class PromotionUse(SQLModel, table=True):
    """That an account has used a code."""

    __tablename__ = "promotion_uses"
    __table_args__ = (ForeignKeyConstraint(["code"], ["promotions.code"]),)

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    code: str = Field(primary_key=True, sa_type=Text)
    created_at: datetime = created_at()


class PromotionRow(NamedTuple):
    """A code and how often it was used."""

    code: str
    credits: int | None
    plan_id: str | None
    interval: str | None
    max_uses: int | None
    uses: int
    expires_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


_SHOWN = ", ".join(PromotionRow._fields)


def code_of(text: str) -> str:
    """A code as it is kept, of what somebody typed. Raises InvalidInput."""
    code = text.strip().upper()
    if not CODE.fullmatch(code):
        raise InvalidInput("a code has 4 to 40 letters, digits and hyphens", param="code")
    return code


def create(
    conn: Connection[Any],
    by: By,
    code: str,
    *,
    credits: int | None = None,
    plan_id: str | None = None,
    interval: str | None = None,
    max_uses: int | None = None,
    expires_at: datetime | None = None,
) -> PromotionRow:
    """Make a code that gives credits, or a plan's months. Raises InvalidInput for a code that there is already."""
    if plan_id is not None:
        found = conn.execute("select granted from plans where id = %s", [plan_id]).fetchone()
        if found is None:
            raise NotFound(f"no plan {plan_id[:40]!r}", param="plan")
        if found[0] != "monthly":
            raise InvalidInput(f"plan {plan_id!r} cannot be subscribed to", param="plan")
    row = conn.execute(
        f"""insert into promotions (code, credits, plan_id, interval, max_uses, expires_at) values (%s, %s, %s, %s, %s, %s)
            on conflict do nothing returning {_SHOWN}""",
        [code, credits, plan_id, interval, max_uses, expires_at],
    ).fetchone()
    if row is None:
        raise InvalidInput(f"there is a code {code!r} already", param="code")
    audit_log.record(conn, by, "promotion.create", code, credits=credits, plan=plan_id, max_uses=max_uses)
    return PromotionRow(*row)


def end(conn: Connection[Any], by: By, code: str) -> PromotionRow:
    """Let nobody use a code any more. Raises NotFound."""
    row = conn.execute(
        f"update promotions set ended_at = coalesce(ended_at, app_now()) where code = %s returning {_SHOWN}", [code]
    ).fetchone()
    if row is None:
        raise NotFound(f"no code {code!r}", param="code")
    audit_log.record(conn, by, "promotion.end", code)
    return PromotionRow(*row)


def list_promotions(conn: Connection[Any], *, after: str | None = None, limit: int = 50) -> Sequence[PromotionRow]:
    """Codes, in the order of the alphabet."""
    rows = conn.execute(
        f"select {_SHOWN} from promotions where %s::text is null or code > %s order by code limit %s",
        [after, after, limit],
    ).fetchall()
    return [PromotionRow(*row) for row in rows]


def redeem(conn: Connection[Any], account_id: UUID, code: str, *, by: By) -> PromotionRow:
    """Give an account what a code gives, once. Raises PromotionRefused, whose `reason` says why: unknown, ended, used_up, used."""
    lock_account(conn, account_id)
    if conn.execute("select 1 from promotion_uses where account_id = %s and code = %s", [account_id, code]).fetchone():
        raise PromotionRefused("this account has used this code already", param="code", reason="used")
    row = conn.execute(
        f"""update promotions set uses = uses + 1
            where code = %s and ended_at is null and (expires_at is null or expires_at > app_now())
              and (max_uses is null or uses < max_uses) returning {_SHOWN}""",
        [code],
    ).fetchone()
    if row is None:
        raise _why(conn, code)
    promotion = PromotionRow(*row)
    conn.execute("insert into promotion_uses (account_id, code) values (%s, %s)", [account_id, code])
    if promotion.credits is not None:
        giving.give(
            conn, by, account_id, kind="gift", amount=promotion.credits, ref=f"promotion:{code}", reason=f"code {code}"
        )
    elif promotion.plan_id is not None:
        paid_periods.pay_subscription(
            conn, account_id, promotion.plan_id, promotion.interval or "monthly",
            payment_ref=f"promotion:{code}:{account_id}", renewer="manual", by=by,
        )  # fmt: skip
    return promotion


def _why(conn: Connection[Any], code: str) -> PromotionRefused:
    row = conn.execute(
        "select max_uses is not null and uses >= max_uses from promotions where code = %s", [code]
    ).fetchone()
    if row is None:
        return PromotionRefused("there is no such code", param="code", reason="unknown")
    if row[0]:
        return PromotionRefused("this code was used as often as it may be", param="code", reason="used_up")
    return PromotionRefused("this code is over", param="code", reason="ended")
