-- End a job and resolve its credits (models/jobs/ending.py). One function, because an end is a hot path of a dozen small
-- statements: their plans are kept, and it costs one round trip. Lock order: account, run, inserts.
--
-- outcome: 'ended'; 'stale', where nothing was done; 'lapsed' or 'revoked', where nothing was done either, because a
-- grant that the job holds credits of needs more work than this, in a transaction of several statements.
create or replace function end_job_v1(
  p_account uuid, p_job uuid, p_token bigint, p_alone boolean, p_ended text, p_cost bigint, p_on_cancel text,
  p_error_code text, p_error_message text, p_result_hours int, p_grace_hours int, p_ring_again float,
  p_number int, p_phase text, p_attempt_error_code text, p_attempt_error_message text, p_charged boolean,
  p_cost_usd_micros bigint, p_usage jsonb, p_assets jsonb, p_extra jsonb,
  out outcome text, out ended text, out event_number bigint, out rings jsonb, out revoked jsonb
) language plpgsql as $$
declare
  acc record;
  run record;
  lot record;
  v_grants uuid[] := '{}';
  v_amounts bigint[] := '{}';
  v_revoked boolean[] := '{}';
  v_settled bigint;
  v_refunded bigint;
  v_left bigint;
  v_part bigint;
  v_resolution text;
  v_available bigint;
  v_free int;
  v_added bigint := 0;
  v_hooked boolean;
