-- Take what an order does not cost after all from what its labels have spent in the month in which it was made, as far as they
-- have a limit (models/credits/label_limits.py). The caller holds the account's lock; no end may fail on it.
create or replace function lower_label_spending_v1(
  p_account uuid, p_labels jsonb, p_created_at timestamptz, p_credits bigint
) returns void language plpgsql as $$
begin
  update label_spending s set credits = greatest(s.credits - p_credits, 0) from jsonb_each_text(p_labels) as l(name, value)
   where s.account_id = p_account and s.name = l.name and s.value = l.value
     and s.month = date_trunc('month', p_created_at at time zone 'UTC')::date;
end $$
