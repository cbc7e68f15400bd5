-- Note what an account's storage grew or shrank by for its usage (models/usage/entries.py), whatever changed it.
create or replace function note_storage() returns trigger language plpgsql as $$
begin
  insert into usage_entries (account_id, at, bytes_added, bytes_removed)
  values (new.id, date_bin('15 min', app_now(), 'epoch'), greatest(new.storage_bytes - old.storage_bytes, 0),
          greatest(old.storage_bytes - new.storage_bytes, 0));
  return null;
end $$
