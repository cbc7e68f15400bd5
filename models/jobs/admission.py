"""Admission: what an order finds, and what becomes of it. Pure: no database, no clock.

The accounts, keys and counts are handed over as the orders before it left them; what is to be written is collected.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from common.errors import (
    AccountBlocked,
    DailyLimitReached,
    DomainError,
    IdempotencyMismatch,
    InvalidInput,
    NotAuthenticated,
    StorageQuotaExceeded,
)
from models.access.browser_tokens import TokenCredits
from models.access.budgets import Budgets
from models.access.scopes import daily_texts_left
from models.catalogue import prices
from models.catalogue.entries import Offer
from models.credits import ledger
from models.credits.label_limits import LabelBudgets
from models.credits.ledger import Fund
from models.jobs.pauses import NOTHING, Paused

# What a job of each kind is taken to bring until it has ended. A mean of what providers send: what really lands is counted
# as it lands, and no job is refused for an estimate alone while nothing else of its account's is alive.
EXPECTED_BYTES = {"image": 1_048_576, "video": 8_388_608, "speech": 1_048_576, "text": 16_384}


@dataclass(frozen=True, slots=True)
class Order:
    """One checked submit. `job_id` is a UUIDv7 made before the transaction, so that its outcome can be read again."""

    job_id: UUID
    account_id: UUID
    offer: Offer
    input: Mapping[str, Any]
    priority: int = 0
    queue: str | None = None  # None: the model's own
    api_key_id: UUID | None = None
    key_budget: int | None = None  # credits a month, as far as the API knows; None: without limit, and not looked up
    idempotency_key: str | None = None
    body_hash: bytes = b""
    retried: bool | None = (
        None  # whether its sender says it was sent before; None: nobody sends it again without a name
    )
    retry_of: UUID | None = None
    webhook: Mapping[str, Any] | None = None  # models.events.endpoints.for_job
    labels: dict[str, str] | None = None
    token_id: UUID | None = None  # the browser token whose credits it is taken from as well
    later: bool = False  # outside of its account's line until its batch lets it go (models.jobs.batches)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job that answers an order; `replayed` where an earlier order with the same idempotency key made it, and then
    only its id and queue are known here.
    """

    job_id: UUID
    replayed: bool
    dispatched: bool
    queue: str
    price_credits: int = 0
    created_at: datetime | None = None
    slots: int = 0
    slots_in_use: int = 0
    paused: str | None = None  # the kind of what an operator has paused, and what it waits for


class Locked:
    """Another transaction holds the account; nothing was done."""


Answer = Accepted | DomainError | Locked


@dataclass(slots=True)
class AccountState:
    """An account as this transaction changes it."""

    available: int
    reserved: int
    debt: int
    slots_in_use: int
    event_number: int
    storage_bytes: int
    expected_bytes: int
    slots: int
    storage_quota_bytes: int
    credit_price_usd_micros: int
    markup_bp: int
    has_webhooks: bool
    now: datetime
    daily_text_jobs: int | None
    priority: int  # of the plan
    credit_alerts: list[int] | None
    has_label_limits: bool
    funds: list[Fund] = field(default_factory=list)  # in the order of use
    changed: bool = False
    event_number_before: int | None = None  # the number before this transaction's events, once it has some
    has_addresses: bool = False  # jobs of this transaction have brought addresses to tell


@dataclass(slots=True)
class Writes:
    jobs: list[dict[str, Any]] = field(default_factory=list)
    lots: list[dict[str, Any]] = field(default_factory=list)
    low: list[dict[str, Any]] = field(default_factory=list)  # accounts whose credits these orders make few
    grants: dict[UUID, int] = field(default_factory=dict)


@dataclass(slots=True)
class Counts:
    """What is counted of the past, as the orders before left it."""

    models_in_use: dict[tuple[UUID, str], int]
    budgets: Budgets  # of keys that have one
    texts: dict[UUID, int]  # of accounts with a daily limit, today
    labels: LabelBudgets = field(default_factory=LabelBudgets)  # of accounts with limits
    tokens: TokenCredits = field(default_factory=TokenCredits)  # of browser tokens that order
    paused: Paused = NOTHING  # what is paused gets no slot


