-- Note an ended job for its account's usage (models/usage/entries.py), in the transaction that ends it, however it ends.
create or replace function note_job() returns trigger language plpgsql as $$
begin
  insert into usage_entries (account_id, job_id) values (new.account_id, new.id);
  return null;
end $$
