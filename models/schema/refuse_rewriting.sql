-- An ended job never changes, but that what people wrote may go with it (`input_erased_at` says when), and then whose it was is
-- `past_account_id`: the account has nothing of it any more but its books. Each of these happens once, and nothing comes back.
create or replace function refuse_rewriting() returns trigger language plpgsql as $$
declare
  v_may constant text[] := '{input,error_message,webhook,input_erased_at,account_id,past_account_id,remains,live_id}';
begin
  if old.past_account_id is not null or new.input_erased_at is null or new.input <> '{}' or new.error_message is not null
     or coalesce(old.input_erased_at, new.input_erased_at) <> new.input_erased_at
     or old.account_id is distinct from coalesce(new.account_id, new.past_account_id)
     or (new.webhook is not null and new.webhook is distinct from old.webhook)
     or (new.account_id is not null and new.remains is not null)
     or (new.account_id is null and (new.remains is null or new.webhook is not null))
     or to_jsonb(new) - v_may <> to_jsonb(old) - v_may then
    raise exception '% of % is refused: %', tg_op, tg_table_name, tg_argv[0] using errcode = 'restrict_violation';
  end if;
  return new;
end $$
