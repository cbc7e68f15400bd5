"""What every company that takes money can be asked, in our words. Amounts are major units."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

State = Literal["pending", "processing", "paid", "expired", "failed"]
DisputeState = Literal["inquiry", "open", "won", "lost"]


class CompanyError(Exception):
    """A company did not do what was asked."""


class Refused(CompanyError):
    """It says no, for good; the text is its word, without any secret."""


class Away(CompanyError):
    """It did not answer, or not now. What was asked may have been done: ask again with the same key."""


class Unknown(CompanyError):
    """It knows no such thing."""


class NotUnderstood(CompanyError):
    """It answered, and this code does not know what that means: a state that is new, say. Asking again brings the same."""


class NotSigned(CompanyError):
    """A hook that is not from the company, or is not from just now."""


class Malformed(CompanyError):
    """A hook that is from the company and cannot be read."""


def made_at(order_id: UUID) -> datetime:
    """When an order was made, as its id (UUIDv7) says: the same however often it is asked for."""
    return datetime.fromtimestamp((order_id.int >> 80) / 1000, UTC)


class CompanyOrder(NamedTuple):
    """What a company is asked to take. `id` is ours, and the key under which it is made once."""

    id: UUID
    amount: Decimal
    currency: str
    description: str
    email: str | None
    name: str | None
    return_url: str  # where the payer's browser comes back to; proves nothing
    expires_seconds: int
    keep_card: bool = False
    customer_id: str | None = None
    interval: str | None = None  # a subscription that the company itself renews (Stripe only)


class OpenedOrder(NamedTuple):
    """What an order is there, and where it is paid."""

    company_id: str
    pay_url: str
    expires_at: datetime | None


class CompanyStanding(NamedTuple):
    """What a company says of one payment. `payment_ref` is the payment by which it was paid, whatever told of it. `refunded` is
    all that went back, and is there; what is still on its way is not in it.
    """

    company_id: str
    our_id: str | None
    state: State
    payment_ref: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    refunded: Decimal = Decimal(0)
    refund_failed: bool = False
    dispute: DisputeState | None = None
    paid_at: datetime | None = None
    customer_id: str | None = None
    card_id: str | None = None
    subscription_id: str | None = None
    billing_reason: str | None = None
    period_end: datetime | None = None
    reason: str | None = None


class Hint(NamedTuple):
    """What a hook points at. What it says of money is not read."""

    event_id: str
    kind: str
    company_ids: tuple[str, ...]
    payload: dict[str, Any]
    subscription_id: str | None = None


class Charged(NamedTuple):
    """What became of a charge of a card that was kept. `needs_payer`: its owner has to say yes first."""

    standing: CompanyStanding
    needs_payer: bool


class Company(Protocol):
    """One company, as this deployment is set up with it."""

    @property
    def name(self) -> str:
        """In our words."""

    def open(self, order: CompanyOrder) -> OpenedOrder:
        """Have it take an order. Asked again with the same id, also after it was cut off, it is the same order. Raises Refused,
        Away.
        """

    def look(self, company_id: str) -> CompanyStanding:
        """How a payment stands. Raises Unknown, Away, NotUnderstood."""

    def refund(self, company_id: str, amount: Decimal, currency: str, *, key: str, reason: str) -> None:
        """Have money given back; with the same key, once. Raises Refused, Unknown, Away, NotUnderstood."""

    def read_hook(self, headers: Mapping[str, str], body: bytes, *, path: str, now: float) -> Hint:
        """What a hook points at. Header names are in small letters. Raises NotSigned, Malformed, and nothing else."""

    def charge(self, order: CompanyOrder, *, customer_id: str, card_id: str) -> Charged:
        """Take money from a card that was kept. Raises Refused, Away, and as `look` does."""

    def renewals(self, subscription_id: str) -> Sequence[str]:
        """Its bills for the later periods of a subscription that it renews, by what they are there. Raises as
        `look` does.
        """

    def end_subscription(self, subscription_id: str) -> None:
        """Let a subscription that it renews end with its period. Raises Refused, Unknown, Away."""

    def resume_subscription(self, subscription_id: str) -> None:
        """Take that back. Raises Refused, Unknown, Away."""


class WithoutCards:
    """What a company refuses that keeps no card and renews no subscription."""

    name: str

    def charge(self, order: CompanyOrder, *, customer_id: str, card_id: str) -> Charged:  # noqa: ARG002 - of those that can
        """Refused."""
        raise Refused(f"{self.name} keeps no card")

    def renewals(self, subscription_id: str) -> Sequence[str]:  # noqa: ARG002 - of those that renew
        """None."""
        return ()

    def end_subscription(self, subscription_id: str) -> None:  # noqa: ARG002 - of those that can
        """Refused."""
        raise Refused(f"{self.name} renews no subscription")

    def resume_subscription(self, subscription_id: str) -> None:  # noqa: ARG002 - of those that can
        """Refused."""
        raise Refused(f"{self.name} renews no subscription")
