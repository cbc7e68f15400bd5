-- Make a month's partition; false: it is there. It runs as its owner, so that the processes' own role needs no right to make tables
-- (models/schema/roles.py): it takes no name but these three, and names each schema, whatever the caller's search path says.
create or replace function make_month_v1(p_table text, p_ahead integer) returns boolean language plpgsql security definer as $$
declare
  v_first timestamp := date_trunc('month', app_now() at time zone 'UTC') + make_interval(months => p_ahead);
  v_name text := p_table || to_char(v_first, '_YYYY_MM');
  v_schema text;
begin
  if p_table <> all (array['events', 'deliveries', 'usage']) or p_ahead not between 0 and 12 then
    raise exception 'no months of % are made % ahead', p_table, p_ahead using errcode = 'insufficient_privilege';
  end if;
  select n.nspname into strict v_schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relname = p_table and c.relkind = 'p' and n.nspname = any (current_schemas(false));
  if exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relname = v_name and n.nspname = v_schema) then
    return false;
  end if;
  execute format('create table if not exists %I.%I partition of %I.%I for values from (%L) to (%L)', v_schema, v_name, v_schema, p_table,
                 v_first::text || '+00', (v_first + interval '1 month')::text || '+00');
  return true;
end $$
