"""What labels may spend in a month: the orders of one customer, team or product of a client's own (common.labels).

A limit is for one value of a label, or (`*`) for each value that has none of its own. What is counted is what jobs and
holds reserve, in the month (UTC) in which they are made, less what they give back (lower_label_spending_v1.sql). Only
what has a limit is counted: an account without limits, and an order without labels, cost nothing.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, CheckConstraint, Column, Date, ForeignKey, PrimaryKeyConstraint, Text
from sqlmodel import Field, SQLModel

from common.errors import InvalidInput, LabelLimitExceeded, NotFound
from models.access.api_keys import MONTH
from models.columns import created_at
from models.locks import lock_account

EACH = "*"  # as a limit's value: each that has no limit of its own
MAX_LABEL_LIMITS = 1000  # of one account


class LabelLimit(SQLModel, table=True):
    """What a value of a label may spend in a calendar month (UTC)."""

    __tablename__ = "label_limits"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "name", "value"),
        CheckConstraint("monthly_credits >= 0", name="monthly_credits"),
    )

    account_id: UUID = Field(sa_column=Column(ForeignKey("accounts.id"), nullable=False))
    name: str = Field(sa_type=Text, nullable=False)
    value: str = Field(sa_type=Text, nullable=False)
    monthly_credits: int = Field(sa_type=BigInteger, nullable=False)
    created_at: datetime = created_at()


class LabelSpending(SQLModel, table=True):
    """What the jobs and holds with a label that has a limit hold, or have cost, of those made in a month."""

    __tablename__ = "label_spending"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "name", "value", "month"),
        CheckConstraint("credits >= 0", name="credits"),
    )

    account_id: UUID = Field(sa_column=Column(ForeignKey("accounts.id"), nullable=False))
    name: str = Field(sa_type=Text, nullable=False)
    value: str = Field(sa_type=Text, nullable=False)
    month: Any = Field(sa_column=Column(Date, nullable=False))
    credits: int = Field(sa_type=BigInteger, nullable=False)


class OneLabel(NamedTuple):
    """A label of an account's orders."""

    account_id: UUID
    name: str
    value: str


class LabelLimitRow(NamedTuple):
    """A limit as it is listed. `spent_this_month` is null for `*`, where each value has spent its own."""

    name: str
    value: str
    monthly_credits: int
    spent_this_month: int | None
    created_at: datetime


def labels_of(account_id: UUID, labels: Mapping[str, str] | None) -> Iterator[OneLabel]:
    """An order's labels, one by one."""
    for name, value in (labels or {}).items():
        yield OneLabel(account_id, name, value)


@dataclass(slots=True)
class LabelBudgets:
    """The limits of some labels, as the orders of one transaction use them up under their accounts' locks."""

    limits: dict[OneLabel, int] = field(default_factory=dict)  # of those that have one, or fall under `*`
    spent: dict[OneLabel, int] = field(default_factory=dict)  # this month
    new: dict[OneLabel, int] = field(default_factory=dict)  # of it, by this transaction's orders

    def refusal(self, account_id: UUID, labels: Mapping[str, str] | None, price: int) -> LabelLimitExceeded | None:
        """Why an order cannot be paid."""
        for each in labels_of(account_id, labels):
            limit = self.limits.get(each)
            if limit is not None and self.spent[each] + price > limit:
                label, spent = f"{each.name}:{each.value}", self.spent[each]
                return LabelLimitExceeded(
                    f"this needs {price} credits; {label} has spent {spent} of its {limit} this month",
                    label=label, needed=price, spent=spent, limit=limit,
                )  # fmt: skip
        return None

    def pay(self, account_id: UUID, labels: Mapping[str, str] | None, price: int) -> None:
        for each in labels_of(account_id, labels):
            if each in self.limits:
                self.spent[each] += price
                self.new[each] = self.new.get(each, 0) + price


_READ = f"""
select w.account_id, w.name, w.value, l.monthly_credits, coalesce(s.credits, 0)
  from unnest(%s::uuid[], %s::text[], %s::text[]) as w(account_id, name, value)
 cross join lateral (
   select monthly_credits from label_limits l where l.account_id = w.account_id and l.name = w.name and l.value in (w.value, '{EACH}')
    order by l.value = w.value desc limit 1) l
  left join label_spending s on s.account_id = w.account_id and s.name = w.name and s.value = w.value and s.month = {MONTH}"""


def read_limits(conn: Connection[Any], labels: Collection[OneLabel]) -> LabelBudgets:
    """The limits that these labels' orders are counted for. The caller holds their accounts' locks."""
    found = LabelBudgets()
    if labels:
        for account_id, name, value, limit, spent in conn.execute(_READ, _columns(labels)).fetchall():
            each = OneLabel(account_id, name, value)
            found.limits[each], found.spent[each] = limit, spent
    return found


def write_spending(conn: Connection[Any], budgets: LabelBudgets) -> None:
    """Write down what this transaction's orders spend."""
    if budgets.new:
        conn.execute(
            f"""insert into label_spending (account_id, name, value, month, credits)
                select x.account_id, x.name, x.value, {MONTH}, x.credits
                  from unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) as x(account_id, name, value, credits)
                    on conflict (account_id, name, value, month)
                    do update set credits = label_spending.credits + excluded.credits""",
            [*_columns(budgets.new), list(budgets.new.values())],
        )


def _columns(labels: Collection[OneLabel]) -> list[list[Any]]:
    return [[each[at] for each in labels] for at in range(3)]


