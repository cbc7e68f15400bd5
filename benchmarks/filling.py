"""Stored jobs with all that hangs on them, written in few statements. The filled database passes its own audit."""

import psycopg

from common.settings import settings
from models.credits.audit import audit
from models.db import transaction
from models.usage.entries import add_up

PART = 500_000
BYTES = 100  # of a result
DAY_SECONDS = 80_000  # within which all of them were ordered: usage has partitions for what is new alone


def fill(count: int, *, prompt: str = "a harbour at dawn", key: str = "bench/") -> None:
    """Store so many succeeded jobs of one credit, spread over the accounts. Constraints are known to hold, so they are not checked.

    Raises RuntimeError where the books do not balance afterwards.
    """
    for begin in range(0, count, PART):
        size = min(PART, count - begin)
        with psycopg.connect(settings().database_url) as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute("set timezone = 'UTC'")
            conn.execute(_OLD, {"begin": begin, "end": begin + size - 1, "apart": DAY_SECONDS / count})
            for statement in _FILL:
                conn.execute(statement, {"bytes": BYTES, "prompt": prompt, "key": key})
        print(f"\r  stored {begin + size:,} of {count:,}", end="", flush=True)
    with psycopg.connect(settings().database_url, autocommit=True) as conn:
        conn.execute("vacuum analyze")
    while _add_up():
        pass
    print("\r  proving the books …" + " " * 20, end="", flush=True)
    with transaction() as conn:
        findings = audit(conn)
    if findings:
        raise RuntimeError(f"the filled database does not pass its own audit: {[found.rule for found in findings]}")
    print("\r" + " " * 40 + "\r", end="", flush=True)


def _add_up() -> int:
    with transaction() as conn:
        conn.execute("set local statement_timeout = '600s'")
        return add_up(conn, 50_000)


# What each account had before is in its row, so that its sums go on from there.
_OLD = """
create temporary table old on commit drop as
select x.*, row_number() over (partition by account order by g) as nr, a.available, a.event_number as events
  from (select g, uuidv7(make_interval(secs => g * %(apart)s - 90000)) as id, app_now() - make_interval(secs => 90000 - g * %(apart)s) as at,
               ids[g %% cardinality(ids) + 1] as account
          from generate_series(%(begin)s::int, %(end)s::int) g, (select array_agg(id order by id) as ids from accounts) i) x
  join accounts a on a.id = x.account"""

_FILL = (
    """insert into jobs (id, account_id, model_id, model_version, input, queue, price_credits, unit, quantity_milli,
         price_numerator, price_denominator, created_at, ended, ended_at, started_at, resolution, charged_credits, attempts)
       select id, account, 'bench', 1, jsonb_build_object('prompt', %(prompt)s::text, 'seed', 7), 'interactive', 1, 'job', 1000, 1000, 1000,
              at, 'succeeded', at, at, 'settle', 1, 1 from old""",
    """insert into reservations (job_id, account_id, amount, resolution, settled, refunded, resolved_at)
       select id, account, 1, 'settle', 1, 0, at from old""",
    """insert into reservation_grants (job_id, grant_id, amount, settled)
       select o.id, g.id, 1, 1 from old o join grants g on g.account_id = o.account""",
    """insert into attempts (job_id, number, token, provider, route, phase, ended_at)
       select id, 1, 1, 'sketch', 0, 'done', at from old""",
    """insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, expires_at)
       select uuidv7(), id, account, 0, %(key)s::text || g, 'image/png', %(bytes)s, sha256('x'), app_now() + interval '30 days' from old""",
    """insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after, created_at)
       select account, k.kind, 1, k.source, k.target, id, available - nr, k.reserved, at
         from old cross join (values (0, 'reserve', 'available', 'reserved', 1), (1, 'settle', 'reserved', 'spent', 0))
              as k(turn, kind, source, target, reserved) order by g, k.turn""",
    """insert into events (account_id, number, type, job_id, data) select account, events + nr, 'job.succeeded', id, '{}' from old""",
    """insert into usage_entries (account_id, job_id) select account, id from old""",
    """insert into usage_entries (account_id, at, bytes_added)
       select account, date_bin('15 min', app_now(), 'epoch'), count(*) * %(bytes)s from old group by 1""",
    """insert into stored_kinds as k (account_id, kind, bytes, files)
       select account, 'image', count(*) * %(bytes)s, count(*) from old group by 1
           on conflict (account_id, kind) do update set bytes = k.bytes + excluded.bytes, files = k.files + excluded.files""",
    """update accounts a set available = a.available - o.count, event_number = a.event_number + o.count,
              storage_bytes = storage_bytes + o.count * %(bytes)s
         from (select account, count(*) as count from old group by 1) o where a.id = o.account""",
    """update grants g set remaining = remaining - o.count
         from (select account, count(*) as count from old group by 1) o where g.account_id = o.account""",
)
