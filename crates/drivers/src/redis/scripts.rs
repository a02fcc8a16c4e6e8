//! What the server does in one step, in its own language (Lua 5.1). Each names all its keys.

/// Adds the messages of a part of a batch, as far as the parts before it were added.
///
/// Keys: how far the producer is, then the streams. Arguments: epoch, number of the part, how long the first key is to
/// live (ms), whether the server numbers entries by itself (`ms-*`, Redis 7), the shape of the messages; then the
/// messages, each with the number of its stream's key in front where there are several.
///
/// The first key holds `epoch:number:begun:first:stream`: the last part that is stored whole, and how many messages of the
/// next one are; then the stream of that part and the first half of its ids, where the next part may go on with them.
/// A part is added only if it is the next one: so nothing behind a failure is stored, and what is sent again is added once.
///
/// Answers `{1}` stored, `{2}` was stored before, `{0, count, error}` failed behind so many messages, `{-1}` refused because
/// an earlier part failed, `{-2}` refused because the server does not know the producer.
pub(super) const PRODUCE: &str = r"
local call, try = redis.call, redis.pcall
local epoch, number = tonumber(ARGV[1]), tonumber(ARGV[2])
local begun, half, stream = 0
local state = call('GET', KEYS[1])
if state then
  local e, n, b
  e, n, b, half, stream = string.match(state, '^(%d+):(%d+):(%d+):(%d*):(.*)$')
  e, n = tonumber(e), tonumber(n)
  if e > epoch then return {-1} end
  if e == epoch then
    if n >= number then return {2} end
    if n + 1 < number then return {-1} end
    begun = tonumber(b)
  elseif number > 1 then return {-1} end
elseif number > 1 then return {-2} end
local time = call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
local auto, shape, several = ARGV[4] == '1', ARGV[5], #KEYS > 2
local args, done, at, total = ARGV, 0, 6, #ARGV
local problem, known
-- How many arguments a message is; where the shape is any, it says so itself.
local each = shape == 'k' and 3 or 2
-- Adds the message whose arguments begin there.
local function add(key, id, i, count)
  if shape == 'b' then return try('XADD', key, id, 'stored', now, 'timestamp', args[i], 'body', args[i + 1]) end
  if shape == 'k' then
    return try('XADD', key, id, 'stored', now, 'key', args[i], 'timestamp', args[i + 1], 'body', args[i + 2])
  end
  return try('XADD', key, id, 'stored', now, unpack(args, i, i + count - 1))
end
-- Both parts of the last id of a stream, or nil and an error.
local function last(key)
  local info = try('XINFO', 'STREAM', key)
  if info.err then return nil, info.err end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return string.match(info[i + 1], '^(%d+)%-(%d+)$') end
  end
end
-- Most parts are simple: for these a loop that does little. (A text has no field err, an error has.)
if shape ~= 'a' and auto and not several and begun == 0 then
  local key = KEYS[2]
  local f, s
  if stream == key and call('EXISTS', key) == 1 then
    -- Asked for the last id, the server would answer two messages too: the first one that is added tells it. An error, such
    -- as that others added larger ids, is found again below.
    local added = add(key, half .. '-*', at, each)
    if not added.err then
      f, s = half, tonumber(string.match(added, '%-(%d+)$'))
      if s < 1048576 then
        done, at = 1, at + each
      else
        try('XDEL', key, added)
      end
    end
  else
    f, s = last(key)
    if f then s = tonumber(s) else problem, at, s = s, total + 1, nil end
  end
  if s and s + total < 1048576 then
    local id = f .. '-*'
    local added
    if shape == 'b' then
      for i = at, total, 2 do
        added = try('XADD', key, id, 'stored', now, 'timestamp', args[i], 'body', args[i + 1])
        if added.err then
          problem = added.err
          break
        end
        done = done + 1
      end
    else
      for i = at, total, 3 do
        added = try('XADD', key, id, 'stored', now, 'key', args[i], 'timestamp', args[i + 1], 'body', args[i + 2])
        if added.err then
          problem = added.err
          break
        end
        done = done + 1
      end
    end
    at, known = total + 1, f
  end
end
local key, first, second, id = KEYS[2], {}, {}, {}
while at <= total do
  if several then
    key = KEYS[tonumber(args[at])]
    at = at + 1
  end
  if not second[key] then
    local f, s = last(key)
    if not f then
      problem = s
      break
    end
    first[key], second[key], id[key] = f, tonumber(s), f .. '-*'
  end
  local count = each
  if shape == 'a' then
    count = tonumber(args[at])
    at = at + 1
  end
  if done >= begun then
    local s = second[key] + 1
    if s >= 1048576 then
      first[key] = string.format('%.0f', tonumber(first[key]) + 1)
      id[key] = first[key] .. '-*'
      s = 0
    end
    local to = id[key]
    if not auto then to = first[key] .. '-' .. s end
    local added = add(key, to, at, count)
    if added.err then
      problem = added.err
      break
    end
    second[key] = s
  end
  done = done + 1
  at = at + count
end
if not problem then
  local ids = '::'
  if known then ids = ':' .. known .. ':' .. KEYS[2] end
  call('SET', KEYS[1], epoch .. ':' .. number .. ':0' .. ids, 'PX', ARGV[3])
  return {1}
end
if done > begun then
  call('SET', KEYS[1], epoch .. ':' .. (number - 1) .. ':' .. done .. '::', 'PX', ARGV[3])
end
return {0, done, problem}
";