def lower_spending(
    conn: Connection[Any], account_id: UUID, labels: Mapping[str, str] | None, made_at: datetime, amount: int
) -> None:
    """What a hold gives back, in the month in which it was made; jobs do the same as they end (write_end_v3.sql)."""
    if labels:
        conn.execute(
            "select lower_label_spending_v1(p_account => %s, p_labels => %s, p_created_at => %s, p_credits => %s)",
            [account_id, Jsonb(dict(labels)), made_at, amount],
        )


def set_limit(conn: Connection[Any], account_id: UUID, name: str, value: str, monthly_credits: int) -> LabelLimitRow:
    """Set one limit, or change it. What the label has spent this month until now counts. Raises InvalidInput for too many."""
    if not lock_account(conn, account_id):
        raise NotFound(f"no account {account_id}")
    row = conn.execute(
        """select count(*), coalesce(bool_or(name = %(name)s and value = %(value)s), false)
             from label_limits where account_id = %(account)s""",
        {"account": account_id, "name": name, "value": value},
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    count, is_there = row
    if count >= MAX_LABEL_LIMITS and not is_there:
        raise InvalidInput(
            f"the account has {count} limits of labels; the limit is {MAX_LABEL_LIMITS}", limit=MAX_LABEL_LIMITS, size=count
        )  # fmt: skip
    conn.execute(
        """insert into label_limits (account_id, name, value, monthly_credits) values (%s, %s, %s, %s)
               on conflict (account_id, name, value) do update set monthly_credits = excluded.monthly_credits""",
        [account_id, name, value, monthly_credits],
    )
    _count_anew(conn, account_id, name, value)
    _mark(conn, account_id)
    return _find(conn, account_id, name, value)


def remove_limit(conn: Connection[Any], account_id: UUID, name: str, value: str) -> None:
    """Take one limit away, and what was counted for it alone. Raises NotFound."""
    lock_account(conn, account_id)
    place = {"account": account_id, "name": name, "value": value, "each": EACH}
    gone = conn.execute(
        "delete from label_limits where account_id = %(account)s and name = %(name)s and value = %(value)s", place
    ).rowcount
    if not gone:
        raise NotFound(f"no limit of {name}:{value}", param="value")
    conn.execute(
        """delete from label_spending s where s.account_id = %(account)s and s.name = %(name)s
              and (%(value)s = %(each)s or s.value = %(value)s)
              and not exists (select 1 from label_limits l where l.account_id = %(account)s and l.name = %(name)s
                                 and l.value in (s.value, %(each)s))""",
        place,
    )
    _mark(conn, account_id)


# A transaction that began before midnight may still be under way, and counts for the month before.
_COUNTED_FROM = "date_trunc('month', (app_now() - interval '1 hour') at time zone 'UTC') at time zone 'UTC'"


def _count_anew(conn: Connection[Any], account_id: UUID, name: str, value: str) -> None:
    """What was ordered with a label before it had a limit; or, set again, what processes of a release without labels have ended
    since. Read after the account's lock was taken: nothing is left out."""
    orders = f"account_id = %(account)s and labels @> %(labels)s and created_at >= {_COUNTED_FROM}"
    if value == EACH:
        orders = f"account_id = %(account)s and labels is not null and created_at >= {_COUNTED_FROM}"
    conn.execute(
        f"""insert into label_spending (account_id, name, value, month, credits)
            select %(account)s, %(name)s, x.value, x.month, sum(x.credits) from (
              select labels->>%(name)s as value, date_trunc('month', created_at at time zone 'UTC')::date as month,
                     case when ended is null then price_credits else coalesce(charged_credits, 0) end as credits
                from jobs where {orders}
              union all
              select labels->>%(name)s, date_trunc('month', created_at at time zone 'UTC')::date, amount - released
                from holds where {orders}) x
             where x.value is not null group by x.value, x.month
                on conflict (account_id, name, value, month) do update set credits = excluded.credits""",
        {"account": account_id, "name": name, "labels": Jsonb({name: value})},
    )


def _mark(conn: Connection[Any], account_id: UUID) -> None:
    """Whether an account has limits is read with its lock: most have none."""
    conn.execute(
        """update accounts a set has_label_limits = x.has
             from (select exists (select 1 from label_limits where account_id = %(id)s) as has) x
            where a.id = %(id)s and a.has_label_limits <> x.has""",
        {"id": account_id},
    )


_LISTED = f"""
select l.name, l.value, l.monthly_credits, case when l.value <> '{EACH}' then coalesce(s.credits, 0) end, l.created_at
  from label_limits l left join label_spending s
    on s.account_id = l.account_id and s.name = l.name and s.value = l.value and s.month = {MONTH}"""


def _find(conn: Connection[Any], account_id: UUID, name: str, value: str) -> LabelLimitRow:
    row = conn.execute(
        f"{_LISTED} where l.account_id = %(account)s and l.name = %(name)s and l.value = %(value)s",
        {"account": account_id, "name": name, "value": value},
    ).fetchone()
    assert row is not None  # noqa: S101 - it was set just now
    return LabelLimitRow(*row)


def list_limits(
    conn: Connection[Any], account_id: UUID, *, after: tuple[str, str] | None = None, limit: int = MAX_LABEL_LIMITS
) -> list[LabelLimitRow]:
    """An account's limits by name and value, from the one after `after`."""
    name, value = after or (None, None)
    rows = conn.execute(
        f"""{_LISTED} where l.account_id = %(account)s and (%(name)s::text is null or (l.name, l.value) > (%(name)s, %(value)s))
            order by l.name, l.value limit %(limit)s""",
        {"account": account_id, "name": name, "value": value, "limit": limit},
    ).fetchall()
    return [LabelLimitRow(*row) for row in rows]
