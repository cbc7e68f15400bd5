-- Detach a month of events or deliveries that ended more than so many days ago, seven at least, so that nothing changes it any more
-- while it is archived; false: something of it still waits to be delivered, or it is none. It runs as its owner, as make_month_v1 does;
-- `concurrently` cannot be had in a function, so its caller bounds how long it may wait for the table, as before a drop.
create or replace function detach_month_v1(p_name text, p_days integer) returns boolean language plpgsql security definer as $$
declare
  v_schema text;
  v_parent text;
  v_waits boolean := false;
begin
  select n.nspname, p.relname into v_schema, v_parent
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
    join pg_namespace n on n.oid = c.relnamespace
   where c.relname = p_name and p.relname in ('events', 'deliveries') and c.relname ~ '^(events|deliveries)_[0-9]{4}_[0-9]{2}$'
     and n.nspname = any (current_schemas(false))
     and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
         < (app_now() at time zone 'UTC') - make_interval(days => greatest(p_days, 7));
  if v_schema is null then
    return false;
  end if;
  -- First the lock, then the look: an old delivery may be sent again in this moment, or another scheduler detach the same month.
  execute format('lock table only %I.%I in access exclusive mode', v_schema, v_parent);
  if not exists (select 1 from pg_class where relname = p_name and relnamespace = to_regnamespace(quote_ident(v_schema)) and relispartition) then
    return false;
  end if;
  if v_parent = 'deliveries' then
    execute format('select exists (select 1 from %I.%I where status = ''pending'')', v_schema, p_name) into v_waits;
  end if;
  if not v_waits then
    execute format('alter table %I.%I detach partition %I.%I', v_schema, v_parent, v_schema, p_name);
  end if;
  return not v_waits;
end $$
