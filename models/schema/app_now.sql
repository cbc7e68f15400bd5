-- The clock that all verbs compare with: the database's, which a setting can shift (refused in production).
create or replace function app_now() returns timestamptz language sql stable parallel safe as $$
  select now() + coalesce(nullif(current_setting('app.clock_offset', true), ''), '0')::interval
$$
