-- Drop a month that was detached, once a file of it is in the archive; false: it is none, or no file of it is. So the database itself
-- refuses to lose what was to be archived. It runs as its owner, as make_month_v1 does.
create or replace function drop_detached_v1(p_name text) returns boolean language plpgsql security definer as $$
declare
  v_schema text;
  v_archived boolean := false;
begin
  select n.nspname into v_schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relname = p_name and c.relkind = 'r' and not c.relispartition and c.relname ~ '^(events|deliveries)_[0-9]{4}_[0-9]{2}$'
     and n.nspname = any (current_schemas(false));
  if v_schema is null then
    return false;
  end if;
  execute format('select exists (select 1 from %I.archived_files where kind || to_char(month, ''_YYYY_MM'') = $1 and archived_at is not null)', v_schema)
    into v_archived using p_name;
  if v_archived then
    execute format('drop table if exists %I.%I', v_schema, p_name);  -- another scheduler may have dropped it in this moment
  end if;
  return v_archived;
end $$
