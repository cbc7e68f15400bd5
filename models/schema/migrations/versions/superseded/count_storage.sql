-- Count what an account's storage grew or shrank by for its usage (models/usage/usage.py), whatever changed it.
create or replace function count_storage() returns trigger language plpgsql as $$
begin
  insert into usage (account_id, at, source, bytes_added, bytes_removed)
  values (new.id, date_bin('15 min', app_now(), 'epoch'), 'storage', greatest(new.storage_bytes - old.storage_bytes, 0),
          greatest(old.storage_bytes - new.storage_bytes, 0))
  on conflict (account_id, at, source, model_id, labels_key) do update
     set bytes_added = usage.bytes_added + excluded.bytes_added, bytes_removed = usage.bytes_removed + excluded.bytes_removed;
  return null;
end $$
