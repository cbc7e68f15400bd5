-- Count what a provider says of the cost of an attempt that is over (models/jobs/facts.py), whichever release's process writes it
-- down. Its job's run is locked first: an end waits for us, or was committed before. Where the job's entry still waits, it is kept
-- from being added up until we are through, and counts all costs then; else the sum is there, and gets what it lacks here, with
-- the bound that a job's costs have (models/usage/entries.py).
create or replace function count_cost() returns trigger language plpgsql as $$
declare
  v_all numeric;
begin
  perform 1 from job_runs where job_id = new.job_id for update;
  perform 1 from jobs j join usage_entries e on e.account_id = j.account_id and e.job_id = j.id where j.id = new.job_id for update of e;
  if found then
    return null;
  end if;
  select sum(cost_usd_micros) into v_all from attempts where job_id = new.job_id;
  update usage u set cost_usd_micros = u.cost_usd_micros + least(v_all, 1e12)::bigint - least(v_all - new.cost_usd_micros, 1e12)::bigint
    from jobs j
   where j.id = new.job_id and j.ended is not null and u.account_id = j.account_id and u.at = date_bin('15 min', j.ended_at, 'epoch')
     and u.source = 'job' and u.model_id = j.model_id and u.labels_key = md5(coalesce(j.labels::text, ''))::uuid;
  return null;
end $$
