-- End jobs that ended at the same time, each as end_job_v6 does, in one transaction: one commit and one round trip for all. Lock
-- order: accounts, then runs, each by id. An account that is locked elsewhere is not waited for: its jobs come back as 'locked',
-- and like those that are 'lapsed' or 'revoked' have not ended. The ends stand one after the other where the accounts are one.
create or replace function end_jobs_v1(p_ends jsonb)
returns table (place bigint, outcome text, ended text, event_number bigint, rings jsonb) language plpgsql as $$
declare
  e jsonb;
  v_account uuid;
  v_accounts uuid[] := array(select a.id from accounts a where a.id in (select (x->>'account')::uuid from jsonb_array_elements(p_ends) x)
                              order by a.id for no key update skip locked);
begin
  perform 1 from job_runs r where r.job_id in (select (x->>'job')::uuid from jsonb_array_elements(p_ends) x
                                                where (x->>'account')::uuid = any (v_accounts)) order by r.job_id for update;
  for e, place in select x, n from jsonb_array_elements(p_ends) with ordinality as given(x, n) order by x->>'account', n loop
    v_account := e->>'account';
    outcome := 'locked'; ended := null; event_number := null; rings := null;
    if v_account = any (v_accounts) then
      select d.outcome, d.ended, d.event_number, d.rings into outcome, ended, event_number, rings from end_job_v6(
        v_account, (e->>'job')::uuid, (e->>'token')::bigint, true, e->>'ended', (e->>'cost')::bigint, e->>'on_cancel',
        e->>'error_code', e->>'error_message', (e->>'result_hours')::int, (e->>'usual_hours')::int, (e->>'grace_hours')::int,
        (e->>'ring_again')::float, (e->>'number')::int, e->>'phase', e->>'attempt_error_code', e->>'attempt_error_message',
        (e->>'charged')::boolean, (e->>'cost_usd_micros')::bigint, nullif(e->'usage', 'null'), nullif(e->'assets', 'null'), e->'extra') d;
    end if;
    return next;
  end loop;
end $$
