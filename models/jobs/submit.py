"""Submit: many orders in one transaction (DESIGN section 10).

One call locks the accounts, reads what is needed, decides in pure Python, and writes all of it with one statement.
A batch never waits for an account that another transaction holds: such orders come back as `Locked`, and the caller
tries them again in a lane that may wait.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection

from common.errors import (
    AccountBlocked,
    DailyLimitReached,
    DomainError,
    IdempotencyMismatch,
    InvalidInput,
    NotAuthenticated,
    NotEnoughCredits,
    StorageQuotaExceeded,
)
from common.settings import settings
from models.access import budgets
from models.access.budgets import Budgets
from models.access.scopes import daily_texts_left
from models.catalogue import prices
from models.catalogue.entries import Offer
from models.credits import ledger
from models.events import deliveries

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
    retry_of: UUID | None = None
    webhook: Mapping[str, Any] | None = None  # models.events.endpoints.for_job


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job that answers an order; `replayed` where an earlier order with the same idempotency key made it, and then
    only its id and queue are told here.
    """

    job_id: UUID
    replayed: bool
    dispatched: bool
    queue: str
    price_credits: int = 0
    created_at: datetime | None = None
    slots: int = 0
    slots_in_use: int = 0


class Locked:
    """Another transaction holds the account; nothing was done."""


Answer = Accepted | DomainError | Locked


@dataclass(slots=True)
class _Account:
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
    grants: list[list[Any]] = field(default_factory=list)  # [id, remaining], in the order of use
    changed: bool = False
    told_from: int | None = None  # where receivers are to be told: the number before this transaction's events


