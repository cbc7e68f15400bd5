-- Write down how a job ended (models/jobs/end_job_v6.sql): the job, its attempt, its reservation, the ledger, and its events with
-- their deliveries, which are what models/events/events.py does, in the statement that ends the job. Returns the number of
-- the last event; the sums are the account's after it, and the caller holds its lock.
create or replace function write_end_v3(
  p_account uuid, p_job uuid, p_after bigint, p_ended text, p_settled bigint, p_refunded bigint, p_overrun bigint,
  p_available bigint, p_reserved bigint, p_attempts int, p_started_at timestamptz, p_error_code text, p_error_message text,
  p_number int, p_phase text, p_attempt_error_code text, p_attempt_error_message text, p_charged boolean,
  p_cost_usd_micros bigint, p_usage jsonb, p_assets jsonb, p_extra jsonb, p_deliver boolean
) returns bigint language plpgsql as $$
declare
  v_resolution text := case when p_ended = 'succeeded' or p_settled > 0 or p_overrun > 0 then 'settle' else 'refund' end;
  v_number bigint := p_after + 1 + coalesce(jsonb_array_length(p_assets), 0);
  v_hooked boolean;
  v_labels jsonb;  -- {'labels': …} of the job, for its events
  v_created_at timestamptz;
begin
  with run as (
    delete from job_runs where job_id = p_job
  ), held as (
    update reservations set resolution = v_resolution, settled = p_settled, refunded = p_refunded, resolved_at = app_now()
     where job_id = p_job
  )
  update jobs j set ended = p_ended, ended_at = app_now(), resolution = v_resolution, charged_credits = p_settled,
                    overrun_credits = nullif(greatest(p_overrun, 0), 0), attempts = p_attempts,
                    error_code = p_error_code, error_message = p_error_message, started_at = p_started_at
   where j.id = p_job returning j.webhook is not null, case when j.labels is null then '{}' else jsonb_build_object('labels', j.labels) end, j.created_at
    into v_hooked, v_labels, v_created_at;
  if p_number is not null then
    update attempts set phase = p_phase, ended_at = app_now(), delivered = null, own_key = null, error_code = p_attempt_error_code,
                        error_message = p_attempt_error_message, charged = p_charged,
                        cost_usd_micros = coalesce(p_cost_usd_micros, cost_usd_micros), usage = coalesce(p_usage, usage)
     where job_id = p_job and number = p_number;
  else  -- whoever ends a job without a word on its attempt knows nothing of it
    update attempts set phase = 'abandoned', ended_at = app_now(), delivered = null, own_key = null
     where job_id = p_job and ended_at is null;
  end if;
  if p_settled > 0 then
    insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
    values (p_account, 'settle', p_settled, 'reserved', 'spent', p_job, p_available - p_refunded, p_reserved + p_refunded);
  end if;
  if p_refunded > 0 then
    -- To the lines with a budget that paid for the key (models/access/api_keys.py); no end may fail on it.
    update key_spending s set credits = greatest(s.credits - p_refunded, 0) from jobs j join api_keys k on k.id = j.api_key_id
     where j.id = p_job and s.key_id = any(k.lineage || coalesce(k.root_id, k.id)) and s.month = date_trunc('month', j.created_at at time zone 'UTC')::date;
    insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
    values (p_account, 'refund', p_refunded, 'reserved', 'available', p_job, p_available, p_reserved);
    if v_labels <> '{}' then
      perform lower_label_spending_v1(p_account, v_labels->'labels', v_created_at, p_refunded);
    end if;
  end if;
  -- One event per result, before the one of the end, so that whoever hears that a job is over has its results.
  insert into events (account_id, number, type, job_id, data)
  select p_account, p_after + s.nr, 'job.output', p_job,
         jsonb_build_object('output', (s.a - '{key,sha256,thumbnail_key,thumbnail_bytes}'::text[])
                                      || jsonb_build_object('thumbnail', s.a->>'thumbnail_key' is not null)) || v_labels
    from jsonb_array_elements(p_assets) with ordinality as s(a, nr)
  union all
  select p_account, v_number, 'job.' || p_ended, p_job,
         jsonb_build_object('credits', p_settled, 'available', p_available, 'reserved', p_reserved)
         || case when p_error_code is null then '{}'
                 else jsonb_build_object('error', jsonb_build_object('code', p_error_code, 'message', p_error_message)) end || v_labels || p_extra;
  if p_deliver or v_hooked then
    perform deliver_events_v1(array[p_account], array[p_after], array[v_number]);
  end if;
  return v_number;
end $$
