-- Give an account's free slots to the jobs at the front of its queue (models/jobs/dispatch.py). The caller holds the account's
-- lock, and rings the jobs after the commit. It costs by what runs and by how many models wait, never by how many jobs do.
create or replace function dispatch_account_v3(p_account uuid, p_free int, p_ring_again float)
returns table (job_id uuid, queue text) language plpgsql as $$
declare
  v_given int := 0;
  v_queues text[] := '{}';  -- what is paused
  v_models text[] := '{}';
  v_accounts uuid[];
  v_full text[];  -- models that have all their slots, or are paused
  v_held text[];  -- models whose provider had no room
  v_look boolean := true;  -- whether another model may have become full
  v_head uuid;
  v_model text;
begin
  -- What is paused is passed over where it stands, however long the line: nothing is put back.
  if exists (select 1 from pauses) then
    select coalesce(p.queues, '{}'), coalesce(p.models, '{}'), p.accounts into v_queues, v_models, v_accounts from paused_now_v1() p;
    if p_account = any (v_accounts) then
      return;
    end if;
  end if;
  -- New jobs of a model whose provider had no room for an earlier one wait until that one is due again, so that a long line is
  -- not fed into a full provider one by one.
  v_held := array(select r.model_id from job_runs r
                   where r.account_id = p_account and r.held_back and not r.dispatched and r.wake_at > app_now());
  while v_given < p_free loop
    if v_look then
      v_full := v_models || array(
        select u.model_id from (select r.model_id, count(*) as used from job_runs r
                                 where r.account_id = p_account and r.dispatched group by r.model_id) u
          join models m on m.id = u.model_id and m.current where u.used >= (m.entry->>'slots')::int);
    end if;
    if v_queues = '{}' and v_full = '{}' and v_held = '{}' then
      select r.job_id into v_head from job_runs r
       where r.account_id = p_account and not r.dispatched and r.wake_at is null
       order by r.requeued desc, r.priority desc, r.job_id limit 1;
    else
      -- The first job of each model in each queue: one probe of an index each, so that what is passed over is not read. Retries
      -- stand first, so a held model whose first job is none has none.
      with recursive heads as (
        (select r.queue, r.model_id, r.requeued, r.priority, r.job_id from job_runs r
          where r.account_id = p_account and not r.dispatched and r.wake_at is null
          order by r.queue, r.model_id, r.requeued desc, r.priority desc, r.job_id limit 1)
        union all
        select n.* from heads h cross join lateral (
          select r.queue, r.model_id, r.requeued, r.priority, r.job_id from job_runs r
           where r.account_id = p_account and not r.dispatched and r.wake_at is null and (r.queue, r.model_id) > (h.queue, h.model_id)
           order by r.queue, r.model_id, r.requeued desc, r.priority desc, r.job_id limit 1) n
      )
      select h.job_id into v_head from heads h
       where h.queue <> all (v_queues) and h.model_id <> all (v_full) and (h.requeued or h.model_id <> all (v_held))
       order by h.requeued desc, h.priority desc, h.job_id limit 1;
    end if;
    update job_runs r set dispatched = true, rings = 0, wake_at = app_now() + make_interval(secs => p_ring_again)
     where r.job_id = v_head and not r.dispatched and r.wake_at is null
     returning r.job_id, r.queue, r.model_id into job_id, queue, v_model;
    exit when not found;
    v_given := v_given + 1;
    return next;
    v_look := exists (select 1 from models m where m.id = v_model and m.current and m.entry->>'slots' is not null);
  end loop;
  if v_given > 0 then
    update accounts set slots_in_use = slots_in_use + v_given where id = p_account;
  end if;
end $$
