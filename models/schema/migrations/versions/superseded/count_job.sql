-- Count an ended job for its account's usage (models/usage/usage.py). A deferred trigger: at the commit its attempts say what they
-- cost, and whoever ends a job, in whatever way, has it counted in the same transaction. What a provider says of one job is
-- bounded, so that no end can fail on a sum.
create or replace function count_job() returns trigger language plpgsql as $$
begin
  insert into usage (account_id, at, source, model_id, labels_key, labels, succeeded, failed, canceled, credits, results,
                     cost_usd_micros, tokens_in, tokens_out)
  select new.account_id, date_bin('15 min', new.ended_at, 'epoch'), 'job', new.model_id, md5(coalesce(new.labels::text, ''))::uuid,
         new.labels, (new.ended = 'succeeded')::int, (new.ended = 'failed')::int, (new.ended = 'canceled')::int, new.charged_credits,
         (select count(*) from assets s where s.job_id = new.id),
         least(coalesce(sum(a.cost_usd_micros), 0), 1e12)::bigint, least(coalesce(sum((a.usage->>'tokens_in')::numeric), 0), 1e12)::bigint,
         least(coalesce(sum((a.usage->>'tokens_out')::numeric), 0), 1e12)::bigint
    from attempts a where a.job_id = new.id
  on conflict (account_id, at, source, model_id, labels_key) do update
     set succeeded = usage.succeeded + excluded.succeeded, failed = usage.failed + excluded.failed,
         canceled = usage.canceled + excluded.canceled, credits = usage.credits + excluded.credits,
         results = usage.results + excluded.results, cost_usd_micros = usage.cost_usd_micros + excluded.cost_usd_micros,
         tokens_in = usage.tokens_in + excluded.tokens_in, tokens_out = usage.tokens_out + excluded.tokens_out;
  return null;
end $$
