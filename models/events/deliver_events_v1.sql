-- Write the deliveries of events that this transaction has just written: for each account the events after one number and up
-- to another, to its endpoints that want them and to the address of their job. The caller holds the accounts' locks and
-- calls this only where an account has endpoints or a job has an address, so that nobody else pays for it.
--
-- A delivery belongs to a queue: deliveries of one queue are sent one after the other, and a sender looks for queues that
-- are due, never through all deliveries. So the queue is woken here, unless a sender is at it: that one looks again,
-- under the queue's lock, before it lets go.
create or replace function deliver_events_v1(p_accounts uuid[], p_after bigint[], p_to bigint[]) returns void
language plpgsql as $$
begin
with written as materialized (
  select e.account_id, e.number, e.type, e.job_id, e.data, e.created_at
    from unnest(p_accounts, p_after, p_to) as w(account_id, after, until)
    join events e on e.account_id = w.account_id and e.number > w.after and e.number <= w.until
                 and e.created_at = app_now()  -- this transaction's: one partition is looked at
), sent as (
  insert into deliveries (id, queue_id, account_id, channel, endpoint_id, url, event_number, event_type, job_id, data,
                          event_at, next_at)
  select gen_random_uuid(), p.id, t.account_id, 'webhook', p.id, null, t.number, t.type, t.job_id, t.data,
         t.created_at, app_now()
    from written t join webhook_endpoints p on p.account_id = t.account_id
   where p.enabled and (p.events = '{}' or t.type = any(p.events))
  union all
  select gen_random_uuid(), (j.webhook->>'queue')::uuid, t.account_id, 'webhook', null, j.webhook->>'url', t.number,
         t.type, t.job_id, t.data, t.created_at, app_now()
    from written t join jobs j on j.id = t.job_id
   where j.webhook is not null and j.webhook->'events' ? t.type
  returning queue_id, account_id
)
insert into delivery_queues as l (id, account_id, wake_at)
select distinct queue_id, account_id, app_now() from sent order by queue_id
on conflict (id) do update set wake_at = greatest(app_now(), l.paused_until)
 where l.leased_by is null and (l.wake_at is null or l.wake_at > app_now());
end $$
