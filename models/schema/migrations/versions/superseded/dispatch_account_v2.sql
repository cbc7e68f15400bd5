-- Give an account's free slots to the jobs at the front of its queue (models/jobs/dispatch.py). The caller holds the account's
-- lock, and rings the jobs after the commit.
create or replace function dispatch_account_v2(p_account uuid, p_free int, p_ring_again float)
returns table (job_id uuid, queue text) language plpgsql as $$
declare
  v_given int := 0;
  v_queues text[] := '{}';
  v_models text[] := '{}';
  v_accounts uuid[];
begin
  -- What is paused is passed over where it stands, however long the line: nothing is put back.
  if exists (select 1 from pauses) then
    select coalesce(p.queues, '{}'), coalesce(p.models, '{}'), p.accounts into v_queues, v_models, v_accounts from paused_now_v1() p;
    if p_account = any (v_accounts) then
      return;
    end if;
  end if;
  while v_given < p_free loop
    -- Passed over: models that have all their slots, or are paused; and new jobs of a model whose provider had no room for an earlier
    -- one, until that one is due again, so that a long line is not fed into a full provider one by one.
    with full_models as (
      select r.model_id from job_runs r join models m on m.id = r.model_id and m.current
       where r.account_id = p_account and r.dispatched and m.entry->>'slots' is not null
       group by r.model_id, m.entry having count(*) >= (m.entry->>'slots')::int
      union all
      select unnest(v_models)
    ), held_models as (
      select r.model_id from job_runs r
       where r.account_id = p_account and r.held_back and not r.dispatched and r.wake_at > app_now()
    ), head as (
      select r.job_id from job_runs r
       where r.account_id = p_account and not r.dispatched and r.wake_at is null
         -- Not `<> all`: the planner would take an array for one that leaves nearly nothing, and sort the whole line.
         and r.queue not in (select q from unnest(v_queues) q)
         and r.model_id not in (select f.model_id from full_models f)
         and (r.requeued or r.model_id not in (select h.model_id from held_models h))
       order by r.requeued desc, r.priority desc, r.job_id limit 1 for update
    )
    update job_runs r set dispatched = true, rings = 0, wake_at = app_now() + make_interval(secs => p_ring_again)
      from head where r.job_id = head.job_id returning r.job_id, r.queue into job_id, queue;
    exit when not found;
    v_given := v_given + 1;
    return next;
  end loop;
  if v_given > 0 then
    update accounts set slots_in_use = slots_in_use + v_given where id = p_account;
  end if;
end $$