begin
  select a.available, a.reserved, a.event_number, a.has_webhooks, p.slots - a.slots_in_use as free into acc
    from accounts a join plans p on p.id = a.plan_id where a.id = p_account for no key update of a;
  -- Statements after the account's lock, so that what hangs on the account is seen as it is under it.
  select r.token, r.cancel_requested_at is not null as canceled, r.model_id, r.attempts, r.dispatched, r.started_at, r.expected_bytes, v.amount into run
    from job_runs r join reservations v on v.job_id = r.job_id where r.job_id = p_job for update of r;
  if not found or run.token <> p_token then
    outcome := 'stale';
    return;
  end if;

  -- Soonest-expiring first: those are spent; what goes back, goes to the latest.
  for lot in
    select l.grant_id, l.amount, g.revoked_at is not null as revoked, g.open and g.expires_at <= app_now() as lapsed
      from reservation_grants l join grants g on g.id = l.grant_id where l.job_id = p_job order by g.expires_at, g.id
  loop
    if lot.lapsed then  -- what is left of it must not live on because some of it comes back
      outcome := 'lapsed';
      return;
    elsif lot.revoked and p_alone then
      outcome := 'revoked';
      return;
    end if;
    v_grants := v_grants || lot.grant_id;
    v_amounts := v_amounts || lot.amount;
    v_revoked := v_revoked || lot.revoked;
  end loop;

  ended := p_ended;
  if p_ended <> 'canceled' and run.canceled and not (p_ended = 'succeeded' and p_on_cancel = 'keep') then
    -- The client gave the job up before its result was there: the result is dropped, the cost stays on the attempt.
    ended := 'canceled';
    p_cost := case p_on_cancel when 'charge' then least(p_cost, run.amount) else 0 end;
    p_error_code := null;
    p_error_message := null;
    p_assets := null;
    p_extra := '{}';
  end if;
  v_resolution := case when ended = 'succeeded' or p_cost > 0 then 'settle' else 'refund' end;
  v_settled := least(p_cost, run.amount);
  v_refunded := run.amount - v_settled;

  v_left := v_settled;
  for i in 1 .. cardinality(v_grants) loop
    v_part := least(v_amounts[i], v_left);
    v_left := v_left - v_part;
    update reservation_grants set settled = v_part where job_id = p_job and grant_id = v_grants[i];
    if v_revoked[i] then
      revoked := coalesce(revoked, '[]') || jsonb_build_array(jsonb_build_array(v_grants[i], v_part, v_amounts[i] - v_part));
    elsif v_amounts[i] > v_part then
      -- A grant that has expired meanwhile gets one grace period in all, counted from when it was to expire: ordering
      -- and failing again and again renews nothing. What comes back after it, expires with the next look at the account.
      update grants set remaining = remaining + v_amounts[i] - v_part,
                        first_expires_at = coalesce(first_expires_at, case when expires_at <= app_now() then expires_at end),
                        expires_at = case when expires_at <= app_now()
                                          then greatest(expires_at, coalesce(first_expires_at, expires_at)
                                                                    + make_interval(hours => p_grace_hours))
                                          else expires_at end
       where id = v_grants[i];
    end if;
  end loop;
  if v_left > 0 then
    raise exception 'job % settles % credits more than were held', p_job, v_left;
  end if;

  delete from job_runs where job_id = p_job;
  update jobs j set ended = end_job_v1.ended, ended_at = app_now(), resolution = v_resolution, charged_credits = v_settled,
                    overrun_credits = nullif(greatest(p_cost - run.amount, 0), 0), attempts = run.attempts,
                    error_code = p_error_code, error_message = p_error_message, started_at = run.started_at
   where j.id = p_job returning j.webhook is not null into v_hooked;
  if p_number is not null then
    update attempts set phase = p_phase, ended_at = app_now(), delivered = null, own_key = null, error_code = p_attempt_error_code,
                        error_message = p_attempt_error_message, charged = p_charged,
                        cost_usd_micros = coalesce(p_cost_usd_micros, cost_usd_micros), usage = coalesce(p_usage, usage)
     where job_id = p_job and number = p_number;
  else  -- whoever ends a job without a word on its attempt knows nothing of it
    update attempts set phase = 'abandoned', ended_at = app_now(), delivered = null, own_key = null
     where job_id = p_job and ended_at is null;
  end if;
  update reservations set resolution = v_resolution, settled = v_settled, refunded = v_refunded, resolved_at = app_now()
   where job_id = p_job;

  if v_refunded > 0 then  -- to the lines with a budget that paid for the key (models/access/api_keys.py); no end may fail on it
    update key_spending s set credits = greatest(s.credits - v_refunded, 0) from jobs j join api_keys k on k.id = j.api_key_id
     where j.id = p_job and s.key_id = any(k.lineage || coalesce(k.line_id, k.id)) and s.month = date_trunc('month', j.created_at at time zone 'UTC')::date;
  end if;
  v_available := acc.available + v_refunded;
  if v_settled > 0 then
    insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
    values (p_account, 'settle', v_settled, 'reserved', 'spent', p_job, acc.available, acc.reserved - v_settled);
  end if;
  if v_refunded > 0 then
    insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, available_after, reserved_after)
    values (p_account, 'refund', v_refunded, 'reserved', 'available', p_job, v_available, acc.reserved - run.amount);
  end if;
  if p_assets is not null then
    insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, width, height, duration_ms,
                        thumbnail_key, thumbnail_bytes, expires_at)
    select s.id, p_job, p_account, s.index, s.key, s.media_type, s.size_bytes, decode(s.sha256, 'hex'), s.width, s.height,
           s.duration_ms, s.thumbnail_key, s.thumbnail_bytes, app_now() + make_interval(hours => p_result_hours)
      from jsonb_to_recordset(p_assets) as s(
        id uuid, index smallint, key text, media_type text, size_bytes bigint, sha256 text, width int, height int,
        duration_ms int, thumbnail_key text, thumbnail_bytes bigint);
    select sum((s->>'size_bytes')::bigint + (s->>'thumbnail_bytes')::bigint) into v_added from jsonb_array_elements(p_assets) s;
    -- One event per result, before the one of the end, so that whoever hears that a job is over has its results.
    insert into events (account_id, number, type, job_id, data)
    select p_account, acc.event_number + s.nr, 'job.output', p_job,
           jsonb_build_object('output', (s.a - '{key,sha256,thumbnail_key,thumbnail_bytes}'::text[])
                                        || jsonb_build_object('thumbnail', s.a->>'thumbnail_key' is not null))
      from jsonb_array_elements(p_assets) with ordinality as s(a, nr);
  end if;
  event_number := acc.event_number + 1 + coalesce(jsonb_array_length(p_assets), 0);
  insert into events (account_id, number, type, job_id, data)
  values (p_account, end_job_v1.event_number, 'job.' || ended, p_job,
          jsonb_build_object('credits', v_settled, 'available', v_available, 'reserved', acc.reserved - run.amount)
          || case when p_error_code is null then '{}'
                  else jsonb_build_object('error', jsonb_build_object('code', p_error_code, 'message', p_error_message)) end
          || p_extra);
  update accounts set available = v_available, reserved = acc.reserved - run.amount, event_number = end_job_v1.event_number,
                      slots_in_use = slots_in_use - run.dispatched::int, storage_bytes = storage_bytes + v_added,
                      expected_bytes = expected_bytes - run.expected_bytes
   where id = p_account;

  if acc.has_webhooks or v_hooked then
    perform deliver_events_v1(array[p_account], array[acc.event_number], array[end_job_v1.event_number]);
  end if;

  -- A place at the provider may have become free with it: the first that was held back there need not wait longer.
  update job_runs r set wake_at = null, held_back = false
   where r.job_id = (select h.job_id from job_runs h where h.account_id = p_account and h.held_back and not h.dispatched
                        and h.model_id = run.model_id order by h.wake_at limit 1);
  v_free := acc.free + run.dispatched::int;
  if v_free > 0 and exists (select 1 from job_runs r where r.account_id = p_account and not r.dispatched and r.wake_at is null)
  then
    select jsonb_agg(jsonb_build_array(d.job_id, d.queue)) into rings from dispatch_account_v1(p_account, v_free, p_ring_again) d;
  end if;
  outcome := 'ended';
end $$
