-- Begins each of the other scripts: `now`, the server's clock in milliseconds. ARGV[1] shifts it, for tests.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
