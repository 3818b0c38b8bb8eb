"""What the broker does inside Redis: one Lua script, and so one round trip, for each thing done to a whole batch.

The keys and their meaning are dramatiq's own (its `dispatch.lua`), so that its stock broker can stand on either side;
the one key added is the list `<queue>.wake`. Every key is passed in, and no script unpacks more than one batch.
"""

from dataclasses import dataclass
from typing import Final

import redis
from redis.commands.core import Script

#: Wake-up tokens kept per queue. A token only causes one more fetch; eight consumers may be woken in one instant.
WAKE_TOKENS: Final = 8

#: KEYS: list, messages, wake for each queue. ARGV: tokens to keep, then queue number, id, data for each message.
ENQUEUE: Final = """
for i = 2, #ARGV, 3 do
    local at = (tonumber(ARGV[i]) - 1) * 3
    redis.call("hset", KEYS[at + 2], ARGV[i + 1], ARGV[i + 2])
    redis.call("rpush", KEYS[at + 1], ARGV[i + 1])
end
for at = 3, #KEYS, 3 do
    redis.call("rpush", KEYS[at], "1")
    redis.call("ltrim", KEYS[at], 0, tonumber(ARGV[1]) - 1)
end
"""

# By Redis's own clock: a worker on a host with a wrong clock would regard all others as crashed, or they it.
NOW: Final = """
local time = redis.call("time")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

#: KEYS: list, messages, acks, heartbeats, wake. ARGV: worker, how many. Returns ids and their data.
#: What is left in the list wakes the next consumer, so that one token is enough for a queue of any length.
FETCH: Final = f"""{NOW}
redis.call("zadd", KEYS[4], now, ARGV[1])
local ids = redis.call("lpop", KEYS[1], ARGV[2])
if not ids or #ids == 0 then
    return {{{{}}, {{}}}}
end
redis.call("sadd", KEYS[3], unpack(ids))
if redis.call("llen", KEYS[1]) > 0 and redis.call("llen", KEYS[5]) == 0 then
    redis.call("rpush", KEYS[5], "1")
end
return {{ids, redis.call("hmget", KEYS[2], unpack(ids))}}
"""

#: KEYS: messages, acks. ARGV: ids. Only what is still this worker's is deleted.
ACK: Final = """
for i = 1, #ARGV do
    if redis.call("srem", KEYS[2], ARGV[i]) > 0 then
        redis.call("hdel", KEYS[1], ARGV[i])
    end
end
"""

#: KEYS: messages, acks, dead-lettered ids, their messages. ARGV: ids.
NACK: Final = f"""{NOW}
for i = 1, #ARGV do
    if redis.call("srem", KEYS[2], ARGV[i]) > 0 then
        local data = redis.call("hget", KEYS[1], ARGV[i])
        if data then
            redis.call("zadd", KEYS[3], now, ARGV[i])
            redis.call("hset", KEYS[4], ARGV[i], data)
            redis.call("hdel", KEYS[1], ARGV[i])
        end
    end
end
"""

#: KEYS: list, messages, acks, wake. ARGV: ids. Back to the tail, as dramatiq does: what kills a worker must not block.
REQUEUE: Final = """
local count = 0
for i = 1, #ARGV do
    if redis.call("srem", KEYS[3], ARGV[i]) > 0 and redis.call("hexists", KEYS[2], ARGV[i]) > 0 then
        redis.call("rpush", KEYS[1], ARGV[i])
        count = count + 1
    end
end
if count > 0 and redis.call("llen", KEYS[4]) == 0 then
    redis.call("rpush", KEYS[4], "1")
end
return count
"""

#: KEYS: list and messages for each queue. Returns of each the oldest message id (or false), its data, and the length.
HEADS: Final = """
local heads = {}
for at = 1, #KEYS, 2 do
    local id = redis.call("lindex", KEYS[at], 0)
    heads[#heads + 1] = {id, id and redis.call("hget", KEYS[at + 1], id), redis.call("llen", KEYS[at])}
end
return heads
"""

#: KEYS: heartbeats, then list and dead-lettered ids for each queue. ARGV: what an ack set's name begins with, queue
#: names. Returns waiting, dead-lettered and in flight for each queue. The ack sets are found through the heartbeats:
#: KEYS would block.
FIGURES: Final = """
local workers = redis.call("zrange", KEYS[1], 0, -1)
local figures = {}
for i = 2, #ARGV do
    local in_flight = 0
    for _, worker in ipairs(workers) do
        in_flight = in_flight + redis.call("scard", ARGV[1] .. worker .. "." .. ARGV[i])
    end
    local at = (i - 1) * 2
    figures[#figures + 1] = {redis.call("llen", KEYS[at]), redis.call("zcard", KEYS[at + 1]), in_flight}
end
return figures
"""


@dataclass(frozen=True, slots=True)
class WorkerScripts:
    """The scripts of a worker, bound to its client."""

    enqueue: Script
    fetch: Script
    ack: Script
    nack: Script
    requeue: Script

    @classmethod
    def register(cls, client: redis.Redis) -> "WorkerScripts":
        """Bind them; nothing is sent yet, and a server that forgot a script is given it again."""
        return cls(*(client.register_script(text) for text in (ENQUEUE, FETCH, ACK, NACK, REQUEUE)))
