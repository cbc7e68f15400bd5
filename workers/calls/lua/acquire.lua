-- Grant a call, or deny it: {1, 0, 'probe' or ''} or {0, milliseconds, why}. Who is denied is told to come back later the
-- more others wait, so that a thousand jobs do not all ask each second.
local slots, calls, waiting, state = KEYS[1], KEYS[2], KEYS[6], KEYS[7]
local member, concurrency, per_minute, lease = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local s = redis.call('HMGET', state, 'limited_until', 'resting_until', 'probe', 'probe_until')
local limited, resting, probe_until = tonumber(s[1]) or 0, tonumber(s[2]), tonumber(s[4]) or 0
if limited > now then return {0, limited - now, 'limited'} end
if resting and resting > now then return {0, resting - now, 'resting'} end
if resting and s[3] and s[3] ~= member and probe_until > now then
  return {0, math.min(probe_until - now, 5000), 'probing'}
end
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - 60000)
redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now)
local ahead = redis.call('ZCARD', waiting)
if redis.call('ZSCORE', waiting, member) then ahead = ahead - 1 end
local function deny(pause, reason)
  redis.call('ZADD', waiting, now + pause + 1000, member)
  redis.call('PEXPIRE', waiting, 600000)
  return {0, pause, reason}
end
if concurrency > 0 and not redis.call('ZSCORE', slots, member) and redis.call('ZCARD', slots) >= concurrency then
  return deny(math.min(1000 + math.floor(1000 * ahead / concurrency), 30000), 'full')
end
if per_minute > 0 then
  local made = redis.call('ZCARD', calls)
  if made >= per_minute then
    local at = made - per_minute + ahead % per_minute
    local frees = tonumber(redis.call('ZRANGE', calls, at, at, 'WITHSCORES')[2]) + 60000 - now
    return deny(math.min(math.max(frees, 1) + math.floor(ahead / per_minute) * 60000, 300000), 'rate')
  end
end
redis.call('ZREM', waiting, member)
redis.call('ZADD', slots, now + lease, member)
redis.call('PEXPIRE', slots, 172800000)
if per_minute > 0 then
  redis.call('ZADD', calls, now, redis.call('HINCRBY', state, 'seq', 1))
  redis.call('PEXPIRE', calls, 120000)
end
redis.call('PEXPIRE', state, 172800000)
if resting then redis.call('HSET', state, 'probe', member, 'probe_until', now + math.min(lease, 60000)) end
return {1, 0, resting and 'probe' or ''}
