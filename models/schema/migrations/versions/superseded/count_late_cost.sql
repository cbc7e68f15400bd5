-- Count what a provider says of the cost of an attempt that is over (models/jobs/facts.py), whichever release's process writes it
-- down. Its job's run is locked first: an end waits for us and counts the cost, or was committed before, and it is added here, with
-- the bound of count_job.sql.
create or replace function count_late_cost() returns trigger language plpgsql as $$
declare
  v_all numeric;
begin
  perform 1 from job_runs where job_id = new.job_id for update;
  select sum(cost_usd_micros) into v_all from attempts where job_id = new.job_id;
  update usage u set cost_usd_micros = u.cost_usd_micros + least(v_all, 1e12)::bigint - least(v_all - new.cost_usd_micros, 1e12)::bigint
    from jobs j
   where j.id = new.job_id and j.ended is not null and u.account_id = j.account_id and u.at = date_bin('15 min', j.ended_at, 'epoch')
     and u.source = 'job' and u.model_id = j.model_id and u.labels_key = md5(coalesce(j.labels::text, ''))::uuid;
  return null;
end $$
