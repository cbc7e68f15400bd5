-- Write down a job's results (models/jobs/end_job_v1.sql). Returns how many bytes they take.
create or replace function store_assets_v1(p_account uuid, p_job uuid, p_assets jsonb, p_result_hours int)
returns bigint language plpgsql as $$
begin
  insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, width, height, duration_ms,
                      thumbnail_key, thumbnail_bytes, expires_at)
  select s.id, p_job, p_account, s.index, s.key, s.media_type, s.size_bytes, decode(s.sha256, 'hex'), s.width, s.height,
         s.duration_ms, s.thumbnail_key, s.thumbnail_bytes, app_now() + make_interval(hours => p_result_hours)
    from jsonb_to_recordset(p_assets) as s(
      id uuid, index smallint, key text, media_type text, size_bytes bigint, sha256 text, width int, height int,
      duration_ms int, thumbnail_key text, thumbnail_bytes bigint);
  return (select sum((s->>'size_bytes')::bigint + (s->>'thumbnail_bytes')::bigint) from jsonb_array_elements(p_assets) s);
end $$
