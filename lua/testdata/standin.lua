-- A stand-in for Wireshark: loads the plugin, plays segments to it as Wireshark's TCP does, and prints what
-- it shows, a line for each item of the protocol. Usage: lua standin.lua PLUGIN [passes] <SEGMENTS
-- A segment is a line: packet number, time in seconds, source, destination, bytes in hex.

local function any(t) return setmetatable(t or {}, { __index = function(_, k) return k end }) end

base, frametype, ftypes = any(), any(), any()
expert = { group = any(), severity = any() }
DESEGMENT_ONE_MORE_SEGMENT, MENU_TOOLS_UNSORTED = -1, 0
ProtoField = setmetatable({}, { __index = function() return function(abbr) return { abbr = abbr } end end })
ProtoExpert = { new = function(abbr, ...) return { abbr = abbr, ... } end }
Pref = { range = function(_, v) return v end, bool = function(_, v) return v end, uint = function(_, v) return v end }
Dissector = { get = function() return { call = function() end } end }
NSTime = { new = function(s, ns) return string.format("%.6f", s + ns / 1e9) end }
Listener = { new = function() return {} end }
function register_stat_cmd_arg() end
function get_version() return "4.0.0" end
function gui_enabled() return false end

local the_proto
function Proto(name)
  the_proto = { name = name, prefs = {}, register_heuristic = function() end }
  return the_proto
end

local nothing = { add = function() end, remove = function() end, add_for_decode_as = function() end, get_dissector = function() end }
DissectorTable = { new = function() return nothing end, get = function() return nothing end }

local range_of
function range_of(bytes)
  return setmetatable({
    bytes = bytes,
    raw = function(self) return self.bytes end,
    tvb = function(self) return self end,
    uint = function(self)
      local n = 0
      for i = 1, #self.bytes do n = n * 256 + self.bytes:byte(i) end
      return n
    end,
  }, { __call = function(_, at, size) return range_of(bytes:sub(at + 1, at + size)) end })
end

local function tvb_of(bytes, offset)
  local t = { bytes = bytes, len = function() return #bytes end, reported_len = function() return #bytes end, raw = function() return bytes end, offset = function() return offset end }
  return setmetatable(t, {
    __call = function(_, at, size)
      if at < 0 or size < 0 or at + size > #bytes then error("a range outside the bytes") end
      local r = range_of(bytes:sub(at + 1, at + size))
      r.at = at
      return r
    end,
  })
end

local lines

local function item_of(fields)
  return {
    set_generated = function(self) return self end,
    set_text = function(self) return self end,
    append_text = function(self) return self end,
    add_proto_expert_info = function() end,
    add = function(self, field, range, value)
      if type(range) ~= "table" then
        value = range
      elseif value == nil then
        value = field.abbr:find("payload$") and range.bytes:gsub(".", function(c) return string.format("%02x", c:byte()) end)
          or field.abbr:find("key$") and range.bytes:gsub(".", function(c) return string.format("%02x", c:byte()) end)
          or range:uint()
      end
      local name = field.abbr:gsub("^[^.]*%.", "")
      fields[name] = fields[name] and fields[name] .. "," .. tostring(value) or tostring(value)
      return self
    end,
  }
end

local function root_of(s)
  return {
    referenced = function() return true end,
    add = function(_, _, range)
      local fields = { packet = tostring(s.number), size = tostring(#range.bytes), stream = s.src .. s.dst }
      lines[#lines + 1] = fields
      return item_of(fields)
    end,
  }
end

dofile(arg[1])
the_proto.prefs.mask, the_proto.prefs.timeout = false, 30
the_proto.prefs_changed()

local segments = {}
for line in io.lines() do
  local number, time, src, dst, hex = line:match("^(%d+) (%S+) (%S+) (%S+) (%x+)$")
  segments[#segments + 1] = {
    number = tonumber(number), time = tonumber(time), src = src, dst = dst,
    bytes = hex:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end),
  }
end

local function call(s, bytes, offset, visited)
  local pinfo = {
    number = s.number, rel_ts = s.time, visited = visited, can_desegment = 2, desegment_len = 0, desegment_offset = 0,
    src = s.src:match("^(.*):"), src_port = tonumber(s.src:match(":(%d+)$")),
    dst = s.dst:match("^(.*):"), dst_port = tonumber(s.dst:match(":(%d+)$")), cols = { protocol = "TCP" },
  }
  the_proto.dissector(tvb_of(bytes, offset), pinfo, root_of(s))
  return pinfo.desegment_len ~= 0 and pinfo.desegment_offset
end

-- The first pass. What a packet's calls were is kept for a second one, as Wireshark keeps its reassembled bytes.
local calls, pending = {}, {}
lines = {}
the_proto.init()
for _, s in ipairs(segments) do
  local held = pending[s.src .. s.dst]
  local bytes, offset = (held or "") .. s.bytes, held and 0 or 54
  local before = #lines
  local from = call(s, bytes, offset, false)
  local again = held and from and from <= #held -- then all of it comes again
  calls[#calls + 1] = { s, bytes, offset }
  if again and #lines > before then error("packet " .. s.number .. " shows what comes again later") end
  pending[s.src .. s.dst] = from and (again and bytes or bytes:sub(from + 1)) or nil
end

if arg[2] == "2" then -- later passes look at the packets in any order: here backwards
  lines = {}
  for i = #calls, 1, -1 do call(calls[i][1], calls[i][2], calls[i][3], true) end
end

for _, fields in ipairs(lines) do
  local names, out = {}, {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do out[#out + 1] = name .. "=" .. fields[name]:gsub("[ =]", "_") end
  print(table.concat(out, " "))
end
