//! What does Redis do with a topic that has a history? The scripts, and the names of keys.
//!
//! A topic has two keys, whose names share a hash tag:
//!
//! * `stream`: an entry for each message. Its id is `OFFSET-TIME` (milliseconds of Redis' clock).
//!   Its field `m` has the message.
//! * `meta`: a hash with `epoch`, `offset` (of the last message), `base` (messages up to this
//!   offset belong to an earlier epoch), `oldest` (a time at which no kept message was older), and
//!   `big` (the size of the largest message).
//!
//! Scripts are atomic, so each sees a stream and a hash that belong together. The next script of a
//! topic removes messages that are older than the history's age. It finds the first that is not by
//! looking at few of them.

use crate::server::backplane::History;
use std::time::Duration;

/// A script, and its name for `EVALSHA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Publish,
    Read,
}

/// The meta key of a topic outlives its last message by this, and twice the history's age. Servers
/// that follow the topic prolong it.
const META: Duration = Duration::from_secs(24 * 3600);
/// A longer age is not told to Redis.
const OLDEST: Duration = Duration::from_secs(3600 * 24 * 3650);

/// Returns the age of a history in milliseconds.
pub(super) fn age_millis(history: History) -> u64 {
    millis(history.age.min(OLDEST))
}

/// Returns for how many milliseconds the meta key is to live.
pub(super) fn meta_millis(history: History) -> u64 {
    age_millis(history) * 2 + millis(META)
}

/// Returns a time in milliseconds, at least 1.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What both scripts begin with.
///
/// `fresh` begins a new life: nothing is kept. `trim` removes what is too old: with steps that
/// double, then halving, it finds the first message that is not.
const COMMON: &str = r"
local stream, meta = KEYS[1], KEYS[2]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function int(n) return string.format('%.0f', n) end

local function fresh(epoch)
  -- After a first write, Redis looks no more whether there is memory.
  if redis.call('EXISTS', stream, meta) > 0 then redis.call('DEL', stream, meta) end
  redis.call('HSET', meta, 'epoch', epoch, 'offset', '0', 'base', '0', 'oldest', int(now), 'big', '0')
end

local function known()
  local got = redis.pcall('HMGET', meta, 'epoch', 'offset', 'base', 'oldest', 'big')
  if got.err or not (got[1] and tonumber(got[2]) and tonumber(got[3]) and tonumber(got[4]) and tonumber(got[5])) then
    return nil
  end
  if #got[1] ~= 16 then return nil end
  return {epoch = got[1], offset = tonumber(got[2]), base = tonumber(got[3]), oldest = tonumber(got[4]),
    big = tonumber(got[5])}
end

local function state(epoch)
  local s = known()
  if not s then
    fresh(epoch)
    s = known()
  end
  return s
end

-- The time of the first message from an offset on.
local function time_at(offset)
  local entries = redis.pcall('XRANGE', stream, offset, '+', 'COUNT', 1)
  if entries.err or not entries[1] then return nil, nil end
  local at, time = string.match(entries[1][1], '^(%d+)%-(%d+)$')
  return tonumber(time), tonumber(at)
end

local function trim(s, age)
  if now - s.oldest <= age then return end
  local time, low = time_at('-')
  if time and now - time > age then
    local high, step = s.offset + 1, 1
    while high - low > 1 do
      local middle = math.min(low + step, math.floor((low + high) / 2))
      local t = time_at(int(middle))
      if t and now - t > age then
        low = middle
        step = step * 2
      else
        high = middle
      end
    end
    redis.pcall('XTRIM', stream, 'MINID', '=', int(high))
    time = time_at('-')
  end
  redis.pcall('HSET', meta, 'oldest', int(time or now))
end

local function prolong(age)
  redis.call('PEXPIRE', stream, int(age + 60000))
  redis.call('PEXPIRE', meta, int(2 * age + 86400000))
end
";

/// `KEYS`: stream, meta, and perhaps the key that holds the position of the first message of that
/// name. `ARGV`: channel, entry, how many messages are kept, for how many milliseconds, the epoch
/// if there is none yet.
const PUBLISH: &str = r"
local channel, entry, most, age = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if KEYS[3] then
  local first = redis.pcall('GET', KEYS[3])
  if first and not first.err then return first end
end
local s = state(ARGV[5])
local function add()
  return redis.pcall('XADD', stream, 'MAXLEN', '=', most, int(s.offset + 1) .. '-' .. int(now), 'm', entry)
end
local added = add()
if type(added) == 'table' and added.err then
  if not (string.find(added.err, 'equal or smaller') or string.find(added.err, 'WRONGTYPE')) then return added end
  fresh(ARGV[5])
  s = known()
  added = add()
  if type(added) == 'table' and added.err then return added end
end
local offset = int(s.offset + 1)
redis.call('HSET', meta, 'offset', offset)
if #entry > s.big then redis.call('HSET', meta, 'big', int(#entry)) end
trim(s, age)
prolong(age)
local position = s.epoch .. '-' .. offset
if KEYS[3] then redis.call('SET', KEYS[3], position, 'PX', int(age)) end
redis.call('PUBLISH', channel, '\1\16' .. s.epoch .. string.format('%020.0f', s.offset + 1) .. entry)
return position
";

/// `KEYS`: stream, meta. `ARGV`: for how many milliseconds messages are kept, the epoch if there is
/// none yet or if it is to be renewed, the epoch and the offset from which on to read (both empty:
/// all), whether to renew.
///
/// Returns epoch, offset, whether there is more, and the entries.
const READ: &str = r"
local age, epoch, from = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local s = state(ARGV[2])
if ARGV[5] == '1' and s.epoch == epoch then
  redis.call('HSET', meta, 'epoch', ARGV[2], 'base', int(s.offset))
  s = known()
end
trim(s, age)
prolong(age)
local start = '-'
if epoch ~= '' then start = (s.epoch == epoch) and from or int(s.base + 1) end
local most = math.floor(1048576 / math.max(s.big, 1))
most = math.max(2, math.min(most, 512))
local entries = redis.pcall('XRANGE', stream, start, int(s.offset), 'COUNT', most)
if entries.err then entries = {} end
local more = 0
if #entries == most then
  more = 1
end
-- Of the message that is known already, the header is enough.
local first = entries[1]
if first and s.epoch == epoch and string.match(first[1], '^%d+') == from and first[2][2] then
  first[2][2] = string.sub(first[2][2], 1, 10)
end
return {s.epoch, int(s.offset), more, entries}
";

impl Script {
    /// Its source.
    pub(super) fn source(self) -> String {
        let own = match self {
            Script::Publish => PUBLISH,
            Script::Read => READ,
        };
        format!("{COMMON}{own}")
    }
}
