-- Keep what an account stores of each kind (models/files/room.py) as results come and go. A trigger of statements: one that
-- stores or expires thousands of results is one change for each account and kind. Whoever changes a result's status holds its
-- account's lock, so these rows are locked by nobody else; an update that moves none of them writes nothing here.
create or replace function count_results() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into stored_kinds as k (account_id, kind, bytes, files)
    select account_id, case split_part(media_type, '/', 1) when 'image' then 'image' when 'video' then 'video'
                                                           when 'audio' then 'speech' else 'text' end,
           sum(size_bytes + thumbnail_bytes), count(*)
      from new_rows where status = 'stored' group by 1, 2
    on conflict (account_id, kind) do update set bytes = k.bytes + excluded.bytes, files = k.files + excluded.files;
  else
    update stored_kinds k set bytes = k.bytes + moved.bytes, files = k.files + moved.files
      from (select account_id, case split_part(media_type, '/', 1) when 'image' then 'image' when 'video' then 'video'
                                                                   when 'audio' then 'speech' else 'text' end as kind,
                   sum(sign * (size_bytes + thumbnail_bytes)) as bytes, sum(sign) as files
              from (select account_id, media_type, size_bytes, thumbnail_bytes, 1 as sign from new_rows where status = 'stored'
                    union all
                    select account_id, media_type, size_bytes, thumbnail_bytes, -1 from old_rows where status = 'stored') x
             group by 1, 2 having sum(sign) <> 0 or sum(sign * (size_bytes + thumbnail_bytes)) <> 0) moved
     where k.account_id = moved.account_id and k.kind = moved.kind;
  end if;
  return null;
end $$