def body_hash(body: Mapping[str, Any]) -> bytes:
    """What makes two requests the same: SHA-256 of the canonical JSON."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def decide(
    order: Order,
    accounts: Mapping[UUID, AccountState],
    known: dict[tuple[UUID, str], tuple[bytes, UUID, str]],
    counts: Counts,
    writes: Writes,
    *,
    wait: bool,
) -> Answer:
    """Accept or refuse one order against the accounts as the orders before it left them. No I/O."""
    account = accounts.get(order.account_id)
    if account is None:
        return NotAuthenticated("the account of this key is gone") if wait else Locked()
    replay = _replay(order, known)
    if replay:
        return replay
    entry = order.offer.entry
    try:
        rate, quantity_milli, price = prices.quote(entry.price, order.input, account)
    except InvalidInput as refused:  # this order's own fault; the others of its batch go on
        return refused
    expected = EXPECTED_BYTES[entry.kind]
    refusal = _refusal(account, order, price, expected) or _over_limits(order, account, counts, price)
    if refusal:
        return refusal
    model_slot, in_use = (order.account_id, entry.id), counts.models_in_use
    queue = order.queue or entry.queue
    paused = counts.paused.holds(order.account_id, queue, entry.id)
    dispatched = (
        not order.later
        and paused is None
        and account.slots_in_use < account.slots
        and (entry.slots is None or in_use.get(model_slot, 0) < entry.slots)
    )
    if dispatched:
        account.slots_in_use += 1
        in_use[model_slot] = in_use.get(model_slot, 0) + 1
    if order.idempotency_key:
        known[order.account_id, order.idempotency_key] = (order.body_hash, order.job_id, queue)
    _count(order, counts, price)
    account.available -= price
    account.reserved += price
    account.expected_bytes += expected
    if account.event_number_before is None:
        account.event_number_before = account.event_number
    account.has_addresses = account.has_addresses or order.webhook is not None
    account.event_number += 1
    account.changed = True
    _take(order, account, price, writes)
    writes.jobs.append(
        {
            "id": order.job_id, "account_id": order.account_id, "api_key_id": order.api_key_id,
            "model_id": entry.id, "model_version": order.offer.version, "input": order.input, "queue": queue,
            "priority": order.priority + account.priority, "retry_of": order.retry_of, "price": price, "unit": entry.price.unit,
            "quantity_milli": quantity_milli, "numerator": rate.numerator, "denominator": rate.denominator,
            "dispatched": dispatched, "expected_bytes": expected, "available": account.available, "reserved": account.reserved,
            "event_number": account.event_number, "webhook": order.webhook, "labels": order.labels or None, "key": order.idempotency_key, "body_hash": order.body_hash.hex(),
            "later": order.later,
        }
    )  # fmt: skip
    for limit in ledger.limits_crossed(account.available + price, account.available, account.credit_alerts):
        account.event_number += 1
        data = {"available": account.available, "limit": limit}
        writes.low.append({"account_id": order.account_id, "number": account.event_number, "data": data})
    return Accepted(
        order.job_id, replayed=False, dispatched=dispatched, queue=queue, price_credits=price, created_at=account.now,
        slots=account.slots, slots_in_use=account.slots_in_use, paused=paused,
    )  # fmt: skip


def _replay(order: Order, known: Mapping[tuple[UUID, str], tuple[bytes, UUID, str]]) -> Answer | None:
    """The answer that the order's idempotency key had before."""
    earlier = known.get((order.account_id, order.idempotency_key)) if order.idempotency_key else None
    if earlier is None:
        return None
    if earlier[0] != order.body_hash:
        return IdempotencyMismatch(
            "this Idempotency-Key came with another request before; send a new key for a new request",
            param="Idempotency-Key",
        )
    return Accepted(earlier[1], replayed=True, dispatched=False, queue=earlier[2])


def _refusal(account: AccountState, order: Order, price: int, expected: int) -> DomainError | None:
    if account.debt:
        return AccountBlocked(f"the account owes {account.debt} credits; pay them first", owed=account.debt)
    used, coming, quota = account.storage_bytes, account.expected_bytes, account.storage_quota_bytes
    if used >= quota or (coming and used + coming + expected > quota):
        return StorageQuotaExceeded(
            f"{used} of {quota} bytes are in use, and jobs under way may bring {coming} more; "
            "delete results, wait for jobs to end, or change plan",
            used_bytes=used,
            expected_bytes=coming,
            quota_bytes=quota,
        )
    entry = order.offer.entry
    available = ledger.usable(account.funds, entry.id, entry.kind)
    return ledger.not_enough(price, available, account.available - available) if price > available else None


def _over_limits(order: Order, account: AccountState, counts: Counts, price: int) -> DomainError | None:
    if order.api_key_id and order.key_budget is not None:
        refusal = counts.budgets.refusal(order.api_key_id, price)
        if refusal:
            return refusal
    over = counts.tokens.refusal(order.token_id, price) if order.token_id else None
    over = over or counts.labels.refusal(order.account_id, order.labels, price)
    if over:
        return over
    if order.offer.entry.kind == "text":
        left = daily_texts_left(account.daily_text_jobs, counts.texts.get(order.account_id, 0))
        if left == 0:
            return DailyLimitReached(
                f"the plan has {account.daily_text_jobs} texts a day, and they are used; the next day begins at 00:00 UTC",
                limit=account.daily_text_jobs,
            )
    return None


def _count(order: Order, counts: Counts, price: int) -> None:
    """What an accepted order adds to what its key, its labels and its account have had."""
    if order.api_key_id and order.key_budget is not None:
        counts.budgets.pay(order.api_key_id, price)
    if order.token_id:
        counts.tokens.pay(order.token_id, price)
    counts.labels.pay(order.account_id, order.labels, price)
    if order.offer.entry.kind == "text":
        counts.texts[order.account_id] = counts.texts.get(order.account_id, 0) + 1


def _take(order: Order, account: AccountState, price: int, writes: Writes) -> None:
    entry = order.offer.entry
    for lot in ledger.allocate(account.funds, price, entry.id, entry.kind):
        place = next(i for i, each in enumerate(account.funds) if each.grant_id == lot.grant_id)
        left = account.funds[place].remaining - lot.amount
        account.funds[place] = account.funds[place]._replace(remaining=left)
        writes.grants[lot.grant_id] = left
        writes.lots.append({"job_id": order.job_id, "grant_id": lot.grant_id, "amount": lot.amount})
