-- NUBISON IoT over TCP: a Wireshark dissector.
--
-- Made by nubishark (development) from its protocol table ("nubishark lua"): make it anew instead of changing it.
-- For Wireshark and tshark 3.4 and newer. To remove it, delete this file from the Personal Lua Plugins folder
-- (Help > About Wireshark > Folders). Filters to try:
--   nubison.violation                              packets that break a rule
--   nubison.type == "D" && nubison.latency > 0.5   data packets that were answered slowly (tshark: with -2)
--   nubison.unanswered                             requests without an answer (tshark: with -2)
-- SPDX-License-Identifier: GPL-2.0-or-later

-- 1. The table ---------------------------------------------------------------------------------------------
-- Generated, in the table's order. A layout's fields are name:size in bytes; no size is what the length says.

local HEADER, TOKEN_AT, TOKEN_SIZE, MAX_PACKET = 9, 9, 24, 65570 -- in bytes
local LETTERS = "LODCHR"
local NAMES = { L = "login", O = "logout", D = "data", C = "command", H = "heartbeat", R = "response" }

local ERRORS = {
  [0x0001] = "packet type not valid",
  [0x0002] = "packet structure not valid",
  [0x0003] = "client ID or client secret not valid",
  [0x0004] = "device not registered",
  [0x0005] = "access token not valid",
  [0x0006] = "payload structure not valid",
  [0x9999] = "server error",
}
local STATUS = { [0] = "failure", [1] = "success" }

local FIELDS = {
  { name = "type", title = "Type", ftype = "string", kind = "letter" },
  { name = "session_id", title = "Session ID", ftype = "string", kind = "id" },
  { name = "client_id", title = "Client ID", ftype = "string", kind = "text" },
  { name = "client_secret", title = "Client secret", ftype = "string", kind = "text", secret = true },
  { name = "product_code", title = "Product code", ftype = "string", kind = "text" },
  { name = "identifier_length", title = "Identifier length", ftype = "uint16", kind = "length" },
  { name = "identifier", title = "Identifier", ftype = "string", kind = "text" },
  { name = "access_token", title = "Access token", ftype = "string", kind = "id", secret = true },
  { name = "payload_length", title = "Payload length", ftype = "uint16", kind = "length" },
  { name = "payload", title = "Payload", ftype = "bytes", kind = "payload" },
  { name = "status", title = "Status", ftype = "uint8", kind = "status", values = STATUS },
  { name = "encryption_key_length", title = "Encryption key length", ftype = "uint16", kind = "length" },
  { name = "encryption_key", title = "Encryption key", ftype = "bytes", kind = "payload", secret = true },
  { name = "error_code", title = "Error code", ftype = "uint16", kind = "code", values = ERRORS, hex = true },
  { name = "payload_text", title = "Payload text", ftype = "string", about = "The payload where it is clean UTF-8" },
  { name = "name", title = "Name", ftype = "string", about = "The packet's name" },
  { name = "from", title = "Sent by", ftype = "string", about = "device or server" },
  { name = "offset", title = "Stream offset", ftype = "uint32",
    about = "In the bytes that TCP handed over of this direction" },
  { name = "length", title = "Length", ftype = "uint32", about = "Of the packet in bytes" },
  { name = "missing_bytes", title = "Missing bytes", ftype = "uint32",
    about = "Bytes of the packet that the capture does not hold" },
  { name = "ends_in", title = "Ends in", ftype = "NONE",
    about = "The capture packet with the last byte, if another one was needed to tell" },
  { name = "tail_of", title = "Optional part of", ftype = "NONE",
    about = "The capture packet that this tail belongs to" },
  { name = "device_key", title = "Device", ftype = "string", about = "Product code and identifier of the last login" },
  { name = "request_type", title = "Request type", ftype = "string",
    about = "The letter of the request that a response answers" },
  { name = "response_in", title = "Response in", ftype = "RESPONSE",
    about = "The capture packet that answers this request" },
  { name = "response_to", title = "Response to", ftype = "REQUEST", about = "The capture packet with the request" },
  { name = "latency", title = "Latency", ftype = "time", about = "From the request's last byte to the response's" },
  { name = "violation", title = "Violation", ftype = "string", about = "The ID of a rule that is broken" },
  { name = "unanswered", title = "No response", ftype = "bool",
    about = "There is no response within the timeout; known from the second pass on" },
}

local LAYOUTS = {
  { letter = "L", from = "device",
    fields = "type:1 session_id:8 client_id:20 client_secret:20 product_code:8 identifier_length:1 identifier" },
  { letter = "O", from = "device",
    fields = "type:1 session_id:8 access_token:24" },
  { letter = "D", from = "device",
    fields = "type:1 session_id:8 access_token:24 payload_length:2 payload" },
  { letter = "C", from = "server",
    fields = "type:1 session_id:8 access_token:24", tail = "payload_length:1 payload" },
  { letter = "H", from = "device",
    fields = "type:1 session_id:8 access_token:24", tail = "payload_length:1 payload" },
  { letter = "R", from = "server", answers = "DHO", success = true,
    fields = "type:1 session_id:8 status:1" },
  { letter = "R", from = "server", answers = "L", success = true,
    fields = "type:1 session_id:8 status:1 access_token:24", tail = "encryption_key_length:1 encryption_key" },
  { letter = "R", from = "device", answers = "C", success = true,
    fields = "type:1 session_id:8 status:1", tail = "payload_length:1 payload" },
  { letter = "R", from = "server", answers = "LDH", success = false,
    fields = "type:1 session_id:8 status:1 error_code:2" },
  { letter = "R", from = "device", answers = "C", success = false,
    fields = "type:1 session_id:8 status:1" },
  { letter = "R", from = "server", answers = "O", success = false,
    fields = "type:1 session_id:8 status:1", tail = "error_code:2" },
}

