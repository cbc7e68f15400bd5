-- Spend a job's hold, soonest-expiring grant first, and give the rest back to the grants (models/jobs/end_job_v1.sql). Returns
-- what was held of revoked grants, as [grant, spent, returned]: the caller makes debt of it.
create or replace function settle_grants_v1(
  p_job uuid, p_grants uuid[], p_amounts bigint[], p_revoked boolean[], p_settled bigint, p_grace_hours int
) returns jsonb language plpgsql as $$
declare
  v_left bigint := p_settled;
  v_part bigint;
  v_followed jsonb;
begin
  for i in 1 .. cardinality(p_grants) loop
    v_part := least(p_amounts[i], v_left);
    v_left := v_left - v_part;
    update reservation_grants set settled = v_part where job_id = p_job and grant_id = p_grants[i];
    if p_revoked[i] then
      v_followed := coalesce(v_followed, '[]') || jsonb_build_array(jsonb_build_array(p_grants[i], v_part, p_amounts[i] - v_part));
    elsif p_amounts[i] > v_part then
      -- A grant that has expired meanwhile gets one grace period in all, counted from when it was to expire: ordering
      -- and failing again and again renews nothing. What comes back after it, expires with the next look at the account.
      update grants set remaining = remaining + p_amounts[i] - v_part,
                        first_expires_at = coalesce(first_expires_at, case when expires_at <= app_now() then expires_at end),
                        expires_at = case when expires_at <= app_now()
                                          then greatest(expires_at, coalesce(first_expires_at, expires_at)
                                                                    + make_interval(hours => p_grace_hours))
                                          else expires_at end
       where id = p_grants[i];
    end if;
  end loop;
  if v_left > 0 then
    raise exception 'job % settles % credits more than were held', p_job, v_left;
  end if;
  return v_followed;
end $$
