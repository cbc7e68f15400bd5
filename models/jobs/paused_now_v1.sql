-- What is paused now (models/jobs/pauses.py). `models` are those that are paused themselves, and those whose every route
-- leads to a paused provider. No row is the usual case, and costs one look at an empty table.
create or replace function paused_now_v1(out queues text[], out models text[], out providers text[], out accounts uuid[])
language plpgsql stable as $$
begin
  select array_agg(p.name) filter (where p.what = 'queue'), array_agg(p.name) filter (where p.what = 'model'),
         array_agg(p.name) filter (where p.what = 'provider'), array_agg(p.name::uuid) filter (where p.what = 'account')
    into queues, models, providers, accounts from pauses p where p.until > app_now();
  if providers is not null then
    models := models || (
      select array_agg(m.id) from models m where m.current and not exists (
        select 1 from jsonb_array_elements(m.entry->'routes') r where r->>'provider' <> all (providers)));
  end if;
end $$
