-- End a job and resolve its credits (models/jobs/ending.py). One call, because an end is a hot path of a dozen small
-- statements: their plans are kept, and it costs one round trip. Lock order: account, run, inserts.
--
-- outcome: 'ended'; 'stale', where nothing was done; 'lapsed' or 'revoked', where nothing was done either, because a
-- grant that the job holds credits of needs more work than this, in a transaction of several statements.
create or replace function end_job_v6(
  p_account uuid, p_job uuid, p_token bigint, p_alone boolean, p_ended text, p_cost bigint, p_on_cancel text,
  p_error_code text, p_error_message text, p_result_hours int, p_usual_hours int, p_grace_hours int, p_ring_again float,
  p_number int, p_phase text, p_attempt_error_code text, p_attempt_error_message text, p_charged boolean,
  p_cost_usd_micros bigint, p_usage jsonb, p_assets jsonb, p_extra jsonb,
  out outcome text, out ended text, out event_number bigint, out rings jsonb, out revoked jsonb
) language plpgsql as $$
declare
  acc record;
  run record;
  held record;
  v_settled bigint;
  v_refunded bigint;
  v_added bigint := 0;
begin
  select a.available, a.reserved, a.event_number, a.has_webhooks, p.slots - a.slots_in_use as free, p.result_hours into acc
    from accounts a join plans p on p.id = a.plan_id where a.id = p_account for no key update of a;
  -- Statements after the account's lock, so that what hangs on the account is seen as it is under it.
  select r.token, r.cancel_requested_at is not null as canceled, r.model_id, r.attempts, r.dispatched, r.started_at, r.expected_bytes, v.amount into run
    from job_runs r join reservations v on v.job_id = r.job_id where r.job_id = p_job for update of r;
  if not found or run.token <> p_token then
    outcome := 'stale';
    return;
  end if;
  -- In the order of use: the first are spent; what goes back, goes to the last.
  select coalesce(array_agg(x.grant_id), '{}') as grants, array_agg(x.amount) as amounts, array_agg(x.revoked) as revoked,
         -- What is left of one that has lapsed must not live on because some of it comes back.
         case when bool_or(x.lapsed) then 'lapsed' when p_alone and bool_or(x.revoked) then 'revoked' end as hindrance into held
    from (select l.grant_id, l.amount, g.revoked_at is not null as revoked, g.open and g.expires_at <= app_now() as lapsed
            from reservation_grants l join grants g on g.id = l.grant_id where l.job_id = p_job order by g.priority desc, g.expires_at, g.id) x;
  if held.hindrance is not null then
    outcome := held.hindrance;
    return;
  end if;

  ended := p_ended;
  if p_ended <> 'canceled' and run.canceled and not (p_ended = 'succeeded' and p_on_cancel = 'keep') then
    -- The client gave the job up before its result was there: the result is dropped, the cost stays on the attempt.
    ended := 'canceled';
    p_cost := case p_on_cancel when 'charge' then least(p_cost, run.amount) else 0 end;
    p_error_code := null; p_error_message := null; p_assets := null; p_extra := '{}';
  end if;
  v_settled := least(p_cost, run.amount);
  v_refunded := run.amount - v_settled;
  acc.available := acc.available + v_refunded;
  acc.reserved := acc.reserved - run.amount;
  revoked := settle_grants_v1(p_job, held.grants, held.amounts, held.revoked, v_settled, p_grace_hours);
  event_number := write_end_v3(
    p_account, p_job, acc.event_number, ended, v_settled, v_refunded, p_cost - run.amount, acc.available, acc.reserved, run.attempts,
    run.started_at, p_error_code, p_error_message, p_number, p_phase, p_attempt_error_code, p_attempt_error_message, p_charged,
    p_cost_usd_micros, p_usage, p_assets, p_extra, acc.has_webhooks);
  if p_assets is not null then
    v_added := store_assets_v1(p_account, p_job, p_assets, coalesce(p_result_hours, acc.result_hours, p_usual_hours));
  end if;
  update accounts set available = acc.available, reserved = acc.reserved, event_number = end_job_v6.event_number,
                      slots_in_use = slots_in_use - run.dispatched::int, storage_bytes = storage_bytes + v_added,
                      expected_bytes = expected_bytes - run.expected_bytes
   where id = p_account;
  -- A place at the provider may have become free with it: the first that was held back there need not wait longer.
  update job_runs r set wake_at = null, held_back = false
   where r.job_id = (select h.job_id from job_runs h where h.account_id = p_account and h.held_back and not h.dispatched
                        and h.model_id = run.model_id order by h.wake_at limit 1);
  acc.free := acc.free + run.dispatched::int;
  if acc.free > 0 and exists (select 1 from job_runs r where r.account_id = p_account and not r.dispatched and r.wake_at is null)
  then
    select jsonb_agg(jsonb_build_array(d.job_id, d.queue)) into rings from dispatch_account_v3(p_account, acc.free, p_ring_again) d;
  end if;
  outcome := 'ended';
end $$