@dataclass(slots=True)
class _Writes:
    jobs: list[dict[str, Any]] = field(default_factory=list)
    lots: list[dict[str, Any]] = field(default_factory=list)
    low: list[dict[str, Any]] = field(default_factory=list)  # accounts whose credits these orders make few
    grants: dict[UUID, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Counts:
    """What is counted of the past, as the orders before left it."""

    models_in_use: dict[tuple[UUID, str], int]
    budgets: Budgets  # of keys that have one
    texts: dict[UUID, int]  # of accounts with a daily limit, today


def body_hash(body: Mapping[str, Any]) -> bytes:
    """What makes two requests the same: SHA-256 of the canonical JSON."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def submit(conn: Connection[Any], orders: Sequence[Order], *, wait: bool = False) -> list[Answer]:
    """Answer each order, in order: accepted, refused with its reason, or locked (never with `wait`)."""
    accounts = _lock_accounts(conn, sorted({order.account_id for order in orders}), wait=wait)
    if not accounts and not wait:
        return [Locked() for _ in orders]
    known = _known_keys(conn, orders)
    counts = _Counts(
        _models_in_use(conn, orders),
        budgets.read(conn, _keys_with_budgets(orders)),
        _texts_today(conn, orders, accounts),
    )
    writes = _Writes()
    answers = [_decide(order, accounts, known, counts, writes, wait=wait) for order in orders]
    if writes.jobs:
        conn.execute(_WRITE, [_document(accounts, writes).decode()])
        told = {i: (a.told_from, a.event_number) for i, a in accounts.items() if a.told_from is not None}
        if told:
            deliveries.deliver_range(conn, told)
    budgets.write(conn, counts.budgets)
    return answers


_LOCK = """
select a.id, a.available, a.reserved, a.debt, a.slots_in_use, a.event_number, a.storage_bytes, a.expected_bytes,
       p.slots, p.storage_quota_bytes, p.credit_price_usd_micros, p.markup_bp, a.has_webhooks, app_now(),
       p.daily_text_jobs
  from accounts a join plans p on p.id = a.plan_id
 where a.id = any(%s) order by a.id for no key update of a"""
# A later statement than the lock: in the same one, the grants would be seen as they were before the lock was had.
_GRANTS = """
select account_id, id, remaining, expires_at <= app_now() from grants
 where account_id = any(%s) and open order by account_id, expires_at, id"""


def _lock_accounts(conn: Connection[Any], ids: list[UUID], *, wait: bool) -> dict[UUID, _Account]:
    lock = _LOCK if wait else _LOCK + " skip locked"
    with conn.pipeline():
        locked = conn.execute(lock, [ids])
        granted = conn.execute(_GRANTS, [ids])
    accounts = {row[0]: _Account(*row[1:]) for row in locked.fetchall()}
    lapsed = False
    for account_id, grant_id, remaining, has_lapsed in granted.fetchall():
        if account_id in accounts:
            lapsed = lapsed or bool(has_lapsed)
            accounts[account_id].grants.append([grant_id, remaining])
    if lapsed:
        # Rare, and what is left must be known before anything is refused: expire, then read again.
        ledger.expire_lapsed(conn, sorted(accounts))
        return _lock_accounts(conn, sorted(accounts), wait=True)
    return accounts


def _known_keys(conn: Connection[Any], orders: Sequence[Order]) -> dict[tuple[UUID, str], tuple[bytes, UUID, str]]:
    keyed = [(order.account_id, order.idempotency_key) for order in orders if order.idempotency_key]
    if not keyed:
        return {}
    rows = conn.execute(
        """select k.account_id, k.key, k.body_hash, k.job_id, j.queue
             from unnest(%s::uuid[], %s::text[]) as wanted(account_id, key)
             join idempotency_keys k using (account_id, key) join jobs j on j.id = k.job_id
            where k.created_at > app_now() - make_interval(hours => %s)""",
        [[each[0] for each in keyed], [each[1] for each in keyed], settings().idempotency_key_hours],
    )
    return {(row[0], row[1]): (bytes(row[2]), row[3], row[4]) for row in rows.fetchall()}


def _models_in_use(conn: Connection[Any], orders: Sequence[Order]) -> dict[tuple[UUID, str], int]:
    limited = {(order.account_id, order.offer.entry.id) for order in orders if order.offer.entry.slots}
    if not limited:
        return {}
    rows = conn.execute(
        """select account_id, model_id, count(*) from job_runs join unnest(%s::uuid[], %s::text[])
             as wanted(account_id, model_id) using (account_id, model_id) where dispatched group by 1, 2""",
        [[each[0] for each in limited], [each[1] for each in limited]],
    )
    return {(row[0], row[1]): row[2] for row in rows.fetchall()}


def _keys_with_budgets(orders: Sequence[Order]) -> set[UUID]:
    return {order.api_key_id for order in orders if order.api_key_id and order.key_budget is not None}


def _texts_today(conn: Connection[Any], orders: Sequence[Order], accounts: Mapping[UUID, _Account]) -> dict[UUID, int]:
    """How many texts these accounts have ordered today, by the times in the jobs' ids: only today's are read."""
    limited = {
        order.account_id
        for order in orders
        if order.offer.entry.kind == "text"
        and (account := accounts.get(order.account_id)) is not None
        and account.daily_text_jobs is not None
    }
    if not limited:
        return {}
    rows = conn.execute(
        """select j.account_id, count(*) from jobs j join models m on m.id = j.model_id and m.version = j.model_version
            where j.account_id = any(%s) and m.kind = 'text' and j.id >= %s group by 1""",
        [list(limited), first_id_of(accounts[next(iter(limited))].now)],
    )
    return dict(rows.fetchall())


def first_id_of(moment: datetime) -> UUID:
    """The smallest UUIDv7 of the moment's day (UTC)."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return UUID(int=(int(midnight.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62))


def _decide(
    order: Order,
    accounts: Mapping[UUID, _Account],
    known: dict[tuple[UUID, str], tuple[bytes, UUID, str]],
    counts: _Counts,
    writes: _Writes,
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
    refusal = _refusal(account, price, expected) or _over_limits(order, account, counts, price)
    if refusal:
        return refusal
    model_slot, in_use = (order.account_id, entry.id), counts.models_in_use
    dispatched = account.slots_in_use < account.slots and (
        entry.slots is None or in_use.get(model_slot, 0) < entry.slots
    )
    queue = order.queue or entry.queue
    if dispatched:
        account.slots_in_use += 1
        in_use[model_slot] = in_use.get(model_slot, 0) + 1
    if order.idempotency_key:
        known[order.account_id, order.idempotency_key] = (order.body_hash, order.job_id, queue)
    _count(order, counts, price)
    account.available -= price
    account.reserved += price
    account.expected_bytes += expected
    if account.told_from is None and (account.has_webhooks or order.webhook):
        account.told_from = account.event_number
    account.event_number += 1
    account.changed = True
    _take(order.job_id, account, price, writes)
    writes.jobs.append(
        {
            "id": order.job_id, "account_id": order.account_id, "api_key_id": order.api_key_id,
            "model_id": entry.id, "model_version": order.offer.version, "input": order.input, "queue": queue,
            "priority": order.priority, "retry_of": order.retry_of, "price": price, "unit": entry.price.unit,
            "quantity_milli": quantity_milli, "numerator": rate.numerator, "denominator": rate.denominator,
            "dispatched": dispatched, "expected_bytes": expected, "available": account.available, "reserved": account.reserved,
            "event_number": account.event_number, "webhook": order.webhook, "key": order.idempotency_key, "body_hash": order.body_hash.hex(),
        }
    )  # fmt: skip
    if ledger.is_low(account.available + price, account.available):
        account.event_number += 1
        data = {"available": account.available, "limit": settings().low_credits}
        writes.low.append({"account_id": order.account_id, "number": account.event_number, "data": data})
    return Accepted(
        order.job_id, replayed=False, dispatched=dispatched, queue=queue, price_credits=price, created_at=account.now,
        slots=account.slots, slots_in_use=account.slots_in_use,
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


def _refusal(account: _Account, price: int, expected: int) -> DomainError | None:
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
    if price > account.available:
        return NotEnoughCredits(
            f"this job needs {price} credits; {account.available} are available",
            needed=price,
            available=account.available,
        )
    return None


def _over_limits(order: Order, account: _Account, counts: _Counts, price: int) -> DomainError | None:
    if order.api_key_id and order.key_budget is not None:
        refusal = counts.budgets.refusal(order.api_key_id, price)
        if refusal:
            return refusal
    if order.offer.entry.kind == "text":
        left = daily_texts_left(account.daily_text_jobs, counts.texts.get(order.account_id, 0))
        if left == 0:
            return DailyLimitReached(
                f"the plan has {account.daily_text_jobs} texts a day, and they are used; the next day begins at 00:00 UTC",
                limit=account.daily_text_jobs,
            )
    return None


def _count(order: Order, counts: _Counts, price: int) -> None:
    """What an accepted order adds to what its key and its account have had."""
    if order.api_key_id and order.key_budget is not None:
        counts.budgets.pay(order.api_key_id, price)
    if order.offer.entry.kind == "text":
        counts.texts[order.account_id] = counts.texts.get(order.account_id, 0) + 1


def _take(job_id: UUID, account: _Account, price: int, writes: _Writes) -> None:
    for lot in ledger.allocate(((grant_id, remaining) for grant_id, remaining in account.grants), price):
        grant = next(each for each in account.grants if each[0] == lot.grant_id)
        grant[1] -= lot.amount
        writes.grants[lot.grant_id] = grant[1]
        writes.lots.append({"job_id": job_id, "grant_id": lot.grant_id, "amount": lot.amount})


def _document(accounts: Mapping[UUID, _Account], writes: _Writes) -> bytes:
    """Everything that the write statement needs, as one JSON parameter: the cheapest way to send many rows at once."""
    return orjson.dumps(
        {
            "jobs": writes.jobs,
            "lots": writes.lots,
            "low": writes.low,
            "grants": [{"id": grant_id, "remaining": left} for grant_id, left in sorted(writes.grants.items())],
            "accounts": [
                {
                    "id": account_id, "available": account.available, "reserved": account.reserved,
                    "slots_in_use": account.slots_in_use, "event_number": account.event_number,
                    "expected_bytes": account.expected_bytes,
                }
                for account_id, account in accounts.items() if account.changed
            ],
            "ring_again_seconds": settings().ring_again_seconds,
        }
    )  # fmt: skip


_WRITE = """
with doc as materialized (select %s::jsonb as d),
new as materialized (
  select x.* from doc, jsonb_to_recordset(d->'jobs') as x(
    id uuid, account_id uuid, api_key_id uuid, model_id text, model_version int, input jsonb, queue text,
    priority smallint, retry_of uuid, price bigint, unit text, quantity_milli bigint, numerator bigint,
    denominator bigint, dispatched boolean, expected_bytes bigint, available bigint, reserved bigint, event_number bigint,
    webhook jsonb, key text, body_hash text)
), j as (
  insert into jobs (id, account_id, api_key_id, model_id, model_version, input, queue, retry_of, price_credits, unit,
                    quantity_milli, price_numerator, price_denominator, webhook)
  select id, account_id, api_key_id, model_id, model_version, input, queue, retry_of, price, unit,
         quantity_milli, numerator, denominator, nullif(webhook, 'null') from new
), r as (
  insert into job_runs (job_id, account_id, model_id, queue, priority, dispatched, expected_bytes, wake_at)
  select id, account_id, model_id, queue, priority, dispatched, expected_bytes,
         case when dispatched then app_now() + make_interval(secs => (d->>'ring_again_seconds')::float) end
    from new, doc
), held as (
  insert into reservations (job_id, account_id, amount) select id, account_id, price from new
), lots as (
  insert into reservation_grants (job_id, grant_id, amount)
  select x.job_id, x.grant_id, x.amount
    from doc, jsonb_to_recordset(d->'lots') as x(job_id uuid, grant_id uuid, amount bigint)
), used as (
  update grants g set remaining = x.remaining
    from doc, jsonb_to_recordset(d->'grants') as x(id uuid, remaining bigint) where g.id = x.id
), entries as (
  insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
  select account_id, 'reserve', price, 'available', 'reserved', id, available, reserved
    from new where price > 0 order by event_number
), told as (
  insert into events (account_id, number, type, job_id, data)
  select account_id, event_number, 'job.queued', id,
         jsonb_build_object('model', model_id, 'credits', price, 'available', available, 'reserved', reserved) from new
  union all
  select account_id, number, 'credits.low', null, data
    from doc, jsonb_to_recordset(d->'low') as x(account_id uuid, number bigint, data jsonb)
), keys as (
  insert into idempotency_keys (account_id, key, body_hash, job_id)
  select account_id, key, decode(body_hash, 'hex'), id from new where key is not null
  on conflict (account_id, key) do update
     set body_hash = excluded.body_hash, job_id = excluded.job_id, created_at = excluded.created_at
)
update accounts a set available = x.available, reserved = x.reserved, slots_in_use = x.slots_in_use,
                      event_number = x.event_number, expected_bytes = x.expected_bytes
  from doc, jsonb_to_recordset(d->'accounts')
    as x(id uuid, available bigint, reserved bigint, slots_in_use int, event_number bigint, expected_bytes bigint)
 where a.id = x.id
"""
