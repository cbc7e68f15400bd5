-- What count_results.sql does for results, for uploads: a kind of their own, whatever they are.
create or replace function count_uploads() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into stored_kinds as k (account_id, kind, bytes, files)
    select account_id, 'uploads', sum(size_bytes), count(*) from new_rows where status = 'stored' group by 1
    on conflict (account_id, kind) do update set bytes = k.bytes + excluded.bytes, files = k.files + excluded.files;
  else
    update stored_kinds k set bytes = k.bytes + moved.bytes, files = k.files + moved.files
      from (select account_id, sum(sign * size_bytes) as bytes, sum(sign) as files
              from (select account_id, size_bytes, 1 as sign from new_rows where status = 'stored'
                    union all select account_id, size_bytes, -1 from old_rows where status = 'stored') x
             group by 1 having sum(sign) <> 0 or sum(sign * size_bytes) <> 0) moved
     where k.account_id = moved.account_id and k.kind = 'uploads';
  end if;
  return null;
end $$
