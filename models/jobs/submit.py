"""Submit: many orders in one transaction (DESIGN section 10).

One call locks the accounts, reads what is needed, decides in pure Python (`admission`), and writes all of it with one
statement.
A batch never waits for an account that another transaction holds: such orders come back as `Locked`, and the caller
tries them again in a lane that may wait.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection

from common.settings import settings
from models.access import browser_tokens, budgets
from models.columns import NEVER
from models.credits import label_limits, ledger
from models.credits.label_limits import OneLabel, labels_of
from models.credits.ledger import Fund
from models.db import write_certainly
from models.events import events
from models.jobs import pauses, repeats
from models.jobs.admission import AccountState, Answer, Counts, Locked, Order, Writes, decide
from models.jobs.repeats import SentOrder
from models.locks import locking


def submit(conn: Connection[Any], orders: Sequence[Order], *, wait: bool = False) -> list[Answer]:
    """Answer each order, in order: accepted, refused with its reason, or locked (never with `wait`)."""
    sent = [SentOrder(o.account_id, o.body_hash, o.retried) for o in orders if o.retried is not None]
    accounts, lost = _lock_accounts(conn, sorted({order.account_id for order in orders}), sent, wait=wait)
    if not accounts and not wait:
        return [Locked() for _ in orders]
    known = _known_keys(conn, orders) | _sent_before(conn, orders, accounts, lost)
    counts = Counts(
        _models_in_use(conn, orders),
        budgets.read(conn, _keys_with_budgets(orders)),
        _texts_today(conn, orders, accounts),
        label_limits.read_limits(conn, _labels_with_limits(orders, accounts)),
        browser_tokens.read_credits(conn, {order.token_id for order in orders if order.token_id}),
        pauses.seen(conn),
    )
    writes = Writes()
    answers = [decide(order, accounts, known, counts, writes, wait=wait) for order in orders]
    if writes.jobs:
        write_certainly(conn, _WRITE, [_document(accounts, writes).decode()])
        _follow_up(conn, accounts, writes)
    budgets.write(conn, counts.budgets)
    label_limits.write_spending(conn, counts.labels)
    browser_tokens.write_spent(conn, counts.tokens)
    return answers


# In the order of AccountState's fields.
_READ = (
    "a.id, a.available, a.reserved, a.debt, a.slots_in_use, a.event_number, a.storage_bytes, a.expected_bytes, p.slots,"
    " p.storage_quota_bytes, p.credit_price_usd_micros, p.markup_bp, a.has_webhooks, app_now(), p.daily_text_jobs, p.priority, a.credit_alerts, a.has_label_limits"
)
# A later statement than the lock: in the same one, the grants would be seen as they were before the lock was had.
_GRANTS = f"""
select account_id, expires_at <= app_now(), id, remaining, models, kinds from grants
 where account_id = any(%s) and open order by account_id, {ledger.ORDER_OF_USE}"""


def _lock_accounts(
    conn: Connection[Any], ids: list[UUID], sent: list[SentOrder], *, wait: bool
) -> tuple[dict[UUID, AccountState], repeats.Answers | None]:
    """The accounts that are had now; and what was asked of these orders' lost answers, under the lock."""
    with conn.pipeline():
        locked = conn.execute(locking(_READ, plan=True, skip_locked=not wait), [ids])
        granted = conn.execute(_GRANTS, [ids])
        lost = repeats.ask_lost(conn, sent)
    accounts = {row[0]: AccountState(*row[1:]) for row in locked.fetchall()}
    lapsed = False
    for account_id, has_lapsed, *fund in granted.fetchall():
        if account_id in accounts:
            lapsed = lapsed or bool(has_lapsed)
            accounts[account_id].funds.append(Fund(*fund))
    if lapsed:
        # Rare, and what is left must be known before anything is refused: expire, then read again.
        ledger.expire_lapsed(conn, sorted(accounts))
        return _lock_accounts(conn, sorted(accounts), sent, wait=True)
    return accounts, lost


def _follow_up(conn: Connection[Any], accounts: Mapping[UUID, AccountState], writes: Writes) -> None:
    """What the events that were written with the jobs entail."""
    written = {
        i: (a.event_number_before, a.event_number) for i, a in accounts.items() if a.event_number_before is not None
    }
    deliver = [i for i in written if accounts[i].has_webhooks or accounts[i].has_addresses]
    events.follow_up(conn, written, ("job.queued", "credits.low") if writes.low else ("job.queued",), deliver=deliver)


