"""What keys may spend in a month: an order is paid by its key's line and by those of the keys that made it, as far as they
have a budget (models.access.api_keys). Given back, where a job costs less, by `end_job`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import BudgetExceeded, DomainError, NotAuthenticated
from models.access.api_keys import LINE, LINES, MONTH


@dataclass(slots=True)
class Budgets:
    """The budgets of some keys, as the orders of one transaction change them under their accounts' locks."""

    of: dict[UUID, list[tuple[UUID, int]]] = field(
        default_factory=dict
    )  # by key: lines and their budgets, its own last
    spent: dict[UUID, int] = field(default_factory=dict)  # by line, this month
    new: dict[UUID, int] = field(default_factory=dict)  # of it, by this transaction's orders

    def refusal(self, key_id: UUID, price: int) -> DomainError | None:
        """Why an order cannot be paid."""
        lines = self.of.get(key_id)
        if lines is None:
            return NotAuthenticated("this API key is gone")
        for number, (root_id, budget) in enumerate(lines, 1):
            spent = self.spent[root_id]
            if spent + price > budget:
                whose = "this key" if number == len(lines) else "the key that made this one, with all that it made,"
                return BudgetExceeded(
                    f"this job needs {price} credits; {whose} has spent {spent} of its {budget} this month",
                    needed=price,
                    spent=spent,
                    budget=budget,
                )
        return None

    def pay(self, key_id: UUID, price: int) -> None:
        for root_id, _ in self.of[key_id]:
            self.spent[root_id] += price
            self.new[root_id] = self.new.get(root_id, 0) + price


_READ = f"""
select k.id, l.id, case when l.id = {LINE} then least(k.monthly_credits, l.monthly_credits) else l.monthly_credits end,
       coalesce(s.credits, 0)
  from api_keys k join api_keys l on l.id = any{LINES}
  left join key_spending s on s.key_id = l.id and s.month = {MONTH}
 where k.id = any(%s) order by k.id, l.id = {LINE}"""


def read(conn: Connection[Any], key_ids: Collection[UUID]) -> Budgets:
    """The budgets that these keys' orders are paid from. A key is one account's, whose lock the caller holds."""
    found = Budgets()
    if key_ids:
        for key_id, root_id, budget, spent in conn.execute(_READ, [list(key_ids)]).fetchall():
            lines = found.of.setdefault(key_id, [])
            if budget is not None:
                lines.append((root_id, budget))
                found.spent[root_id] = spent
    return found


def write(conn: Connection[Any], budgets: Budgets) -> None:
    """Write down what this transaction's orders spend."""
    if budgets.new:
        conn.execute(
            f"""insert into key_spending (key_id, month, credits)
                select x.key_id, {MONTH}, x.credits from unnest(%s::uuid[], %s::bigint[]) as x(key_id, credits)
                    on conflict (key_id, month) do update set credits = key_spending.credits + excluded.credits""",
            [list(budgets.new), list(budgets.new.values())],
        )
