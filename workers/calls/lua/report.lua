-- Note what came of a call. A circuit that opens again soon after its probe closed it rests twice as long, like one whose
-- probe failed: some providers accept everything and fail it later.
local slots, faults, asked, faulted, waiting, state = KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local outcome, member, release, retry = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local most, window, rest, ceiling = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local account, accounts = ARGV[10], tonumber(ARGV[11])
if release == '1' then
  redis.call('ZREM', slots, member)
  redis.call('ZREM', waiting, member)
end
local function note(key, who)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  redis.call('ZADD', key, now, who)
  redis.call('PEXPIRE', key, window + 1000)
  return redis.call('ZCARD', key)
end
local s = redis.call('HMGET', state, 'limited_until', 'resting_until', 'probe', 'rest', 'closed_at')
local resting, probes, last = tonumber(s[2]), s[3] == member, tonumber(s[4])
local function open(seconds)
  seconds = math.min(seconds, ceiling)
  redis.call('HSET', state, 'resting_until', now + seconds, 'rest', seconds)
  redis.call('HDEL', state, 'probe', 'probe_until')
  redis.call('DEL', faults, faulted)
end
local askers = outcome == 'none' and 0 or note(asked, account)
if outcome == 'limited' then
  redis.call('HSET', state, 'limited_until', math.max(tonumber(s[1]) or 0, now + retry))
  if probes then redis.call('HDEL', state, 'probe', 'probe_until') end
elseif outcome == 'none' then
  if probes then redis.call('HDEL', state, 'probe', 'probe_until') end
elseif outcome == 'fault' then
  if resting then
    if probes then open((last or rest) * 2) end
  else
    local all, who = note(faults, redis.call('HINCRBY', state, 'seq', 1)), note(faulted, account)
    if all >= most and who >= math.min(accounts, most, askers) then
      local again = last and s[5] and now - tonumber(s[5]) < window
      open(again and last * 2 or rest)
    end
  end
elseif resting and probes then
  redis.call('HDEL', state, 'resting_until', 'probe', 'probe_until')
  redis.call('HSET', state, 'closed_at', now)
end
redis.call('PEXPIRE', state, 172800000)
return 1