/// Finds a queue. Keys: the stream of one partition, the descriptor, the first stream of several. Answers partitions,
/// retention in milliseconds and in bytes (empty: none), or nil.
pub(super) const FIND: &str = r"
local found = redis.call('HMGET', KEYS[2], 'partitions', 'retention.ms', 'retention.bytes')
local count = tonumber(found[1] or '1') or 1
if count > 1 and redis.call('EXISTS', KEYS[3]) == 1 then
  return {count, found[2] or '', found[3] or ''}
end
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'none' then return false end
if kind ~= 'stream' then
  return redis.error_reply('WRONGTYPE the key holds a ' .. kind)
end
if count > 1 then return {1, '', ''} end
return {1, found[2] or '', found[3] or ''}
";

/// Makes a queue. Keys as of `FIND`, then the streams to make. Arguments: what the descriptor is to say. Answers 0 where
/// there is one already. An empty stream can only be made with a consumer group.
pub(super) const CREATE: &str = r"
local count = tonumber(redis.call('HGET', KEYS[2], 'partitions') or '1') or 1
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if count > 1 and redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('DEL', KEYS[2])
for i = 4, #KEYS do
  redis.call('DEL', KEYS[i])
  redis.call('XGROUP', 'CREATE', KEYS[i], 'omsconnect', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[i], 'omsconnect')
end
if ARGV[1] ~= '1' or ARGV[2] ~= '' or ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'partitions', ARGV[1])
  if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'retention.ms', ARGV[2]) end
  if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], 'retention.bytes', ARGV[3]) end
end
return 1
";

/// Deletes a queue. Keys: the descriptor, then the streams. Answers how many streams there were.
pub(super) const DELETE: &str = r"
local count = 0
for i = 2, #KEYS do count = count + redis.call('UNLINK', KEYS[i]) end
redis.call('DEL', KEYS[1])
return count
";

/// Cuts a stream to a size, whole nodes from the front, half of the surplus each time, since sizes are estimated by the
/// first nodes and those may be larger than others. In one step, so that readers see one cut. Key: the stream. Arguments:
/// the limit in bytes, how many nodes to look at, how many cuts at most. Answers how many entries went.
pub(super) const CUT: &str = r"
local limit, gone = tonumber(ARGV[1]), 0
for _ = 1, tonumber(ARGV[3]) do
  local bytes = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', ARGV[2])
  if not bytes or bytes <= limit then break end
  local length = redis.call('XLEN', KEYS[1])
  local surplus = math.ceil(math.floor(length * (bytes - limit) / bytes) / 2)
  if surplus < 1 then break end
  local cut = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', length - surplus)
  if cut == 0 then break end
  gone = gone + cut
end
return gone
";

/// Stores positions. Keys: streams. Arguments: the group, then the id of the last entry that was read of each. Answers
/// 0, or the number of the first stream that is not there (and then nothing was stored).
pub(super) const COMMIT: &str = r"
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 0 then return i end
end
for i, key in ipairs(KEYS) do
  local set = redis.pcall('XGROUP', 'SETID', key, ARGV[1], ARGV[i + 1])
  if set.err then
    redis.call('XGROUP', 'CREATE', key, ARGV[1], ARGV[i + 1])
  end
end
return 0
";

/// Writes a value. Keys: counter, versions, values, keys, deleted, changes. Arguments: key, value, the version that must
/// be there (`*`: any, empty: none), how many changes are kept, up to how many bytes a value is kept with its change.
/// Answers `{1, version}`, or `{0, version}` with the one that is there instead (nil: none).
pub(super) const PUT: &str = r"
local found = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[3] ~= '*' and (found or '') ~= ARGV[3] then return {0, found} end
local version = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('HSET', KEYS[2], ARGV[1], version)
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
if not found then
  redis.call('ZADD', KEYS[4], 0, ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
end
local id = version .. '-0'
if #ARGV[2] <= tonumber(ARGV[5]) then
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[4], id, 'key', ARGV[1], 'value', ARGV[2])
else
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[4], id, 'key', ARGV[1])
end
return {1, version}
";

/// Deletes a value. Keys as of `PUT`. Arguments: key, how many changes are kept, how many deletions are remembered.
/// Answers whether it was there. The deletion itself comes first, since a full server takes it.
pub(super) const REMOVE: &str = r"
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
local version = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('ZADD', KEYS[5], version, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -1 - tonumber(ARGV[3]))
redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[2], version .. '-0', 'key', ARGV[1], 'deleted', '1')
return 1
";

/// Version and value of a key. Keys: versions, values. Argument: the key. Answers nil, or both.
pub(super) const GET: &str = r"
local version = redis.call('HGET', KEYS[1], ARGV[1])
if not version then return false end
return {version, redis.call('HGET', KEYS[2], ARGV[1])}
";

/// A page of a store. Keys: versions, values, keys. Arguments: the bounds of the keys in byte order, how many at most,
/// how many bytes of values at most, and whether values are wanted (`1`). Answers whether there is more, then key,
/// version and value (or an empty one) of each.
pub(super) const LIST: &str = r"
local limit, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local names = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[1], ARGV[2], 'LIMIT', 0, limit + 1)
local page, size = {0}, 0
for i, name in ipairs(names) do
  if i > limit or size >= bytes then
    page[1] = 1
    break
  end
  local value = ''
  if ARGV[5] == '1' then value = redis.call('HGET', KEYS[2], name) or '' end
  size = size + #value
  page[#page + 1] = name
  page[#page + 1] = redis.call('HGET', KEYS[1], name) or '0'
  page[#page + 1] = value
end
return page
";