local RULES = {
  { id = "short-packet", group = "MALFORMED", severity = "ERROR" },
  { id = "unknown-type", group = "MALFORMED", severity = "ERROR" },
  { id = "wrong-direction", group = "PROTOCOL", severity = "ERROR" },
  { id = "truncated-packet", group = "MALFORMED", severity = "ERROR" },
  { id = "stray-bytes", group = "MALFORMED", severity = "ERROR" },
  { id = "bad-status", group = "RESPONSE_CODE", severity = "ERROR" },
  { id = "unknown-error-code", group = "RESPONSE_CODE", severity = "WARN" },
  { id = "bad-text", group = "PROTOCOL", severity = "WARN" },
  { id = "empty-identifier", group = "PROTOCOL", severity = "WARN" },
  { id = "length-byte-order", group = "MALFORMED", severity = "ERROR" },
  { id = "length-width", group = "MALFORMED", severity = "ERROR" },
  { id = "length-missing", group = "MALFORMED", severity = "ERROR" },
  { id = "length-mismatch", group = "MALFORMED", severity = "ERROR" },
  { id = "token-mismatch", group = "SECURITY", severity = "ERROR" },
  { id = "token-after-logout", group = "SECURITY", severity = "ERROR" },
  { id = "login-repeated", group = "SEQUENCE", severity = "WARN" },
  { id = "session-id-reused", group = "SEQUENCE", severity = "WARN" },
  { id = "session-id-collision", group = "SEQUENCE", severity = "ERROR" },
  { id = "request-repeated", group = "SEQUENCE", severity = "WARN" },
  { id = "late-response", group = "SEQUENCE", severity = "WARN" },
  { id = "duplicate-response", group = "SEQUENCE", severity = "ERROR" },
  { id = "error-response", group = "RESPONSE_CODE", severity = "WARN" },
}

-- 2. Registration ------------------------------------------------------------------------------------------
-- Runs once, when Wireshark loads the file.

local loaded, proto = pcall(Proto, "nubison", "NUBISON IoT over TCP")
if not loaded then
  error("the protocol nubison is there already: keep one copy of this plugin (Help > About Wireshark > Plugins)", 0)
end

local MAKE = { -- fields of each type
  string = function(abbr, f) return ProtoField.string(abbr, f.title, nil, f.about) end,
  bytes = function(abbr, f) return ProtoField.bytes(abbr, f.title, base.NONE, f.about) end,
  bool = function(abbr, f) return ProtoField.bool(abbr, f.title, base.NONE, nil, nil, f.about) end,
  time = function(abbr, f) return ProtoField.relative_time(abbr, f.title, f.about) end,
}
for _, kind in ipairs({ "uint8", "uint16", "uint32" }) do
  MAKE[kind] = function(abbr, f)
    return ProtoField[kind](abbr, f.title, f.hex and base.HEX or base.DEC, f.values, nil, f.about)
  end
end
for _, kind in ipairs({ "NONE", "REQUEST", "RESPONSE" }) do -- links to other packets
  MAKE[kind] = function(abbr, f)
    return ProtoField.framenum(abbr, f.title, base.NONE, frametype[kind], nil, f.about)
  end
end

local F, DEFS, E = {}, {}, {} -- fields and their definitions by name, expert infos by rule
do
  local fields, experts = {}, {}
  for i, f in ipairs(FIELDS) do
    fields[i] = MAKE[f.ftype]("nubison." .. f.name, f)
    F[f.name], DEFS[f.name] = fields[i], f
  end
  for i, r in ipairs(RULES) do
    experts[i] = ProtoExpert.new("nubison.rule." .. r.id, r.id, expert.group[r.group], expert.severity[r.severity])
    E[r.id] = experts[i]
  end
  proto.fields, proto.experts = fields, experts
end

proto.prefs.ports = Pref.range("TCP ports", "", "Ports to dissect; others are found by content", 65535)
proto.prefs.little = Pref.bool("Little-endian lengths", false, "Byte order of two-byte lengths; big-endian is right")
proto.prefs.timeout = Pref.uint("Response timeout (seconds)", 30, "From here on a response is late")
proto.prefs.mask = Pref.bool("Mask secrets", true, "Hide client secrets, tokens and keys in the tree")
local prefs = { little = false, timeout = 30, mask = true, ports = "" } -- reading proto.prefs is dear

local payloads = DissectorTable.new("nubison.product", "NUBISON product code", ftypes.STRING)