def _known_keys(conn: Connection[Any], orders: Sequence[Order]) -> dict[tuple[UUID, str], tuple[bytes, UUID, str]]:
    keyed = [(o.account_id, o.idempotency_key) for o in orders if o.idempotency_key and o.retried is None]
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


def _sent_before(
    conn: Connection[Any], orders: Sequence[Order], accounts: Mapping[UUID, AccountState], lost: repeats.Answers | None
) -> dict[tuple[UUID, str], tuple[bytes, UUID, str]]:
    """The jobs of orders that are the same as some that were sent before, under the keys that these were given."""
    sent = [order for order in orders if order.retried is not None and order.account_id in accounts]
    found = repeats.earlier(conn, [SentOrder(o.account_id, o.body_hash, bool(o.retried)) for o in sent], lost)
    return {
        (order.account_id, order.idempotency_key or ""): (order.body_hash, *job)
        for order, job in zip(sent, found, strict=True)
        if job is not None
    }


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


def _labels_with_limits(orders: Sequence[Order], accounts: Mapping[UUID, AccountState]) -> set[OneLabel]:
    """The labels of orders whose account limits some: of no other anything is looked up."""
    limited = {account_id for account_id, account in accounts.items() if account.has_label_limits}
    return {
        each for order in orders if order.account_id in limited for each in labels_of(order.account_id, order.labels)
    }


def _texts_today(
    conn: Connection[Any], orders: Sequence[Order], accounts: Mapping[UUID, AccountState]
) -> dict[UUID, int]:
    """How many texts these accounts have ordered today, by the times in the jobs' ids: only today's are read. One that
    failed gives its turn back as it does its credits, unless a provider was paid for it or that is not known.
    """
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
            where j.account_id = any(%s) and m.kind = 'text' and j.id >= %s and not (
                    j.ended is not distinct from 'failed' and not exists (
                      select 1 from attempts t where t.job_id = j.id and (t.charged or t.phase = 'abandoned')))
            group by 1""",
        [list(limited), first_id_of(accounts[next(iter(limited))].now)],
    )
    return dict(rows.fetchall())


def first_id_of(moment: datetime) -> UUID:
    """The smallest UUIDv7 of the moment's day (UTC)."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return UUID(int=(int(midnight.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62))


def _document(accounts: Mapping[UUID, AccountState], writes: Writes) -> bytes:
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


_WRITE = f"""
with doc as materialized (select %s::jsonb as d),
new as materialized (
  select x.* from doc, jsonb_to_recordset(d->'jobs') as x(
    id uuid, account_id uuid, api_key_id uuid, model_id text, model_version int, input jsonb, queue text,
    priority smallint, retry_of uuid, price bigint, unit text, quantity_milli bigint, numerator bigint,
    denominator bigint, dispatched boolean, expected_bytes bigint, available bigint, reserved bigint, event_number bigint,
    webhook jsonb, labels jsonb, key text, body_hash text, later boolean)
), j as (
  insert into jobs (id, account_id, api_key_id, model_id, model_version, input, queue, retry_of, price_credits, unit,
                    quantity_milli, price_numerator, price_denominator, webhook, labels)
  select id, account_id, api_key_id, model_id, model_version, input, queue, retry_of, price, unit,
         quantity_milli, numerator, denominator, nullif(webhook, 'null'), nullif(labels, 'null') from new
), r as (
  insert into job_runs (job_id, account_id, model_id, queue, priority, dispatched, expected_bytes, wake_at)
  select id, account_id, model_id, queue, priority, dispatched, expected_bytes,
         case when dispatched then app_now() + make_interval(secs => (d->>'ring_again_seconds')::float) when later then {NEVER} end
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
), low as (
  insert into events (account_id, number, type, job_id, data)
  select account_id, event_number, 'job.queued', id,
         jsonb_build_object('model', model_id, 'credits', price, 'available', available, 'reserved', reserved)
         || case when labels is null or labels = 'null' then '{{}}' else jsonb_build_object('labels', labels) end from new
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
