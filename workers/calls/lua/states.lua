-- How each credential stands, in the order of its fields in `_state` of limits.py. KEYS: all parts of each.
local found = {}
local parts = tonumber(ARGV[2])
for i = 1, #KEYS, parts do
  local n = 3 + (i - 1) / parts * 2
  local most, window = tonumber(ARGV[n]), tonumber(ARGV[n + 1])
  local s = redis.call('HMGET', KEYS[i + parts - 1], 'limited_until', 'resting_until', 'probe', 'probe_until')
  local made = redis.call('ZCOUNT', KEYS[i + 1], '(' .. (now - 60000), '+inf')
  local frees = 0
  if most > 0 and made >= most then
    frees = tonumber(redis.call('ZRANGE', KEYS[i + 1], -most, -most, 'WITHSCORES')[2]) + 60000 - now
  end
  local resting = tonumber(s[2])
  found[#found + 1] = {
    math.max((tonumber(s[1]) or 0) - now, 0), resting and math.max(resting - now, 0) or 0,
    (resting and resting <= now) and 1 or 0, s[3] and math.max((tonumber(s[4]) or 0) - now, 0) or 0,
    redis.call('ZCOUNT', KEYS[i], '(' .. now, '+inf'), made, frees,
    redis.call('ZCOUNT', KEYS[i + 2], '(' .. (now - window), '+inf')}
end
return found