-- Reads a layout's text. Returns its fields, their size without the variable one, and where its length is.
local function measured(text, places, from)
  local list, size, at, width = {}, 0, nil, nil
  for name, n in text:gmatch("([%l_]+):?(%d*)") do
    n = tonumber(n) or 0
    list[#list + 1] = { def = DEFS[name], size = n }
    if DEFS[name].kind == "length" then at, width = size, n end
    places[name] = { at = from + size, size = n }
    size = size + n
  end
  return list, size, at, width
end

local OF, TOKENED, SENDERS = {}, {}, {} -- by letter: layouts, whether a token is there, who may send it
local REPLIES = {} -- layouts of responses by request and status, or by sender and status
for _, l in ipairs(LAYOUTS) do
  l.places = {}
  l.list, l.fixed, l.length_at, l.width = measured(l.fields, l.places, 0)
  if l.tail then
    local _
    l.rest, l.tail_fixed, _, l.tail_width = measured(l.tail, l.places, l.fixed)
  end
  OF[l.letter] = OF[l.letter] or {}
  table.insert(OF[l.letter], l)
  TOKENED[l.letter] = not l.answers and l.places.access_token ~= nil
  SENDERS[l.letter] = SENDERS[l.letter] or {}
  SENDERS[l.letter][l.from] = true
end

-- 3. State -------------------------------------------------------------------------------------------------
-- Filled on the first pass over a file, packet by packet; only read afterwards.

local flows   -- by "address:port>address:port": what is known of one direction of a connection
local records -- by packet and place in it: the list of what was found there
local issued  -- tokens that login answers returned, with the device that they are for
local totals  -- for the summary

local function reset()
  flows, records, issued = {}, {}, {}
  totals = { letters = {}, violations = {}, devices = {}, order = {} }
end
reset()

local function new_flow(conn, guess)
  return {
    conn = conn, guess = guess, -- the side, until a letter tells; side is set then
    open = {}, done = {}, ring = {}, turn = 0, -- its requests by session ID; the latest finished ones
    early = {}, bad = {}, seen = 0, packets = 0, -- responses before their request; fields with bad text
    n = 0, at = {}, frame = {}, time = {}, old = 0, -- the segments of the bytes at hand; how many were held
    settled = nil, -- records in the bytes that are held, of which the rest starts at pos
  }
end

-- Both directions of a new connection.
local function connect(a, b, guess)
  local conn = { tokens = {}, ended = {} }
  local me, peer = new_flow(conn, guess), new_flow(conn, guess == "device" and "server" or "device")
  me.peer, peer.peer = peer, me
  flows[a .. ">" .. b], flows[b .. ">" .. a] = me, peer
  return me
end

-- The flow of a packet's sender; fresh where a connection is known to be new.
local function flow_of(pinfo, fresh)
  local a, b = tostring(pinfo.src) .. ":" .. pinfo.src_port, tostring(pinfo.dst) .. ":" .. pinfo.dst_port
  local me = not fresh and flows[a .. ">" .. b]
  return me or connect(a, b, pinfo.src_port >= pinfo.dst_port and "device" or "server")
end

-- 4. Framing -----------------------------------------------------------------------------------------------
-- First pass only. Functions of strings and flows, without a call of Wireshark's. A reading of a packet is
-- { layout, size, tail }, with the rule that it breaks; the one that is chosen becomes the packet's record.

local byte, sub, find = string.byte, string.sub, string.find

local function number(s, at, width, little)
  if width == 1 then return byte(s, at) end
  local a, b = byte(s, at, at + 1)
  return little and b * 256 + a or a * 256 + b
end

local function word(s) return not find(s, "[^\33-\126]") end

local function trim(s) return (s:gsub("[%z ]+$", "")) end

-- Replaces a character of several bytes by a space, unless it is an overlong one, half of a pair, or a control.
local function blank_rune(c)
  local a, b = byte(c, 1, 2)
  local bad = (a == 194 or a == 224) and b < 160 or a == 237 and b > 159 or a == 240 and b < 144 or a == 244 and b > 143
  return bad and c or " "
end

-- Whether text is UTF-8 without control characters.
local function clean(s)
  if find(s, "[%z\1-\31\127]") then return false end
  s = s:gsub("[\194-\223][\128-\191]", blank_rune):gsub("[\224-\239][\128-\191][\128-\191]", blank_rune)
  return not find(s:gsub("[\240-\244][\128-\191][\128-\191][\128-\191]", blank_rune), "[\128-\255]")
end

local function may_send(me, letter) return not me.side or SENDERS[letter][me.side] end

-- The packet and the time of the byte at x.
local function segment_of(me, x)
  local i = me.n
  while i > 1 and me.at[i] > x do i = i - 1 end
  return me.frame[i], me.time[i]
end

local function is_start(me, x)
  for i = 1, me.n do
    if me.at[i] == x then return true end
  end
  return false
end

local function id_at(s, pos) return sub(s, pos + 1, pos + HEADER - 1) end

local function token_at(s, pos)
  return TOKENED[sub(s, pos, pos)] and sub(s, pos + TOKEN_AT, pos + TOKEN_AT + TOKEN_SIZE - 1)
end

-- Whether the text fields of a login at pos are clean.
local function clean_login(s, pos)
  for _, f in ipairs(OF.L[1].list) do
    local p = f.def.kind == "text" and f.size > 0 and OF.L[1].places[f.def.name]
    if p and not clean(trim(sub(s, pos + p.at, pos + p.at + p.size - 1))) then return false end
  end
  return true
end

-- Whether a packet stands at pos beyond doubt: a known token, a session ID that the peer waits for, or a clean
-- login that is a write of its own. token is that of the packet before.
local function sure(s, pos, me, token)
  local letter, conn = sub(s, pos, pos), me.conn
  if letter == "R" then
    local peer, id = me.peer, id_at(s, pos)
    return peer.open[id] ~= nil or peer.held ~= nil and #id == HEADER - 1 and id_at(peer.held, peer.pos) == id
  end
  if TOKENED[letter] then
    local t = token_at(s, pos)
    return #t == TOKEN_SIZE and (t == token or conn.tokens[t] or issued[t] ~= nil)
  end
  local l = letter == "L" and #s >= pos + OF.L[1].fixed - 1 and is_start(me, pos) and OF.L[1]
  if not l or not may_send(me, "L") or not word(id_at(s, pos)) or not clean_login(s, pos) then return false end
  local left = #s + 1 - pos - l.fixed - number(s, pos + l.length_at, l.width)
  -- In a packet that waits for more bytes, text may look like a login: one is not to be expected there.
  return left >= 0 and left < HEADER and (me.old == 0 or left == 0 and not conn.session)
end

-- The layouts of a response with this status to the request, or to any of the other side's.
local function replies(asked, status)
  local key = asked .. (status or "?")
  if not REPLIES[key] then
    REPLIES[key] = {}
    for _, l in ipairs(OF.R) do
      local fits = l.from == asked or find(l.answers, asked, 1, true)
      if fits and (not status or status > 1 or l.success == (status == 1)) then table.insert(REPLIES[key], l) end
    end
  end
  return REPLIES[key]
end

-- The readings that the vendor allows at pos; size is nil where the length is not there yet.
local function readings(s, pos, me, request)
  local out, list = {}, OF[sub(s, pos, pos)]
  if list == OF.R then list = replies(request or me.side or me.guess, byte(s, pos + HEADER)) end
  for i = 1, #list do
    local l = list[i]
    local size = l.fixed
    if l.width then
      local at = pos + l.length_at
      size = #s >= at + l.width - 1 and size + number(s, at, l.width, prefs.little) or nil
    end
    out[#out + 1] = { layout = l, size = size }
    if l.tail then
      local n = 0
      if l.tail_width then n = byte(s, pos + l.fixed) end
      out[#out + 1] = { layout = l, size = n and l.fixed + l.tail_fixed + n, tail = true }
    end
  end
  return out
end

-- Whether packets of the vendor's lead on from pos: 3 whole ones do, 2 what is there may be the start of one, 0 not.
local function leads(s, pos, me, depth)
  local letter = sub(s, pos, pos)
  if not OF[letter] or not may_send(me, letter) or not word(id_at(s, pos)) then return 0 end
  if #s - pos + 1 < HEADER then return 2 end
  local token = token_at(s, pos)
  if token and not word(token) and find(token, "[^%z]") then return 0 end
  if letter == "R" and (byte(s, pos + HEADER) or 0) > 1 then return 0 end
  local best = 0
  for _, c in ipairs(readings(s, pos, me)) do
    local after = c.size and pos + c.size
    if not after or after > #s + 1 then
      best = math.max(best, 2)
    elseif after == #s + 1 or depth == 0 or sure(s, after, me, token) then
      return 3
    else
      best = math.max(best, leads(s, after, me, depth - 1))
    end
  end
  return best
end

-- How well the end of a reading is confirmed: 5 a packet stands behind it beyond doubt, 4 it is the end of the
-- segment, 3 whole packets lead on from it, 2 with more bytes a packet might, 1 it is not all here, 0 nothing of that.
-- A reading that reaches over inner, where a packet stands beyond doubt, is none.
local function score(s, pos, c, me, inner)
  local after = c.size and pos + c.size
  if not after or after > #s + 1 then return 1 end
  local over = inner and after > inner
  if after <= #s and not (over and c.tail) and sure(s, after, me, token_at(s, pos)) then return 5 end
  if over then return 0 end
  if after == #s + 1 then return 4 end
  local n = leads(s, after, me, 4)
  return (n ~= 2 or #s < after + TOKEN_AT + TOKEN_SIZE - 1) and n or 0
end

-- The first start of a segment behind pos where a packet stands beyond doubt.
local function next_sure(s, pos, me)
  for i = 1, me.n do
    if me.at[i] > pos and OF[sub(s, me.at[i], me.at[i])] and sure(s, me.at[i], me, token_at(s, pos)) then
      return me.at[i]
    end
  end
end

-- The readings of a length in another byte order or of another width.
local function deviants(s, pos, list)
  local out = {}
  local function add(c, size, rule, width, little)
    out[#out + 1] = { layout = c.layout, size = size, tail = c.tail, rule = rule, width = width, little = little }
  end
  for _, c in ipairs(list) do
    local l = c.layout
    if l.width == 2 and c.size then
      local at = pos + l.length_at
      add(c, l.fixed + number(s, at, 2, not prefs.little), "length-byte-order", 2, not prefs.little)
      add(c, l.fixed - 1 + byte(s, at), "length-width", 1)
    elseif c.tail and l.tail_width == 1 and #s > pos + l.fixed then
      add(c, l.fixed + 2 + number(s, pos + l.fixed, 2, prefs.little), "length-width", 2, prefs.little)
      add(c, l.fixed + 2 + number(s, pos + l.fixed, 2, not prefs.little), "length-width", 2, not prefs.little)
    end
  end
  return out
end

-- A reading that ends at x whatever the length says: stray bytes behind it, the length missing or wrong, or cut off.
local function bounded(pos, x, list)
  local n = x - pos
  local last = list[#list]
  for _, c in ipairs(list) do
    if c.size and c.size < n and n - c.size < HEADER and (c.tail or not c.layout.tail_width) then return c end
  end
  local l = last.layout
  if last.tail and l.tail_width and n > l.fixed then
    return { layout = l, size = n, tail = true, rule = "length-missing", width = 0 }
  end
  if l.width and n >= l.fixed and l.width == 2 then return { layout = l, size = n, rule = "length-mismatch" } end
  if n >= HEADER and (n < l.fixed or l.width) then
    return { layout = l, size = n, rule = "truncated-packet", missing = math.max((last.size or l.fixed) - n, 1) }
  end
end

-- The reading of the packet at pos where nothing behind it confirms any.
local function last_resort(s, pos, me, list, best)
  for _, c in ipairs(list) do
    if c.size and pos + c.size <= #s and leads(s, pos + c.size, me, 4) > 0 then return c end
  end
  for x = pos + best.size, #s do
    if OF[sub(s, x, x)] and sure(s, x, me, token_at(s, pos)) then return best end
  end
  local left = #s + 1 - pos - best.size
  if left >= HEADER or list[#list].tail then return bounded(pos, #s + 1, list) or best end
  return best
end

local function learn() end -- set in section 5

-- The request that a response answers. The answer tells that a request that is held is whole, if a reading ends with
-- the bytes seen; otherwise a stand-in is answered, until the request is settled.
local function request_of(me, id)
  local peer = me.peer
  local q, s, pos = peer.open[id] or peer.done[id], peer.held, peer.pos
  if q or not s or not OF[sub(s, pos, pos)] or sub(s, pos, pos) == "R" or id_at(s, pos) ~= id then return q end
  local list = readings(s, pos, peer)
  local best = list[#list].tail and bounded(pos, #s + 1, list)
  for _, c in ipairs(deviants(s, pos, list)) do
    if pos + c.size == #s + 1 then
      best = c
      break
    end
  end
  if not best then
    q = { layout = list[1].layout, stand_in = true }
    q.frame, q.time = segment_of(peer, #s)
    peer.open[id] = q
    return q
  end
  best.at, best.offset = pos, peer.seen + pos - 1
  learn(best, s, peer)
  peer.settled = peer.settled or {}
  table.insert(peer.settled, best)
  peer.pos = pos + best.size
  return peer.open[id]
end

-- Chooses a reading for the packet at pos. Returns it, or nil and whether to wait for more bytes.
local function choose(s, pos, me)
  local request = sub(s, pos, pos) == "R" and request_of(me, id_at(s, pos))
  local list = readings(s, pos, me, request and request.layout.letter)
  if #list == 1 and list[1].size == #s - pos + 1 and me.n == 1 then return list[1] end -- the usual packet
  local x = next_sure(s, pos, me)
  local best, top, open = nil, -1, false
  for _, c in ipairs(list) do
    local n = score(s, pos, c, me, x)
    if n > top then best, top = c, n end
    open = open or n == 1
  end
  if not best then return nil, false end
  if top >= 3 or top == 2 and not open then return best end
  for _, c in ipairs(deviants(s, pos, list)) do
    local n = score(s, pos, c, me, x)
    -- An end that is no accident: the packet began in this very segment, and all other readings fail.
    if n == 5 or n == 4 and c.size > c.layout.fixed and (not open or pos > me.old) then return c end
  end
  local c = x and bounded(pos, x, list)
  if c then return c end
  if open and not x and #s - pos < MAX_PACKET then return nil, true end
  if top <= 1 and (not best.size or pos + best.size > #s + 1) then return nil, false end
  return last_resort(s, pos, me, list, best)
end

-- The bytes at pos up to where a packet stands, which are none: written one by one, or in one run.
local function no_packet(s, pos, me)
  local x = pos + 1
  while x <= #s do
    x = find(s, "[" .. LETTERS .. "]", x) or #s + 1
    if x > #s or sure(s, x, me) or is_start(me, x) and leads(s, x, me, 4) == 3 then break end
    x = x + 1
  end
  local first, at, long = nil, pos, false
  for i = 1, me.n do
    if me.at[i] > pos and me.at[i] < x then
      first, long, at = first or me.at[i], long or me.at[i] - at >= HEADER, me.at[i]
    end
  end
  if first and not long and x - at < HEADER then x = first end
  local r = { at = pos, size = x - pos, rule = "unknown-type" }
  if r.size < HEADER then r.rule = is_start(me, pos) and "short-packet" or "stray-bytes" end
  if me.adrift or me.packets == 0 then r.rule = nil end -- the run goes on, or the capture began in a packet
  me.adrift = x > #s and r.size >= HEADER
  return r
end

-- The record at pos: a packet, or bytes that are none; nil to wait for more bytes.
local function next_record(s, pos, me)
  if OF[sub(s, pos, pos)] then
    local x = next_sure(s, pos, me)
    local short = x and x - pos < HEADER
    if not short and #s - pos + 1 < HEADER then return nil end
    if not short then
      local c, wait = choose(s, pos, me)
      if c or wait then
        me.adrift = false
        if c then c.at = pos end
        return c
      end
    end
  end
  return no_packet(s, pos, me)
end

-- The tail that the packet before may lack, at the start of a segment; or nil and whether to wait for more bytes.
local function late_tail(s, me)
  local l = me.late.layout
  local _, now = segment_of(me, #s)
  if me.late.answer or now - me.late.time > 1 or sure(s, 1, me) or leads(s, 1, me, 4) == 3 then return nil end
  local size = l.tail_fixed + (l.tail_width and byte(s, 1) or 0)
  local x = next_sure(s, 1, me)
  if size > #s or x and x <= size then return nil, not x end
  if size == #s or sure(s, size + 1, me, me.late.token) or leads(s, size + 1, me, 4) >= 2 then
    return { at = 1, size = size, layout = l, tail = true, tail_of = me.late }
  end
end

-- A packet of which the capture does not hold all.
local function cut_off(s, pos, me)
  local n = #s - pos + 1
  local r = { at = pos, size = n }
  me.adrift = true
  if n < HEADER or not OF[sub(s, pos, pos)] then return r end
  local c = readings(s, pos, me, nil)[1]
  if c then r.layout, r.missing, r.whole = c.layout, math.max((c.size or c.layout.fixed) - n, 1), true end
  return r
end

-- Cuts a packet into its fields: { def, at, size }, in the order of its layout.
local function fields_of(r, s)
  local out, at, stop, length = {}, r.at, r.at + r.size, 0
  local free = r.rule == "length-missing" or r.rule == "length-mismatch"
  local little = prefs.little
  if r.little ~= nil then little = r.little end
  local function take(list)
    for _, f in ipairs(list) do
      local size = f.size
      if f.def.kind == "length" then
        size = r.width or size
        if size > 0 and at + size <= stop then length = number(s, at, size, little) end
      elseif size == 0 then
        size = free and stop - at or length
      end
      size = math.min(size, stop - at)
      if size > 0 then out[#out + 1] = { def = f.def, at = at, size = size } end
      at = at + size
    end
  end
  if not r.tail_of then take(r.layout.list) end
  if r.tail or r.missing and r.layout.tail then take(r.layout.rest) end
  return out
end

-- 5. Analysis ----------------------------------------------------------------------------------------------
-- First pass only: pairs responses with requests, and notes the rules that a packet breaks.

local WHY = { -- what is wrong with a packet's length
  ["length-byte-order"] = "the length fits only in the other byte order",
  ["length-width"] = "only a length of another width fits",
  ["length-missing"] = "no length stands before the payload",
  ["length-mismatch"] = "the length ends nowhere that confirms it: this is up to the end of the write",
  ["truncated-packet"] = "another packet starts before this one is complete",
}

local function note(r, rule, text)
  r.notes = r.notes or {}
  table.insert(r.notes, { rule = rule, text = text })
  totals.violations[rule] = (totals.violations[rule] or 0) + 1
end

-- The bytes of a field that stands where no length can move it.
local function value(r, s, name)
  local p = r.layout.places[name]
  if not p or p.at >= r.layout.fixed and not r.tail and p.size > 0 then return nil end
  local size = p.size > 0 and p.size or r.size - p.at
  if p.at + size > r.size then return nil end
  return sub(s, r.at + p.at, r.at + p.at + size - 1)
end

-- A letter that only one side sends tells which is which.
local function learn_side(me, letter)
  local from = SENDERS[letter]
  if me.side or from.device and from.server then return end
  me.side = from.device and "device" or "server"
  me.peer.side = from.device and "server" or "device"
end

-- What the summary says of a device.
local function tally(device, what, n)
  if not device then return end
  if not totals.devices[device] then
    totals.devices[device] = { requests = 0, answered = 0, failed = 0, violations = 0 }
    table.insert(totals.order, device)
  end
  totals.devices[device][what] = totals.devices[device][what] + n
end

local function learn_login(r, s, me)
  local conn = me.conn
  conn.product = trim(value(r, s, "product_code") or "")
  conn.device = conn.product .. "_" .. trim(value(r, s, "identifier") or "")
  if value(r, s, "identifier") == "" then note(r, "empty-identifier", "the identifier's length is 0") end
  for _, f in ipairs(fields_of(r, s)) do
    local name = f.def.name
    if f.def.kind == "text" and not me.bad[name] and not clean(trim(sub(s, f.at, f.at + f.size - 1))) then
      me.bad[name] = true
      note(r, "bad-text", f.def.title .. " is not UTF-8 or holds control characters")
    end
  end
  if conn.session then note(r, "login-repeated", "the device logs in again while it is logged in") end
  conn.current = false
end

local function learn_token(r, t, me)
  local conn = me.conn
  if conn.ended[t] then
    note(r, "token-after-logout", "a logout ended this token")
  elseif conn.session and conn.current and conn.session ~= t then
    note(r, "token-mismatch", "the last login returned another token")
  end
  conn.tokens[t] = true
  conn.device = conn.device or issued[t]
end

-- Moves a request to the finished ones, of which the last 1,024 are remembered.
local function finish(me, id, q)
  local slot = me.turn % 1024 + 1
  local old = me.ring[slot]
  if old and me.done[old] and me.done[old].slot == slot then me.done[old] = nil end
  me.turn, me.ring[slot], q.slot, q.bytes = me.turn + 1, id, slot, nil
  me.open[id], me.done[id] = nil, q
end

local function pair(r, q, me, id)
  r.request, r.latency, r.request_letter = q.frame, r.time - q.time, q.layout.letter
  q.answer, q.latency = r.frame, r.latency -- shown from the second pass on
  finish(me.peer, id, q)
end

local function learn_request(r, s, me, id)
  local letter = r.layout.letter
  if letter == "L" then learn_login(r, s, me) end
  r.token = value(r, s, "access_token")
  if r.token then learn_token(r, r.token, me) end
  r.bytes = sub(s, r.at, r.at + r.size - 1)
  totals.letters[letter] = (totals.letters[letter] or 0) + 1
  tally(me.conn.device, "requests", 1)
  local old = me.open[id] or me.done[id]
  if old and old.stand_in then
    r.answer, r.latency, old.stand_in = old.answer, old.latency, nil
    me.open[id], me.done[id] = r, nil
    if r.answer then finish(me, id, r) end
    return
  end
  old = me.open[id]
  if old and r.time - old.time >= prefs.timeout then finish(me, id, old) end
  if me.done[id] then note(r, "session-id-reused", "a finished transaction had this session ID") end
  old = me.open[id]
  if old and old.bytes == r.bytes then
    note(r, "request-repeated", "the same request is not answered yet")
  elseif old then
    note(r, "session-id-collision", "another request with this session ID is not answered yet")
  end
  me.open[id] = r
  local early = me.peer.early[id] -- captures misorder directions by up to a second
  me.peer.early[id] = nil
  if early and early.time - r.time <= 1 then pair(early, r, me.peer, id) end
end

local function learn_failure(r, s)
  local code = value(r, s, "error_code")
  if r.request_letter == "O" or not code and not r.request_letter and r.layout.from == "server" then return end
  local n = code and number(code, 1, 2, false)
  local known = n and ERRORS[n]
  note(r, "error-response", not n and "the request failed" or known or "an error that is not in the list")
  if n and not known then note(r, "unknown-error-code", string.format("0x%04x is not in the list", n)) end
end

local function learn_success(r, s, q, conn)
  local letter, token = r.request_letter, value(r, s, "access_token")
  if letter == "L" then
    conn.session, conn.current = token or true, token ~= nil
    if token then issued[token], conn.tokens[token], conn.ended[token] = conn.device or "", true, nil end
  elseif letter == "O" then
    conn.ended[q.token or ""] = true
    conn.session = nil
  end
end

local function learn_response(r, s, me, id)
  local q, past, status = me.peer.open[id], me.peer.done[id], byte(value(r, s, "status") or "\255")
  if status > 1 and value(r, s, "status") then note(r, "bad-status", "it is neither 00 nor 01") end
  if q and r.time - q.time >= prefs.timeout then
    note(r, "late-response", "it came after the response timeout")
    r.request, r.latency, r.request_letter = q.frame, r.time - q.time, q.layout.letter
    finish(me.peer, id, q)
  elseif q then
    pair(r, q, me, id)
    tally(me.conn.device, status == 1 and "answered" or "failed", 1)
    if status == 1 then learn_success(r, s, q, me.conn) end
  elseif past then
    r.request, r.request_letter = past.frame, past.layout.letter
    if past.answer then note(r, "duplicate-response", "the request was answered before") end
    if not past.answer then note(r, "late-response", "it came after the response timeout") end
  else
    me.early[id] = r
  end
  if status == 0 then learn_failure(r, s) end
end

-- Notes what a record tells; its fields frame and time are those of its last byte.
function learn(r, s, me)
  r.frame, r.time = segment_of(me, r.at + r.size - 1)
  local letter = r.layout and not r.tail_of and r.layout.letter
  if r.rule then note(r, r.rule, WHY[r.rule] or r.size .. " bytes that are no packet") end
  if letter then
    learn_side(me, letter)
    me.packets = me.packets + 1
    local id = id_at(s, r.at)
    if not may_send(me, letter) then
      note(r, "wrong-direction", "the " .. me.side .. " may not send it")
    elseif r.rule ~= "truncated-packet" then
      local by = letter == "R" and learn_response or learn_request
      by(r, s, me, id)
    end
  end
  r.device, r.product, r.from = me.conn.device, me.conn.product, me.side or me.guess
  if r.notes then tally(r.device, "violations", #r.notes) end
  local whole = r.tail_of -- the packet ends here
  if whole then
    r.tail_in = whole.frame
    r.latency = whole.latency and whole.latency + r.time - whole.time
    whole.frame, whole.time = r.frame, r.time
  end
end

-- 6. Display -----------------------------------------------------------------------------------------------
-- Every pass: shows what the first one found.

local function printable(s)
  if word(s) and not find(s, "\\", 1, true) then return s end
  local text = s:gsub("[%z\1-\31\127\\]", function(c)
    return c == "\\" and "\\\\" or string.format("\\x%02x", byte(c))
  end)
  return clean(text) and text or text:gsub("[\128-\255]", function(c) return string.format("\\x%02x", byte(c)) end)
end

local function show_payload(r, range, pinfo, root)
  local first = range(0, 1):uint()
  local add_on = r.product and payloads:get_dissector(r.product)
  if add_on then
    add_on:call(range:tvb(), pinfo, root)
  elseif first == 123 or first == 91 then -- { [
    Dissector.get("json"):call(range:tvb(), pinfo, root)
  end
end

local function show_field(r, f, tvb, pinfo, root, tree, s)
  local d, range = f.def, tvb(f.at - 1, f.size)
  local text = sub(s, f.at, f.at + f.size - 1)
  local item
  if d.ftype == "string" then
    item = tree:add(F[d.name], range, printable(d.kind == "text" and trim(text) or text))
  elseif d.kind == "length" then
    item = tree:add(F[d.name], range, number(text, 1, f.size, r.little or r.little == nil and prefs.little))
  else
    item = tree:add(F[d.name], range)
  end
  if d.secret and prefs.mask then item:set_text(d.title .. ": ********") end
  if d.kind == "letter" then item:append_text(" (" .. NAMES[text] .. ")") end
  if d.name == "payload" then
    if clean(text) then tree:add(F.payload_text, range, text):set_generated() end
    show_payload(r, range, pinfo, root)
  end
end

local function show_facts(r, tree, visited)
  local function add(name, v)
    if v ~= nil then tree:add(F[name], v):set_generated() end
  end
  local letter = r.layout and r.layout.letter
  add("name", letter and NAMES[letter])
  add("from", r.from)
  add("offset", r.offset)
  add("length", r.size + (r.whole and r.missing or 0))
  add("missing_bytes", r.missing)
  add("ends_in", r.ends_in)
  add("tail_of", r.tail_in)
  add("device_key", r.device)
  add("request_type", r.request_letter)
  add("response_to", r.request)
  if r.latency and (letter == "R" or visited) then
    local whole = math.floor(r.latency)
    add("latency", NSTime.new(whole, math.floor((r.latency - whole) * 1e9 + 0.5)))
  end
  add("response_in", r.answer)
  if visited and letter and letter ~= "R" and r.time and not r.answer and not r.tail_of then add("unanswered", true) end
end

local function title_of(r, s)
  if not r.layout then return r.size .. " bytes that are no packet" end
  if r.tail_of then return "optional part of the " .. NAMES[r.layout.letter] end
  local name = NAMES[r.layout.letter]
  if r.request_letter then name = name .. " to " .. NAMES[r.request_letter] end
  name = name .. ", " .. printable(id_at(s, r.at))
  return r.layout.letter == "L" and r.device and name .. ", " .. printable(r.device) or name
end

-- Shows a record. Returns its text for the Info column.
local function show(r, tvb, pinfo, root, s, full)
  local title = title_of(r, s)
  local tree = root:add(proto, tvb(r.at - 1, r.size), "NUBISON " .. title)
  if full then
    for _, f in ipairs(r.layout and fields_of(r, s) or {}) do show_field(r, f, tvb, pinfo, root, tree, s) end
    show_facts(r, tree, pinfo.visited)
  end
  if not r.notes then return title end
  for _, n in ipairs(r.notes) do
    tree:add(F.violation, n.rule):set_generated()
    tree:add_proto_expert_info(E[n.rule], n.rule .. ": " .. n.text)
    title = title .. " [" .. n.rule .. (n.rule == "error-response" and ": " .. n.text or "") .. "]"
  end
  return title
end

-- 7. Entry -------------------------------------------------------------------------------------------------
-- TCP calls these with a segment, or with reassembled bytes when more were asked for.

-- Takes over a new segment: s is what was held, and the segment behind it. Returns the records that are settled.
local function take_in(s, me, frame, time)
  local held, settled = me.held, me.settled
  if held and sub(s, 1, #held) ~= held then -- TCP went on without them: a segment was lost
    held, settled, me.late, me.adrift = nil, nil, nil, true
  end
  me.held, me.old, me.settled = nil, held and #held or 0, nil
  if not held then me.n = 0 end
  me.n = me.n + 1
  me.at[me.n], me.frame[me.n], me.time[me.n] = me.old + 1, frame, time
  return settled or {}
end

-- Keeps the bytes from start on until there are more; what stands before pos is settled.
local function hold(s, start, pos, me)
  local k = 0
  for i = 1, me.n do
    if i == me.n or me.at[i + 1] > start then
      k = k + 1
      me.at[k], me.frame[k], me.time[k] = math.max(me.at[i] - start + 1, 1), me.frame[i], me.time[i]
    end
  end
  me.n, me.held, me.pos = k, sub(s, start), pos - start + 1
end

-- Finds the records of a segment on the first pass, of which the capture has cut so many bytes. Returns them; rest is
-- where unfinished bytes start, if any.
local function analyse(s, me, frame, time, may_wait, cut)
  local list = take_in(s, me, frame, time)
  local pos, r, wait = 1, nil, false
  if #list > 0 then pos = list[#list].at + list[#list].size end
  if me.late and pos == 1 then r, wait = late_tail(s, me) end
  if not wait then me.late = nil end
  while pos <= #s and not wait do
    r = r or next_record(s, pos, me)
    if not r and may_wait then break end
    r = r or cut_off(s, pos, me)
    r.offset = me.seen + pos - 1
    learn(r, s, me)
    list[#list + 1] = r
    pos = pos + r.size
    me.late = pos > #s and r.layout and r.layout.tail and not r.tail and not r.rule and not r.missing and r or nil
    r = nil
  end
  local start = pos
  if pos <= #s then
    if pos - 1 <= me.old then start = 1 end -- then TCP hands over all of it again
    hold(s, start, pos, me)
    if start == 1 then
      me.settled, list = list, {}
    end
    list.rest = start
  end
  me.seen = me.seen + start - 1 + cut
  for i = 1, #list do
    if list[i].frame ~= frame then list[i].ends_in = list[i].frame end
  end
  return list
end

-- Wireshark 3 hands over retransmissions, too. Whether the same segment comes again, of the last 64.
local hands_over_again = find(get_version(), "^3%.")

local function sent_again(s, me)
  local last = me.last or { turn = 0 }
  me.last = last
  if last[s] then return not (sub(s, 1, 1) == "R" and me.peer.open[id_at(s, 1)]) end
  last.turn = last.turn % 64 + 1
  if last[last.turn] then last[last[last.turn]] = nil end
  last[s], last[last.turn] = true, s
end

local self, json

function proto.dissector(tvb, pinfo, root)
  -- Reassembled bytes start at 0; a segment starts behind its headers.
  local key, s = pinfo.number * 1048576 + tvb:offset(), tvb:raw()
  local list = records[key]
  if not list and not pinfo.visited then
    local cut = tvb:reported_len() - #s
    local me = flow_of(pinfo)
    local again = hands_over_again and tvb:offset() > 0 and sent_again(s, me)
    list = again and {} or analyse(s, me, pinfo.number, pinfo.rel_ts, pinfo.can_desegment > 0 and cut == 0, cut)
    records[key] = list
  end
  list = list or {}
  if #list > 0 then
    local again = tostring(pinfo.cols.protocol) == "NUBISON"
    self, json = self or Dissector.get("nubison"), json or Dissector.get("json")
    local full = root:referenced(self) or root:referenced(json)
    local texts = {}
    for i, r in ipairs(list) do
      texts[i] = r.at + r.size - 1 <= #s and show(r, tvb, pinfo, root, s, full) or "..."
    end
    pinfo.cols.protocol = "NUBISON" -- a payload's dissector has set its own
    pinfo.cols.info = (again and ", " or "") .. table.concat(texts, ", ")
  end
  if list.rest and pinfo.can_desegment > 0 then
    pinfo.desegment_offset = list.rest - 1
    pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
  end
  return tvb:len()
end

-- Whether a whole login fills the segment, with two text fields at least that are words.
local function like_login(s, len)
  local l, words = OF.L[1], 0
  if #s < l.fixed or len ~= l.fixed + number(s, 1 + l.length_at, l.width) then return false end
  for _, name in ipairs({ "client_id", "client_secret", "product_code" }) do
    local p = l.places[name]
    local text = trim(sub(s, 1 + p.at, p.at + p.size))
    if text ~= "" and word(text) then words = words + 1 end
  end
  return words >= 2
end

-- A connection on any port is ours if a whole request starts a segment and ends where it does, or a packet with the
-- same token follows. Wireshark asks once for each connection, so a port that is used again starts afresh.
local function heuristic(tvb, pinfo, root)
  if tvb:len() < TOKEN_AT + TOKEN_SIZE then return false end
  local s = tvb:raw()
  local letter, token = sub(s, 1, 1), token_at(s, 1)
  if letter == "R" or not OF[letter] or not word(id_at(s, 1)) or token and not word(token) then return false end
  local blank = new_flow({ tokens = {}, ended = {} })
  blank.peer, blank.n, blank.at[1] = blank, 1, 1
  local hit = letter == "L" and (like_login(s, tvb:reported_len()) or sure(s, 1, blank))
  for _, c in ipairs(letter ~= "L" and readings(s, 1, blank) or {}) do
    hit = hit or c.size == tvb:reported_len() or score(s, 1, c, blank) >= 4
  end
  if not hit then return false end
  if not pinfo.visited then flow_of(pinfo, true) end
  pinfo.conversation = proto
  proto.dissector(tvb, pinfo, root)
  return true
end

local port_table = DissectorTable.get("tcp.port")

local function take_prefs()
  if prefs.ports ~= "" then port_table:remove(prefs.ports, proto) end
  local p = proto.prefs
  prefs = { little = p.little, timeout = p.timeout, mask = p.mask, ports = tostring(p.ports) }
  if prefs.ports ~= "" then port_table:add(prefs.ports, proto) end
end

proto.init, proto.prefs_changed = reset, take_prefs
port_table:add_for_decode_as(proto)
proto:register_heuristic("tcp", heuristic)
take_prefs()

-- 8. Statistics --------------------------------------------------------------------------------------------
-- tshark -q -z nubison,summary; in Wireshark, Tools > NUBISON summary.

local function summary()
  local out = { "NUBISON summary", "", "Requests" }
  local function add(format, ...) out[#out + 1] = string.format(format, ...) end
  for l in LETTERS:gmatch(".") do
    if totals.letters[l] then add("  %-24s %d", NAMES[l], totals.letters[l]) end
  end
  add("Violations")
  for _, r in ipairs(RULES) do
    if totals.violations[r.id] then add("  %-24s %d", r.id, totals.violations[r.id]) end
  end
  add("Devices\n  %8s %8s %8s %8s %10s", "requests", "answered", "failed", "without", "violations")
  for _, name in ipairs(totals.order) do
    local d = totals.devices[name]
    local without = d.requests - d.answered - d.failed
    add("  %8d %8d %8d %8d %10d  %s", d.requests, d.answered, d.failed, without, d.violations, printable(name))
  end
  add("Segments that came out of order or were lost may be missing here: see the preference")
  add("\"Reassemble out-of-order segments\" of TCP, or use nubishark read.")
  return table.concat(out, "\n") .. "\n"
end

register_stat_cmd_arg("nubison,summary", function()
  local tap = Listener.new("frame", "nubison")
  function tap.draw() print(summary()) end
end)

if gui_enabled() then
  register_menu("NUBISON summary", function() TextWindow.new("NUBISON summary"):set(summary()) end, MENU_TOOLS_UNSORTED)
end
