"""What is forgotten of jobs that ended long ago: first what people wrote (PROMPT_DAYS), then the job itself (JOB_DAYS).

What its owner keeps stays: a result kept past its plan's time, a saved session, a summary. Of a job that is forgotten a narrow
row stays, which is nobody's, since the books refer to it: ledger, reservations and what was spent of each grant.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from models.operations import archived, walks

PROMPTS, JOBS = "erase_prompts", "forget_jobs"  # the duties, whose rows have the walks' cursors

_SAVED = """exists (select 1 from playground_sessions x where x.job_id = j.id)
         or exists (select 1 from summaries x where x.paragraph_job = j.id)
         or exists (select 1 from summaries x where x.implications_job = j.id)"""
_KEPT = f"""(exists (select 1 from assets s where s.job_id = j.id and s.status = 'stored' and s.plan_ends_at is not null
                        and s.expires_at > app_now()) or {_SAVED})"""
# An object of it is in the bucket, or its end is not in the account's usage yet.
_HELD = f"""(exists (select 1 from assets s where s.job_id = j.id and s.purged_at is null) or {_SAVED}
             or exists (select 1 from usage_entries e where e.account_id = j.account_id and e.job_id = j.id))"""

# A delivery is written with its event, so it has the event's time: by these, and by who may receive, an index finds it.
_DELIVERIES = """
select d.id, d.created_at from events e join deliveries d on d.account_id = e.account_id and d.created_at = e.created_at
   and d.job_id = e.job_id and d.endpoint_id is null
 where e.job_id = any(%(jobs)s)
