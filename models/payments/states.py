"""What has become of a payment's money, and what that is worth in credits. Pure.

A payment keeps facts: where its money is, how much of it went back, what a dispute came to. Its status is read off them,
and so are the credits that it should have given by now; the difference to those that it has given is moved once. So
neither the order of what a company tells nor how often it tells it can matter.
"""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class Money(StrEnum):
    """Where the payer's money is, as the company says."""

    PENDING = "pending"  # nobody has paid yet
    PROCESSING = "processing"  # it is under way, and may still fail
    PAID = "paid"  # it is there
    EXPIRED = "expired"  # nobody paid in time; a late payment is real all the same
    FAILED = "failed"  # it was refused for good, or never began


class Dispute(StrEnum):
    """What a payer's bank has to say against a payment."""

    INQUIRY = "inquiry"  # it asks; no money has moved
    OPEN = "open"  # it has taken the money until it is decided
    WON = "won"  # the money is ours again
    LOST = "lost"  # the money is the payer's for good


class PaymentStatus(StrEnum):
    """A payment as its account sees it."""

    PENDING = "pending"
    PROCESSING = "processing"
    PAID = "paid"
    EXPIRED = "expired"
    FAILED = "failed"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"  # the money stayed here, and so do the credits
    INQUIRY = "inquiry"
    DISPUTED = "disputed"
    WON = "won"
    LOST = "lost"


class PaymentProblem(StrEnum):
    """Why a payment that is paid gave less than it was to give. People look at these."""

    UNDERPAID = "underpaid"
    OVERPAID = "overpaid"  # all was given; the rest is the payer's to ask for
    OTHER_CURRENCY = "other_currency"
    NOT_GIVEN = "not_given"  # a plan's months that cannot be given: it is sold no more, or runs for too long already


class Facts(NamedTuple):
    """What is known of a payment's money. `paid` is what arrived, null until then."""

    money: Money = Money.PENDING
    paid: Decimal | None = None
    currency: str | None = None
    refunded: Decimal = Decimal(0)
    refund_failed: bool = False
    dispute: Dispute | None = None


def merge(before: Facts, word: Facts) -> Facts:
    """What is known after a company was asked again. It is asked one look at a time, so that the newest word counts; but
    what has once arrived has arrived: only a refund or a dispute takes it away.
    """
    if before.money is Money.PAID and word.money is not Money.PAID:
        return word._replace(money=Money.PAID, paid=before.paid, currency=before.currency)
    if word.money is Money.PENDING and before.money in (Money.EXPIRED, Money.FAILED):
        return word._replace(money=before.money)  # nothing new: who has given up does not begin to wait again
    return word


def status_of(facts: Facts) -> PaymentStatus:
    """The one word for these facts."""
    if facts.money is not Money.PAID:
        return PaymentStatus(facts.money.value)
    if facts.dispute is Dispute.OPEN:
        return PaymentStatus.DISPUTED
    if facts.dispute is Dispute.LOST:
        return PaymentStatus.LOST
    paid = facts.paid or Decimal(0)
    if facts.refunded:
        return PaymentStatus.REFUNDED if facts.refunded >= paid else PaymentStatus.PARTLY_REFUNDED
    if facts.dispute is Dispute.INQUIRY:
        return PaymentStatus.INQUIRY
    if facts.refund_failed:
        return PaymentStatus.REFUND_FAILED
    return PaymentStatus.WON if facts.dispute is Dispute.WON else PaymentStatus.PAID


def problem_of(facts: Facts, price: Decimal, currency: str) -> PaymentProblem | None:
    """Why it is not worth exactly its price."""
    if facts.money is not Money.PAID or facts.paid is None:
        return None
    if facts.currency != currency:
        return PaymentProblem.OTHER_CURRENCY
    if facts.paid == price:
        return None
    return PaymentProblem.UNDERPAID if facts.paid < price else PaymentProblem.OVERPAID


def kept_of(facts: Facts, price: Decimal, currency: str) -> Decimal:
    """How much of its price is here: 0 to `price`. A refund and a dispute of one payment take it away once."""
    if facts.money is not Money.PAID or facts.paid is None or facts.currency != currency:
        return Decimal(0)
    if facts.dispute in (Dispute.OPEN, Dispute.LOST):
        return Decimal(0)
    return max(Decimal(0), min(facts.paid - facts.refunded, price))


def credits_due(credits: int, facts: Facts, price: Decimal, currency: str) -> int:
    """How many of its credits a payment should have given by now: in proportion to the money that is here, rounded down."""
    kept = kept_of(facts, price, currency)
    if price == 0:
        return credits if facts.money is Money.PAID else 0
    return int(credits * kept // price)


def period_due(facts: Facts, price: Decimal, currency: str) -> bool:
    """Whether a plan's payment holds: it was paid in full, and not all of it went back."""
    if facts.money is not Money.PAID or problem_of(facts, price, currency) in (
        PaymentProblem.UNDERPAID, PaymentProblem.OTHER_CURRENCY,
    ):  # fmt: skip
        return False
    return price == 0 or kept_of(facts, price, currency) > 0


MINUTE, HOUR, DAY = 60, 3600, 86_400
LATE_DAYS = 7  # for how long an order that nobody paid is asked about: money that comes later still comes by a hook
# What is paid may be refunded or disputed; a hook says so, and these looks where none came. Card payers have 120 days, at some
# banks 540, and merchants refund after a year: the looks go on for 595 days after the last news.
PAID_PAUSES = (
    HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 30 * DAY, 60 * DAY, 60 * DAY, 90 * DAY, 120 * DAY, 180 * DAY,
)  # fmt: skip
WAITING_PAUSES = (30, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE)
MOVING_PAUSES = (MINUTE, 5 * MINUTE, HOUR, 6 * HOUR)


RENEWAL_DAYS = 45  # for how long after a period's end a company is asked whether it has renewed it


def renewal_pause_of(late_seconds: float) -> int | None:
    """In how many seconds a company that renews a subscription is asked for its next bill, where no hook has told of one.
    None: not any more. `late_seconds` have passed since the period that was paid last has ended; less than 0: it runs.
    """
    if late_seconds > RENEWAL_DAYS * DAY:
        return None
    return HOUR + max(0, int(-late_seconds)) if late_seconds < HOUR else int(min(late_seconds, DAY))


def pause_of(facts: Facts, looks: int, *, late_seconds: float) -> int | None:
    """In how many seconds a company is asked about a payment again; None: never, unless it says something by itself.

    `looks` in a row brought nothing new; `late_seconds` have passed since the order was to be paid.
    """
    if facts.money is Money.FAILED:
        return None
    if facts.money is Money.PAID:
        if facts.dispute in (Dispute.OPEN, Dispute.INQUIRY):
            return MOVING_PAUSES[-1] if looks >= len(MOVING_PAUSES) else MOVING_PAUSES[looks]
        if looks < len(PAID_PAUSES):
            return PAID_PAUSES[looks]
        # Looks that brought no clear word are counted as well: it is asked until the time for news is over, whatever they were.
        return PAID_PAUSES[-1] if late_seconds < sum(PAID_PAUSES) else None
    if facts.money is Money.PROCESSING:
        return MOVING_PAUSES[min(looks, len(MOVING_PAUSES) - 1)]
    if late_seconds > LATE_DAYS * DAY:
        return None
    return (
        WAITING_PAUSES[looks]
        if looks < len(WAITING_PAUSES)
        else min(HOUR * (looks - len(WAITING_PAUSES) + 1), 6 * HOUR)
    )
