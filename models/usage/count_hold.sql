-- Count what was spent of a hold for its account's usage (models/usage/usage.py), part by part.
create or replace function count_hold() returns trigger language plpgsql as $$
begin
  insert into usage (account_id, at, source, model_id, labels_key, labels, credits)
  values (new.account_id, date_bin('15 min', app_now(), 'epoch'), 'hold', coalesce(new.model, ''),
          md5(coalesce(new.labels::text, ''))::uuid, new.labels, new.settled - old.settled)
  on conflict (account_id, at, source, model_id, labels_key) do update set credits = usage.credits + excluded.credits;
  return null;
end $$