union all
select d.id, d.created_at from events e join webhook_endpoints w on w.account_id = e.account_id
  join deliveries d on d.account_id = e.account_id and d.endpoint_id = w.id and d.created_at = e.created_at and d.job_id = e.job_id
 where e.job_id = any(%(jobs)s)"""

# Those that go with their job, as the statement below deletes them. Two events of one moment find each delivery twice.
_GOING = f"""deliveries x join (select distinct id, created_at from ({_DELIVERIES}) y) y
   on y.id = x.id and y.created_at = x.created_at and x.status <> 'pending'"""

# In this order. Codes, labels, times, credits and costs stay, and so does where results lay.
_ERASE = (
    "update attempts set error_message = null where job_id = any(%(jobs)s) and error_message is not null",
    "delete from provider_callbacks where job_id = any(%(jobs)s)",
    f"""update deliveries d set data = jsonb_set(d.data, '{{error,message}}', 'null') from ({_DELIVERIES}) x
         where d.id = x.id and d.created_at = x.created_at and d.data->'error'->>'message' is not null""",
    """update events set data = jsonb_set(data, '{error,message}', 'null')
        where job_id = any(%(jobs)s) and data->'error'->>'message' is not null""",
    # Their time has come: reads answer 410 at once, and the sweep gives the storage back and deletes the objects.
    """update assets set expires_at = app_now()
        where job_id = any(%(jobs)s) and status = 'stored' and expires_at > app_now() and plan_ends_at is null
          and media_type like 'text/%%'""",
    # The words of a prompt, but not the one for its account.
    """update gallery_items g set words = array_to_tsvector(array['=' || replace(g.account_id::text, '-', '')])
        from assets s where s.job_id = any(%(jobs)s) and g.id = s.id""",
    "delete from kept_texts where job_id = any(%(jobs)s)",
    """update jobs set input = '{}', error_message = null, input_erased_at = app_now()
        where id = any(%(jobs)s) and ended is not null and input_erased_at is null""",
)

_FORGET = (
    """delete from gallery_items g using assets s where s.job_id = any(%(jobs)s) and g.id = s.id""",
    "delete from kept_texts where job_id = any(%(jobs)s)",
    "delete from provider_callbacks where job_id = any(%(jobs)s)",
    "delete from restored_jobs where job_id = any(%(jobs)s)",
    # What is still being sent has its own copy, and is let arrive.
    f"""delete from deliveries d using ({_DELIVERIES}) x
         where d.id = x.id and d.created_at = x.created_at and d.status <> 'pending'""",
    # An account's numbers have no gap: of an event of it number, kind and time stay.
    "update events set job_id = null, data = '{}' where job_id = any(%(jobs)s)",
    """update jobs j set input = '{}', error_message = null, webhook = null,
              input_erased_at = coalesce(j.input_erased_at, app_now()), past_account_id = j.account_id, account_id = null,
              remains = jsonb_build_object('results', (select count(*) from assets s where s.job_id = j.id)) || (
                select jsonb_build_object(
                         'attempts', count(*), 'cost_usd_micros', coalesce(sum(a.cost_usd_micros), 0),
                         'unknown_costs', count(*) filter (where a.cost_usd_micros is null
                           and (a.phase in ('done', 'abandoned') or a.phase = 'failed' and a.charged)),
                         'tokens_in', coalesce(sum((a.usage->>'tokens_in')::numeric), 0),
                         'tokens_out', coalesce(sum((a.usage->>'tokens_out')::numeric), 0))
                  from attempts a where a.job_id = j.id)
        where j.id = any(%(jobs)s) and j.past_account_id is null""",
    "delete from attempts where job_id = any(%(jobs)s)",
    "delete from assets where job_id = any(%(jobs)s)",
    "delete from passed_over where job_id = any(%(jobs)s)",
)


def erase_prompts(conn: Connection[Any], days: int, limit: int) -> int:
    """Erase what people wrote of the next jobs that ended so long ago. Returns how many were looked at."""
    looked_at = walks.next_jobs(conn, PROMPTS, days, limit)
    ripe, kept = _parted(
        conn, looked_at, days, f"j.input_erased_at is null and not {_KEPT}", "j.input_erased_at is null"
    )
    erase_texts(conn, ripe)
    walks.settle(conn, PROMPTS, looked_at, kept)
    return len(looked_at)


def forget_jobs(conn: Connection[Any], days: int, limit: int, *, archive: bool = False) -> int:
    """Forget the next jobs that ended so long ago. Returns how many were looked at.

    `archive`: what is deleted of them is set aside for the archive; while that is behind nothing is forgotten.
    """
    if archive:
        archived.close_files(conn)
        if archived.is_behind(conn):
            return 0
    looked_at = walks.next_jobs(conn, JOBS, days, limit)
    ripe, kept = _parted(
        conn, looked_at, days, f"j.past_account_id is null and not {_HELD}", "j.past_account_id is null"
    )
    walks.settle(conn, JOBS, looked_at, kept)
    if archive and ripe:
        ripe = archived.lock_unforgotten(conn, ripe)
        archived.set_aside(conn, ripe, _GOING)
    if ripe:
        for each in _FORGET:
            conn.execute(each, {"jobs": ripe})
    return len(looked_at)


def erase_texts(conn: Connection[Any], job_ids: Sequence[UUID]) -> None:
    """Erase what people wrote, and what was answered as text, of these jobs, which have ended."""
    if job_ids:
        for each in _ERASE:
            conn.execute(each, {"jobs": list(job_ids)})


def _parted(
    conn: Connection[Any], looked_at: Sequence[UUID], days: int, ripe: str, wanted: str
) -> tuple[list[UUID], list[UUID]]:
    """Of the jobs that were looked at those whose time has come, and those to be looked at again; the rest are done with."""
    if not looked_at:
        return [], []
    rows = conn.execute(
        f"""select j.id, coalesce(j.ended_at <= app_now() - make_interval(days => %s), false) and {ripe}
              from jobs j where j.id = any(%s) and {wanted} order by j.id""",
        [days, list(looked_at)],
    ).fetchall()
    return [row[0] for row in rows if row[1]], [row[0] for row in rows if not row[1]]
