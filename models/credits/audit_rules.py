"""Rules of the audit that are not about the ledger itself: what is counted beside it, and the events that tell of it."""

from typing import NamedTuple


class Rule(NamedTuple):
    """What must hold, and the query for the rows that break it."""

    name: str
    meaning: str
    query: str


SUMS_AND_EVENTS = (
    Rule(
        "label_limits_are_known_to_their_account",
        "an account is marked as having limits of labels exactly if it has one, so that no order passes one by",
        """select a.id as account_id, a.has_label_limits from accounts a
            where a.has_label_limits <> exists (select 1 from label_limits l where l.account_id = a.id)""",
    ),
    Rule(
        "slots_are_counted",
        "an account's slots in use are its dispatched jobs",
        """select a.id as account_id, a.slots_in_use, count(r.job_id) as dispatched
             from accounts a left join job_runs r on r.account_id = a.id and r.dispatched
            group by a.id, a.slots_in_use having a.slots_in_use <> count(r.job_id)""",
    ),
    Rule(
        "what_comes_is_counted",
        "what an account is taken to expect is what its living jobs are",
        """select a.id as account_id, a.expected_bytes, coalesce(sum(r.expected_bytes), 0)::bigint as of_jobs
             from accounts a left join job_runs r on r.account_id = a.id
            group by a.id, a.expected_bytes having a.expected_bytes <> coalesce(sum(r.expected_bytes), 0)""",
    ),
    Rule(
        "storage_is_counted",
        "an account's storage use is its stored results and uploads",
        """select a.id as account_id, a.storage_bytes, coalesce(sum(s.bytes), 0)::bigint as stored
             from accounts a
             left join (select account_id, size_bytes + thumbnail_bytes as bytes from assets where status = 'stored'
                        union all select account_id, size_bytes from uploads where status = 'stored') s
               on s.account_id = a.id
            group by a.id, a.storage_bytes having a.storage_bytes <> coalesce(sum(s.bytes), 0)""",
    ),
    Rule(
        "usage_is_what_jobs_did",
        "usage counts every ended job once it has no entry any more, with its outcome, credits, results, tokens and what its attempts cost",
        """select account_id, at, model_id, labels_key, to_jsonb(u) as counted, to_jsonb(j) as of_jobs from (
             select account_id, at, model_id, labels_key, succeeded, failed, canceled, credits, results, cost_usd_micros, tokens_in, tokens_out
               from usage where source = 'job') u
             full join (
               select coalesce(j.account_id, j.past_account_id) as account_id, date_bin('15 min', j.ended_at, 'epoch') as at, j.model_id,
                      md5(coalesce(j.labels::text, ''))::uuid as labels_key,
                      count(*) filter (where j.ended = 'succeeded') as succeeded, count(*) filter (where j.ended = 'failed') as failed,
                      count(*) filter (where j.ended = 'canceled') as canceled, coalesce(sum(j.charged_credits), 0)::bigint as credits,
                      coalesce(sum(coalesce((j.remains->>'results')::bigint, s.results)), 0)::bigint as results,
                      coalesce(sum(case when j.remains is null then a.cost else least((j.remains->>'cost_usd_micros')::numeric, 1e12) end), 0)::bigint as cost_usd_micros,
                      coalesce(sum(case when j.remains is null then a.tokens_in else least((j.remains->>'tokens_in')::numeric, 1e12) end), 0)::bigint as tokens_in,
                      coalesce(sum(case when j.remains is null then a.tokens_out else least((j.remains->>'tokens_out')::numeric, 1e12) end), 0)::bigint as tokens_out
                 from jobs j
                 left join (select job_id, least(coalesce(sum(cost_usd_micros), 0), 1e12) as cost,
                                   least(coalesce(sum((usage->>'tokens_in')::numeric), 0), 1e12) as tokens_in,
                                   least(coalesce(sum((usage->>'tokens_out')::numeric), 0), 1e12) as tokens_out
                              from attempts group by job_id) a on a.job_id = j.id
                 left join (select job_id, count(*) as results from assets group by job_id) s on s.job_id = j.id
                where j.ended is not null and not exists (select from usage_entries e where e.job_id = j.id)
                group by 1, 2, 3, 4) j using (account_id, at, model_id, labels_key)
            where (u.succeeded, u.failed, u.canceled, u.credits, u.results, u.cost_usd_micros, u.tokens_in, u.tokens_out)
                  is distinct from
                  (j.succeeded, j.failed, j.canceled, j.credits, j.results, j.cost_usd_micros, j.tokens_in, j.tokens_out)""",
    ),
    Rule(
        "forgotten_jobs_are_narrow",
        "of a job that is forgotten there is no attempt, no result, no event and no run, and its account is the one that paid for it",
        """select j.id as job_id, j.past_account_id, v.account_id from jobs j left join reservations v on v.job_id = j.id
            where j.past_account_id is not null
              and (v.account_id is distinct from j.past_account_id
                   or exists (select 1 from attempts x where x.job_id = j.id) or exists (select 1 from assets x where x.job_id = j.id)
                   or exists (select 1 from events x where x.job_id = j.id) or exists (select 1 from job_runs x where x.job_id = j.id))""",
    ),
    Rule(
        "usage_has_entries_of_ended_jobs",
        "an entry of usage that waits to be added up is of a job that has ended, its account's, and the only one",
        """select e.account_id, e.job_id, count(*) as entries from usage_entries e
             left join jobs j on j.id = e.job_id and j.account_id = e.account_id and j.ended is not null
            where e.job_id is not null group by e.account_id, e.job_id having count(*) > 1 or count(j.id) = 0""",
    ),
    Rule(
        "usage_is_what_holds_spent",
        "usage counts what was spent of holds",
        """select account_id, at, model_id, labels_key, u.credits as counted, h.credits as of_entries from (
             select account_id, at, model_id, labels_key, credits from usage where source = 'hold') u
             full join (
               select h.account_id, date_bin('15 min', e.created_at, 'epoch') as at, coalesce(h.model, '') as model_id,
                      md5(coalesce(h.labels::text, ''))::uuid as labels_key, sum(e.amount)::bigint as credits
                 from ledger_entries e join holds h on h.id = e.hold_id where e.kind = 'settle' group by 1, 2, 3, 4) h
             using (account_id, at, model_id, labels_key)
            where u.credits is distinct from h.credits""",
    ),
    Rule(
        "usage_is_what_is_stored",
        "what usage counts as added to an account's storage, or has entries of, less what went, is what is stored",
        """select a.id as account_id, a.storage_bytes, coalesce(u.bytes, 0) as counted
             from accounts a left join (select account_id, sum(bytes_added - bytes_removed)::bigint as bytes
                                          from (select account_id, bytes_added, bytes_removed from usage where source = 'storage'
                                                 union all select account_id, bytes_added, bytes_removed from usage_entries) x
                                         group by account_id) u on u.account_id = a.id
            where a.storage_bytes <> coalesce(u.bytes, 0)""",
    ),
    Rule(
        "kinds_are_counted",
        "what an account is said to store of each kind is its stored results and uploads of that kind",
        """select account_id, kind, sum(bytes)::bigint as bytes_too_many, sum(files)::bigint as files_too_many from (
             select account_id, kind, bytes, files from stored_kinds
              union all
             select account_id, case split_part(media_type, '/', 1) when 'image' then 'image' when 'video' then 'video'
                                                                    when 'audio' then 'speech' else 'text' end,
                    -(size_bytes + thumbnail_bytes), -1 from assets where status = 'stored'
              union all
             select account_id, 'uploads', -size_bytes, -1 from uploads where status = 'stored') x
            group by account_id, kind having sum(bytes) <> 0 or sum(files) <> 0""",
    ),
    Rule(
        "events_have_no_gaps",
        "an account's events are numbered from the oldest kept to its counter without a gap or a repeat",
        """select a.id as account_id, a.event_number, count(e.number) as events, min(e.number) as first, max(e.number) as last
             from accounts a left join events e on e.account_id = a.id
            group by a.id, a.event_number having a.event_number <> coalesce(max(e.number), a.event_number)
                or count(distinct e.number) <> count(e.number)
                or (count(e.number) > 0 and count(e.number) <> max(e.number) - min(e.number) + 1)""",
    ),
    Rule(
        "webhooks_are_known_to_their_account",
        "an account is marked as having webhooks exactly if it has one that is on, so that no event passes one by",
        """select a.id as account_id, a.has_webhooks from accounts a
            where a.has_webhooks <> exists (select 1 from webhook_endpoints e where e.account_id = a.id and e.enabled)""",
    ),
    Rule(
        "waiting_deliveries_have_a_queue_that_wakes",
        "what waits to be delivered is on a queue that a sender will find",
        """select d.queue_id, count(*) as waiting from deliveries d left join delivery_queues l on l.id = d.queue_id
            where d.status = 'pending' and l.wake_at is null group by d.queue_id""",
    ),
    Rule(
        "each_job_ends_with_one_event",
        "a job has one event that it was queued, and one of its end if it has ended",
        """select e.job_id, count(*) filter (where e.type = 'job.queued') as queued,
                  count(*) filter (where e.type in ('job.succeeded', 'job.failed', 'job.canceled')) as ends, j.ended
             from events e join jobs j on j.id = e.job_id group by e.job_id, j.ended
           having count(*) filter (where e.type = 'job.queued') > 1
               or count(*) filter (where e.type in ('job.succeeded', 'job.failed', 'job.canceled'))
                  <> case when j.ended is null then 0 else 1 end""",
    ),
)
