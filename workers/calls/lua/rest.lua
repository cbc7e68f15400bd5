-- Rest a credential for so long by hand, or wake it: then also what it has said of its limits is forgotten.
local faults, faulted, state, seconds = KEYS[3], KEYS[5], KEYS[7], tonumber(ARGV[2])
redis.call('HDEL', state, 'probe', 'probe_until')
redis.call('DEL', faults, faulted)
if seconds > 0 then
  redis.call('HSET', state, 'resting_until', now + seconds)
  redis.call('PEXPIRE', state, 172800000)
else
  redis.call('HDEL', state, 'resting_until', 'limited_until', 'rest', 'closed_at')
end
return 1
