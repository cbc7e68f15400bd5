"""An account's books, kept a second time in plain Python: what the database must come to, whatever was done in which order.

It knows nothing of SQL and of our own arithmetic, and what it is told is only what a customer could know: what was
given, ordered, finished and taken back, and when.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from dateutil.relativedelta import relativedelta

NEVER = datetime.max.replace(tzinfo=UTC)
GRACE = timedelta(hours=24)
DAYS_OF_GRACE = timedelta(days=3)  # of a subscription that was not renewed


@dataclass
class Lot:
    """A grant, and where its credits are."""

    id: UUID
    amount: int
    remaining: int
    expires_at: datetime | None
    first_expires_at: datetime | None = None
    revoked: bool = False
    spent: int = 0
    paid: int = 0  # of a debt
    taken: int = 0  # back, by parts
    owed: int = 0  # of that, what had been used
    priority: int = 0

    def lapsed(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def order_of_use(self) -> tuple[int, datetime, UUID]:
        return (-self.priority, self.expires_at or NEVER, self.id)


@dataclass
class Held:
    """A living job's credits, by grant."""

    parts: list[tuple[Lot, int]]
    key_month: str | None = None


@dataclass
class Paid:
    """A subscription: whole months from its start."""

    plan: str
    credits: int
    started_at: datetime
    months: int
    granted: int = 0

    def after(self, months: int) -> datetime:
        return self.started_at + relativedelta(months=months)


@dataclass
class Books:
    """One account's."""

    debt: int = 0
    plan: str = "free"
    lots: dict[UUID, Lot] = field(default_factory=dict)
    held: dict[UUID, Held] = field(default_factory=dict)
    holds: dict[UUID, Held] = field(default_factory=dict)  # without a job
    charged: dict[UUID, int] = field(default_factory=dict)  # of ended jobs
    spent_by_key: dict[str, int] = field(default_factory=dict)  # by month
    paid: Paid | None = None

    @property
    def available(self) -> int:
        return sum(lot.remaining for lot in self.lots.values())

    @property
    def reserved(self) -> int:
        return sum(amount for held in self._all_held() for _, amount in held.parts)

    def _all_held(self) -> list[Held]:
        return [*self.held.values(), *self.holds.values()]

    def give(self, grant_id: UUID, amount: int, expires_at: datetime | None, priority: int = 0) -> None:
        paid = min(self.debt, amount)
        self.debt -= paid
        self.lots[grant_id] = Lot(grant_id, amount, amount - paid, expires_at, paid=paid, priority=priority)

    def expire(self, now: datetime) -> None:
        for lot in self.lots.values():
            if lot.lapsed(now):
                lot.remaining = 0

    def refusal(self, price: int, now: datetime, budget: int | None) -> str | None:
        """What an order of this price is answered; an order looks at what is really usable."""
        self.expire(now)
        if self.debt:
            return "account_in_debt"
        if price > self.available:
            return "not_enough_credits"
        if budget is not None and self.spent_by_key.get(month(now), 0) + price > budget:
            return "key_budget_exceeded"
        return None

    def order(self, job_id: UUID, price: int, now: datetime, *, by_key: bool) -> None:
        self.held[job_id] = self._set_aside(price, now, by_key=by_key)

    def hold(self, hold_id: UUID, amount: int, now: datetime, *, by_key: bool) -> None:
        self.holds[hold_id] = self._set_aside(amount, now, by_key=by_key)

    def _set_aside(self, price: int, now: datetime, *, by_key: bool) -> Held:
        parts, left = [], price
        for lot in sorted(self.lots.values(), key=Lot.order_of_use):
            taken = min(lot.remaining, left)
            if taken:
                lot.remaining -= taken
                left -= taken
                parts.append((lot, taken))
        assert left == 0
        if by_key:
            self.spent_by_key[month(now)] = self.spent_by_key.get(month(now), 0) + price
        return Held(parts, month(now) if by_key else None)

    def settle_hold(self, hold_id: UUID, amount: int, now: datetime) -> None:
        self._part_with(hold_id, amount, now, spends=True)

    def release_hold(self, hold_id: UUID, amount: int, now: datetime) -> None:
        self._part_with(hold_id, amount, now, spends=False)

    def _part_with(self, hold_id: UUID, amount: int, now: datetime, *, spends: bool) -> None:
        """Part of a hold is spent, what is used first before the rest, or goes back, what is used last before the rest."""
        self.expire(now)
        held, parts = self.holds[hold_id], []
        if held.key_month and not spends:
            self.spent_by_key[held.key_month] -= amount
        for lot, there in sorted(held.parts, key=lambda part: part[0].order_of_use(), reverse=not spends):
            moved = min(there, amount)
            amount -= moved
            if spends:
                lot.spent += moved
                self.debt += moved if lot.revoked else 0
            elif moved and not lot.revoked:
                self._come_back(lot, moved, now)
            if there > moved:
                parts.append((lot, there - moved))
        held.parts = parts
        if not parts:
            del self.holds[hold_id]

    def _come_back(self, lot: Lot, amount: int, now: datetime) -> None:
        lot.remaining += amount
        if lot.lapsed(now):
            lot.first_expires_at = lot.first_expires_at or lot.expires_at
            assert lot.first_expires_at
            lot.expires_at = lot.first_expires_at + GRACE

    def end(self, job_id: UUID, cost: int, now: datetime) -> None:
        held = self.held.pop(job_id)
        if any(lot.lapsed(now) and lot.remaining for lot, _ in held.parts):
            self.expire(now)
        left = self.charged[job_id] = min(cost, sum(amount for _, amount in held.parts))
        for lot, amount in sorted(held.parts, key=lambda part: part[0].order_of_use()):
            spent = min(amount, left)
            left -= spent
            lot.spent += spent
            back = amount - spent
            if held.key_month:
                self.spent_by_key[held.key_month] -= back
            if lot.revoked:
                self.debt += spent
            elif back:
                self._come_back(lot, back, now)

    def revoke(self, grant_id: UUID) -> int:
        lot = self.lots[grant_id]
        if lot.revoked:
            return 0
        if lot.taken:
            return self.take_back(grant_id, lot.amount - lot.taken)
        lot.revoked, lot.remaining = True, 0
        self.debt += lot.spent + lot.paid
        return lot.spent + lot.paid

    def take_back(self, grant_id: UUID, amount: int) -> int:
        """What remains goes first; what jobs have, or had, and what paid a debt becomes one. What expired is forgotten."""
        lot = self.lots[grant_id]
        held = sum(part for each in self._all_held() for of, part in each.parts if of is lot)
        remaining = min(lot.remaining, amount)
        used = 0 if lot.revoked else lot.spent + held + lot.paid - lot.owed
        debt = min(amount - remaining, max(0, used))
        lot.remaining -= remaining
        lot.taken += amount
        lot.owed += debt
        self.debt += debt
        return debt

    def sweep_subscription(self, now: datetime, default_plan: str) -> None:
        if self.paid and self.paid.after(self.paid.months) + DAYS_OF_GRACE <= now:
            self.paid, self.plan = None, default_plan


def month(moment: datetime) -> str:
    return moment.strftime("%Y-%m-01")
