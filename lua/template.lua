-- NUBISON IoT over TCP: a Wireshark dissector.
--
-- Made by nubishark @VERSION@ from its protocol table; changes belong there ("nubishark lua" makes this file).
-- Runs in Wireshark and tshark 3.4 and newer. To remove it, delete this file from the Personal Lua Plugins
-- folder (Help > About > Folders). Filters to try:
--   nubison.violation           packets that break a rule
--   nubison.type == "D" && nubison.latency > 0.5
--   nubison.unanswered          requests that no answer was seen to
-- SPDX-License-Identifier: GPL-2.0-or-later

-- 1. The table ---------------------------------------------------------------------------------------------
-- Generated, in the table's order.

@TABLES@
-- 2. Registration ------------------------------------------------------------------------------------------
-- Runs once, when Wireshark loads the file.

local ok, proto = pcall(Proto, "@NAME@", "@TITLE@")
if not ok then
  error("@NAME@: another copy of this plugin is loaded; keep one (see Help > About Wireshark > Plugins)", 0)
end

local F, E = {}, {} -- fields by record name, expert infos by rule
local FTYPES = {
  string = function(f) return ProtoField.string("@NAME@." .. f.name, f.title, nil, f.about) end,
  bytes = function(f) return ProtoField.bytes("@NAME@." .. f.name, f.title, base.NONE, f.about) end,
  uint8 = function(f) return ProtoField.uint8("@NAME@." .. f.name, f.title, base.DEC, f.values, nil, f.about) end,
  hex8 = function(f) return ProtoField.uint8("@NAME@." .. f.name, f.title, base.HEX, f.values, nil, f.about) end,
  uint16 = function(f) return ProtoField.uint16("@NAME@." .. f.name, f.title, base.DEC, f.values, nil, f.about) end,
  hex16 = function(f) return ProtoField.uint16("@NAME@." .. f.name, f.title, base.HEX, f.values, nil, f.about) end,
  uint32 = function(f) return ProtoField.uint32("@NAME@." .. f.name, f.title, base.DEC, nil, nil, f.about) end,
  request = function(f) return ProtoField.framenum("@NAME@." .. f.name, f.title, base.NONE, frametype.REQUEST, nil, f.about) end,
  response = function(f) return ProtoField.framenum("@NAME@." .. f.name, f.title, base.NONE, frametype.RESPONSE, nil, f.about) end,
  time = function(f) return ProtoField.relative_time("@NAME@." .. f.name, f.title, f.about) end,
  bool = function(f) return ProtoField.bool("@NAME@." .. f.name, f.title, base.NONE, nil, nil, f.about) end,
}
do
  local fields, experts = {}, {}
  for _, f in ipairs(FIELDS) do
    F[f.name] = FTYPES[f.ftype](f)
    fields[#fields + 1] = F[f.name]
  end
  for _, r in ipairs(RULES) do
    E[r.id] = ProtoExpert.new("@NAME@.rule." .. r.id, r.id, expert.group[r.group], expert.severity[r.severity])
    experts[#experts + 1] = E[r.id]
  end
  proto.fields, proto.experts = fields, experts
end

proto.prefs.ports = Pref.range("TCP ports", "@PORTS@", "Ports that are always dissected; others are found by content", 65535)
proto.prefs.little = Pref.bool("Little-endian lengths", @LITTLE@, "Byte order of two-byte lengths; the protocol says big-endian")
proto.prefs.timeout = Pref.uint("Response timeout (seconds)", 30, "Until a response counts as late")
proto.prefs.mask = Pref.bool("Mask secrets", true, "Hide client secrets, tokens and keys in the tree and the Info column")
local prefs = { little = @LITTLE@, timeout = 30, mask = true, ports = "" }
local payloads = DissectorTable.new("@NAME@.product", "NUBISON product code", ftypes.STRING)

-- 3. State -------------------------------------------------------------------------------------------------
-- Filled on the first pass over a file, packet by packet; only read afterwards.

local flows   -- by "address:port>address:port": what one side said
local records -- by packet number and offset: what was found there
local issued  -- tokens that login answers returned, with the device that they are for
local totals  -- for the summary

local function reset()
  flows, records, issued = {}, {}, {}
  totals = { transactions = {}, violations = {}, devices = {}, order = {} }
end
reset()

local function new_flow() return { open = {}, done = {}, tokens = {}, said = {}, seen = 0 } end

-- The flow of a packet's sender and that of its receiver.
local function flows_of(pinfo)
  local a, b = tostring(pinfo.src) .. ":" .. pinfo.src_port, tostring(pinfo.dst) .. ":" .. pinfo.dst_port
  local there, back = a .. ">" .. b, b .. ">" .. a
  flows[there] = flows[there] or new_flow()
  flows[back] = flows[back] or new_flow()
  local me, peer = flows[there], flows[back]
  if not me.side then -- until a letter tells: the higher port is the device
    me.guess = pinfo.src_port >= pinfo.dst_port and "device" or "server"
    peer.guess = me.guess == "device" and "server" or "device"
  end
  return me, peer
end

-- 4. Framing -----------------------------------------------------------------------------------------------
-- Plain functions of strings: no call of Wireshark's.

local byte, sub = string.byte, string.sub
local HEADER, TOKEN_AT, TOKEN_END = @HEADER@, @TOKENAT@, @TOKENEND@ -- sizes and places in bytes, from 1

local function number(s, at, width, little)
  local n = 0
  for i = 1, width do
    local k = little and width - i or i - 1
    n = n * 256 + byte(s, at + k)
  end
  return n
end

-- A word is printable ASCII without spaces.
local function word(s) return not s:find("[^\33-\126]") end

local function may_send(me, letter)
  local side = me.side or me.guess
  for _, l in ipairs(LAYOUTS) do
    if l.letter == letter and (l.from == side or not me.side) then return true end
  end
  return false
end

-- Whether a packet stands at pos beyond doubt: a known token, a session ID that the peer waits for, or a
-- login that is whole and clean.
local function sure(s, pos, me, peer, token)
  local letter = sub(s, pos, pos)
  if letter == "R" then return peer.open[sub(s, pos + 1, pos + HEADER - 1)] ~= nil end
  if #s >= pos + TOKEN_END - 1 and TOKENED[letter] then
    local t = sub(s, pos + TOKEN_AT - 1, pos + TOKEN_END - 1)
    return t == token or me.tokens[t] or peer.tokens[t] or issued[t] ~= nil
  end
  if letter == "L" and #s >= pos + LOGIN.fixed - 1 then
    return pos + LOGIN.fixed + byte(s, pos + LOGIN.fixed - 1) == #s + 1 and word(sub(s, pos + 1, pos + HEADER - 1))
  end
  return false
end

-- The shapes that the vendor allows for the packet at pos: {layout, size, tail}; size is nil while the length
-- is not there yet.
local function shapes(s, pos, request)
  local out, letter = {}, sub(s, pos, pos)
  local status = byte(s, pos + HEADER)
  for _, l in ipairs(LAYOUTS) do
    local fits = l.letter == letter
    if fits and l.answers then
      fits = (not request or l.answers:find(request, 1, true)) and (not status or status > 1 or l.success == (status == 1))
    end
    if fits then
      local size = l.fixed
      if l.width then
        local at = pos + l.length_at
        size = #s >= at + l.width - 1 and size + number(s, at, l.width, prefs.little and l.width > 1) or nil
      end
      out[#out + 1] = { layout = l, size = size }
      if l.tail_fixed then
        local n = l.tail_width and byte(s, pos + l.fixed) or 0
        out[#out + 1] = { layout = l, size = n and l.fixed + l.tail_fixed + n, tail = true }
      end
    end
  end
  return out
end

-- Whether a packet of the vendor's, and nothing that contradicts it, may start at pos; whole tells that all of it
-- must be there.
local function plausible(s, pos, me, whole)
  if not may_send(me, sub(s, pos, pos)) or not word(sub(s, pos + 1, pos + HEADER - 1)) then return false end
  for _, c in ipairs(shapes(s, pos)) do
    if c.size and pos + c.size - 1 <= #s or not c.size and not whole then return true end
  end
  return false
end

-- How well the end of a reading is confirmed: 5 a packet stands behind it beyond doubt, 4 it is the end of the
-- segment, 3 a packet may stand behind it, 1 it is not all here, 0 nothing of that.
local function score(s, pos, c, me, peer)
  if not c.size then return 1 end
  local after = pos + c.size
  if after > #s + 1 then return 1 end
  if after == #s + 1 then return 4 end
  local token = TOKENED[sub(s, pos, pos)] and sub(s, pos + TOKEN_AT - 1, pos + TOKEN_END - 1)
  if sure(s, after, me, peer, token) then return 5 end
  return plausible(s, after, me) and 3 or 0
end

-- Adds the readings of a length in another byte order, of another width, or missing.
local function add_deviants(list, s, pos)
  for i = 1, #list do
    local c, l = list[i], list[i].layout
    if l.width == 2 and c.size then
      local at = pos + l.length_at
      list[#list + 1] = { layout = l, size = l.fixed + number(s, at, 2, not prefs.little), rule = "length-byte-order", little = not prefs.little }
      list[#list + 1] = { layout = l, size = l.fixed - 1 + byte(s, at), rule = "length-width", width = 1 }
    elseif c.tail and l.tail_width and #s >= pos + l.fixed + 1 then
      list[#list + 1] = { layout = l, size = l.fixed + 2 + number(s, pos + l.fixed, 2, false), tail = true, rule = "length-width", width = 2 }
    end
  end
end

-- The first place behind pos where a packet stands beyond doubt, or one may start a segment.
local function next_sure(s, pos, me, peer, token)
  for x = pos, #s do
    if LETTERS:find(sub(s, x, x), 1, true) and sure(s, x, me, peer, token) then return x end
  end
end

-- A reading up to where the next packet stands beyond doubt: stray bytes, a missing or a wrong length.
local function bounded(list, s, pos, me, peer)
  local token = TOKENED[sub(s, pos, pos)] and sub(s, pos + TOKEN_AT - 1, pos + TOKEN_END - 1)
  local x = next_sure(s, pos + HEADER, me, peer, token)
  if not x then return nil end
  for _, c in ipairs(list) do
    if c.tail and c.layout.tail_width and x - pos > c.layout.fixed then
      return { layout = c.layout, size = x - pos, tail = true, rule = "length-missing", width = 0 }
    end
  end
  for _, c in ipairs(list) do
    local left = c.size and x - pos - c.size
    if left and left > 0 and left < HEADER then
      return { layout = c.layout, size = c.size, tail = c.tail, stray = left }
    end
  end
  local l = list[1].layout
  if x - pos < l.fixed then return { layout = l, size = x - pos, rule = "truncated-packet" } end
  return l.width and { layout = l, size = x - pos, rule = "length-mismatch" } or nil
end

-- Chooses among the readings of the packet at pos. Returns the reading, or nil and whether to wait for more.
local function choose(s, pos, me, peer)
  local request
  if sub(s, pos, pos) == "R" then
    local id = sub(s, pos + 1, pos + HEADER - 1)
    local t = peer.open[id]
    request = t and t.letter or peer.done[id]
  end
  local list = shapes(s, pos, request)
  local best, top = nil, -1
  for _, c in ipairs(list) do
    local n = score(s, pos, c, me, peer)
    if n > top then best, top = c, n end
  end
  if top >= 3 then return best end
  add_deviants(list, s, pos)
  for _, c in ipairs(list) do
    if c.rule and score(s, pos, c, me, peer) == 5 then return c end
  end
  local c = bounded(list, s, pos, me, peer)
  if c then return c end
  if top == 1 and #s - pos < @MAXPACKET@ then return nil, true end
  return top == 0 and best or nil, false
end

-- The record at pos: a packet, bytes that are none, or nil to wait for more bytes.
local function next_record(s, pos, me, peer)
  local letter = sub(s, pos, pos)
  if LETTERS:find(letter, 1, true) then
    if #s - pos + 1 < HEADER then return nil end
    local c, wait = choose(s, pos, me, peer)
    if c then return { at = pos, size = c.size, shape = c, letter = letter } end
    if wait then return nil end
  end
  local x = pos + 1
  while x <= #s and not (LETTERS:find(sub(s, x, x), 1, true) and (sure(s, x, me, peer) or plausible(s, x, me, true))) do
    x = x + 1
  end
  local n = x - pos
  local rule = "unknown-type"
  if n < HEADER then rule = me.inside and "stray-bytes" or "short-packet" end
  return { at = pos, size = n, rule = rule }
end

-- Cuts a packet into its fields: {name, at, size, kind}.
local function fields_of(r, s)
  local c, out = r.shape, {}
  local at, stop, length = r.at, r.at + r.size, 0
  local function take(list)
    for _, f in ipairs(list) do
      local size = f.size
      if f.kind == "length" then
        size = c.width or size
        if size > 0 and at + size <= stop then length = number(s, at, size, size > 1 and (c.little or (c.little == nil and prefs.little))) end
      elseif size == 0 then
        size = (c.rule == "length-missing" or c.rule == "length-mismatch") and stop - at or length
      end
      if size > 0 and at + size > stop then return end
      if f.kind ~= "length" or size > 0 then out[#out + 1] = { def = f, at = at, size = size } end
      at = at + size
    end
  end
  take(c.layout.fields)
  if c.tail then take(c.layout.tail) end
  return out
end

-- 5. Analysis ----------------------------------------------------------------------------------------------
-- First pass only: pairs responses with requests, and notes the rules that a packet breaks.

local function note(r, rule, text)
  r.notes = r.notes or {}
  r.notes[#r.notes + 1] = { rule = rule, text = text or rule }
  totals.violations[rule] = (totals.violations[rule] or 0) + 1
end

local function text_of(s) return (s:gsub("[%z ]+$", "")) end

local function clean(s) return not text_of(s):find("[%z\1-\31\127]") end

local function value(r, s, name)
  for _, f in ipairs(r.fields) do
    if f.def.name == name then return sub(s, f.at, f.at + f.size - 1), f end
  end
end

-- A letter that only one side sends tells which is which.
local function learn_side(me, peer, letter)
  if me.side then return end
  local from
  for _, l in ipairs(LAYOUTS) do
    if l.letter == letter then
      if from and from ~= l.from then return end
      from = l.from
    end
  end
  me.side, peer.side = from, from == "device" and "server" or "device"
end

local function learn_login(r, s, me)
  me.device = text_of(value(r, s, "product_code") or "") .. "_" .. text_of(value(r, s, "identifier") or "")
  me.product = text_of(value(r, s, "product_code") or "")
  if value(r, s, "identifier") == nil then note(r, "empty-identifier") end
  for _, f in ipairs(r.fields) do
    if f.def.kind == "text" and not clean(sub(s, f.at, f.at + f.size - 1)) and not me[f.def.name] then
      me[f.def.name] = true
      note(r, "bad-text", f.def.name .. " holds control characters")
    end
  end
  if me.session then note(r, "login-repeated", "the device logs in again while it is logged in") end
end

local function learn_token(r, s, me, peer)
  local t = value(r, s, "access_token")
  if not t then return end
  local session = me.session or peer.session
  if me.ended and me.ended[t] then
    note(r, "token-after-logout", "the token was ended by a logout")
  elseif session and session ~= t then
    note(r, "token-mismatch", "the token is not that of the last login")
  end
  me.tokens[t] = true
  me.device = me.device or issued[t]
  return t
end

local function learn_request(r, s, me, peer, now, frame)
  local id = r.id
  if r.letter == "L" then learn_login(r, s, me) end
  local token = learn_token(r, s, me, peer)
  if me.done[id] then note(r, "session-id-reused", "a finished transaction had this session ID") end
  local bytes = sub(s, r.at, r.at + r.size - 1)
  local old = me.open[id]
  if old and old.bytes == bytes then
    note(r, "request-repeated", "the same request is outstanding")
  elseif old then
    note(r, "session-id-collision", "another request with this session ID is outstanding")
  end
  r.time, r.frame, r.token, r.bytes = now, frame, token, bytes
  me.open[id] = r
  totals.transactions[r.letter] = (totals.transactions[r.letter] or 0) + 1
end

local function learn_failure(r, s)
  local code, f = value(r, s, "error_code")
  if r.request_letter == "O" then return end
  local n = code and number(s, f.at, 2, false)
  local known = n and ERRORS[n]
  note(r, "error-response", known or (n and string.format("unknown error code 0x%04x", n)) or "no error code")
  if n and not known then note(r, "unknown-error-code", string.format("0x%04x is not in the list", n)) end
end

local function learn_response(r, s, me, peer, now, frame)
  local q = peer.open[r.id]
  local status = value(r, s, "status")
  r.request_letter = q and q.letter or peer.done[r.id]
  if status and byte(status) > 1 then note(r, "bad-status", string.format("the status is %02x", byte(status))) end
  if not q then
    if peer.done[r.id] then note(r, "duplicate-response", "the transaction is answered already") end
  else
    r.request, r.latency = q.frame, now - q.time
    q.answer = frame
    peer.open[r.id], peer.done[r.id] = nil, q.letter
    if r.latency > prefs.timeout then note(r, "late-response", "it came after the response timeout") end
  end
  if status and byte(status) == 0 then learn_failure(r, s) end
  local token = value(r, s, "access_token")
  if token and q then
    issued[token], me.tokens[token] = peer.device or "", true
    peer.session, me.session = token, token
  elseif q and q.letter == "O" and status and byte(status) == 1 then
    peer.ended = peer.ended or {}
    peer.ended[q.token or ""] = true
    peer.session, me.session = nil, nil
  end
end

local function learn(r, s, me, peer, now, frame)
  if not r.shape then
    note(r, r.rule, r.size .. " bytes that are no packet")
    return
  end
  learn_side(me, peer, r.letter)
  r.id = sub(s, r.at + 1, r.at + HEADER - 1)
  r.fields = fields_of(r, s)
  if r.shape.rule then note(r, r.shape.rule) end
  if not may_send(me, r.letter) then
    note(r, "wrong-direction", "the " .. me.side .. " may not send this")
  elseif r.shape.rule == "truncated-packet" then
    return
  elseif r.letter == "R" then
    learn_response(r, s, me, peer, now, frame)
  else
    learn_request(r, s, me, peer, now, frame)
  end
  r.device = me.device or peer.device
  r.product = me.product or peer.product
  if r.device and r.notes and not totals.devices[r.device] then
    totals.devices[r.device] = 0
    totals.order[#totals.order + 1] = r.device
  end
  if r.device and r.notes then totals.devices[r.device] = totals.devices[r.device] + #r.notes end
end

-- 6. Display -----------------------------------------------------------------------------------------------
-- Every pass: shows what the first one found.

local function printable(s)
  return (s:gsub("[%z\1-\31\127\\]", function(c) return c == "\\" and "\\\\" or string.format("\\x%02x", byte(c)) end))
end

local function show_payload(r, f, tvb, pinfo, root, s)
  local rest = tvb(f.at - 1, f.size):tvb()
  local add_on = r.product and payloads:get_dissector(r.product)
  if add_on then
    add_on:call(rest, pinfo, root)
  elseif byte(s, f.at) == 123 or byte(s, f.at) == 91 then
    pcall(function() Dissector.get("json"):call(rest, pinfo, root) end)
  end
end

local function show_field(r, f, tvb, pinfo, root, tree, s)
  local d = f.def
  if f.size == 0 then return end
  local range = tvb(f.at - 1, f.size)
  local item
  if d.kind == "text" or d.kind == "id" then
    item = tree:add(F[d.name], range, printable(d.kind == "text" and text_of(range:raw()) or range:raw()))
  elseif d.kind == "letter" then
    item = tree:add(F[d.name], range)
  else
    item = tree:add(F[d.name], range)
  end
  if d.secret and prefs.mask then item:set_text(d.title .. ": ********") end
  if d.name == "payload" then show_payload(r, f, tvb, pinfo, root, s) end
end

local function show_links(r, tree, visited)
  if r.device then tree:add(F.device_key, r.device):set_generated() end
  if r.request then
    tree:add(F.response_to, r.request):set_generated()
    local whole = math.floor(r.latency)
    tree:add(F.latency, NSTime.new(whole, math.floor((r.latency - whole) * 1e9 + 0.5))):set_generated()
  end
  if r.answer then tree:add(F.response_in, r.answer):set_generated() end
  if visited and r.time and not r.answer then tree:add(F.unanswered, true):set_generated() end
end

local function title_of(r)
  if not r.shape then return r.size .. " bytes that are no packet" end
  local name = NAMES[r.letter]
  if r.request_letter then name = name .. " to " .. NAMES[r.request_letter] end
  return name .. ", " .. printable(r.id)
end

local function show(r, tvb, pinfo, root, s)
  local tree = root:add(proto, tvb(r.at - 1, r.size), "NUBISON " .. title_of(r))
  if r.shape then
    for _, f in ipairs(r.fields) do show_field(r, f, tvb, pinfo, root, tree, s) end
    tree:add(F.name, NAMES[r.letter]):set_generated()
    if r.request_letter then tree:add(F.request_type, r.request_letter):set_generated() end
    show_links(r, tree, pinfo.visited)
  end
  tree:add(F.offset, r.offset):set_generated()
  for _, n in ipairs(r.notes or {}) do
    tree:add(F.violation, n.rule):set_generated()
    tree:add_proto_expert_info(E[n.rule], n.rule .. ": " .. n.text)
  end
end

local function info(list)
  local out = {}
  for _, r in ipairs(list) do
    local text = title_of(r)
    for _, n in ipairs(r.notes or {}) do text = text .. " [" .. n.rule .. "]" end
    out[#out + 1] = text
  end
  return table.concat(out, ", ")
end

-- 7. Entry -------------------------------------------------------------------------------------------------
-- TCP calls these with a segment, or with reassembled bytes when more were asked for.

-- Finds the records of a segment on the first pass. Returns them and where unfinished bytes start, if any.
local function find(s, pinfo)
  local me, peer = flows_of(pinfo)
  local list, pos = {}, 1
  me.inside = false
  while pos <= #s do
    local r = next_record(s, pos, me, peer)
    if not r then
      if pinfo.can_desegment > 0 then break end
      r = { at = pos, size = #s - pos + 1, rule = "truncated-packet" }
      r.cut = true
    end
    r.offset = me.seen + pos - 1
    if not r.cut then learn(r, s, me, peer, pinfo.rel_ts, pinfo.number) end
    list[#list + 1] = r
    pos = pos + r.size
    me.inside = true
    if r.shape and r.shape.stray then
      local x = { at = pos, size = r.shape.stray, rule = "stray-bytes", offset = me.seen + pos - 1 }
      note(x, x.rule, x.size .. " bytes follow a packet in the same segment")
      list[#list + 1] = x
      pos = pos + x.size
    end
  end
  me.seen = me.seen + pos - 1
  list.rest = pos <= #s and pos or nil
  return list
end

function proto.dissector(tvb, pinfo, root)
  local s = tvb:raw()
  local key = pinfo.number .. "/" .. tvb:offset() .. "/" .. #s
  local list = records[key]
  if not list then
    list = find(s, pinfo)
    records[key] = list
  end
  if #list > 0 then
    local fenced = tostring(pinfo.cols.protocol) == "@TITLESHORT@"
    for _, r in ipairs(list) do show(r, tvb, pinfo, root, s) end
    pinfo.cols.protocol = "@TITLESHORT@" -- a payload's dissector has set its own
    pinfo.cols.info = (fenced and ", " or "") .. info(list)
  end
  if list.rest and pinfo.can_desegment > 0 then
    pinfo.desegment_offset = list.rest - 1
    pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
  end
  return tvb:len()
end

-- A connection on any port is ours if a whole request starts a segment and ends where the segment does, or a known
-- packet follows it.
local function heuristic(tvb, pinfo, root)
  if tvb:len() < TOKEN_END then return false end
  local s = tvb:raw()
  local letter = sub(s, 1, 1)
  if letter == "R" or not LETTERS:find(letter, 1, true) or not word(sub(s, 2, HEADER)) then return false end
  if TOKENED[letter] and not word(sub(s, TOKEN_AT, TOKEN_END)) then return false end
  local blank = new_flow()
  local hit = false
  for _, c in ipairs(shapes(s, 1)) do
    local left = c.size and #s - c.size
    if c.size and score(s, 1, c, blank, blank) >= 4 then hit = true end
    if letter == "L" and left and left >= 0 and left < HEADER then hit = true end -- stray bytes behind a login
  end
  if letter == "L" and hit then
    for _, f in ipairs(fields_of({ at = 1, size = #s, shape = shapes(s, 1)[1] }, s)) do
      if f.def.kind == "text" and not clean(sub(s, f.at, f.at + f.size - 1)) then return false end
    end
  end
  if not hit then return false end
  pinfo.conversation = proto
  proto.dissector(tvb, pinfo, root)
  return true
end

local port_table = DissectorTable.get("tcp.port")

function proto.prefs_changed()
  if prefs.ports ~= "" then port_table:remove(prefs.ports, proto) end
  prefs = { little = proto.prefs.little, timeout = proto.prefs.timeout, mask = proto.prefs.mask, ports = tostring(proto.prefs.ports) }
  if prefs.ports ~= "" then port_table:add(prefs.ports, proto) end
end

proto.init = reset
port_table:add_for_decode_as(proto)
proto:register_heuristic("tcp", heuristic)
if proto.prefs.ports and tostring(proto.prefs.ports) ~= "" then
  prefs.ports = tostring(proto.prefs.ports)
  port_table:add(prefs.ports, proto)
end

-- 8. Statistics --------------------------------------------------------------------------------------------
-- tshark -q -z @NAME@,summary; in Wireshark, Tools > NUBISON summary.

local function summary()
  local out = { "NUBISON summary", "", "Requests" }
  for i = 1, #LETTERS do
    local l = LETTERS:sub(i, i)
    if totals.transactions[l] then out[#out + 1] = string.format("  %-12s %d", NAMES[l], totals.transactions[l]) end
  end
  out[#out + 1] = "Violations"
  for _, r in ipairs(RULES) do
    if totals.violations[r.id] then out[#out + 1] = string.format("  %-22s %d", r.id, totals.violations[r.id]) end
  end
  out[#out + 1] = "Devices with violations"
  for _, d in ipairs(totals.order) do out[#out + 1] = string.format("  %-30s %d", printable(d), totals.devices[d]) end
  return table.concat(out, "\n") .. "\n"
end

register_stat_cmd_arg("@NAME@,summary", function()
  local tap = Listener.new("frame", "@NAME@")
  function tap.draw() print(summary()) end
end)

if gui_enabled() then
  register_menu("NUBISON summary", function()
    local w = TextWindow.new("NUBISON summary")
    w:set(summary())
  end, MENU_TOOLS_UNSORTED)
end
