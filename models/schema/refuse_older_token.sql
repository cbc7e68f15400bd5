-- A claim's token only grows, so that whoever holds an older one is stale for good.
create or replace function refuse_older_token() returns trigger language plpgsql as $$
       begin raise exception 'the token of a run never falls' using errcode = 'restrict_violation'; end $$
