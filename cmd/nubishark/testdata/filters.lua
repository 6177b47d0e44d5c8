-- Asks Wireshark which packets fit each line of a file: tshark -X lua_script:this -X lua_script1:FILE -z filters.
-- Prints the line's number with the packets, or with the error.
local args = { ... }

register_stat_cmd_arg("filters", function()
  local results = {}
  local n = 0
  for line in io.lines(args[1]) do
    n = n + 1
    local at, packets = n, {}
    local ok, tap = pcall(Listener.new, "frame", "nubison and (" .. line .. ")")
    if ok then
      function tap.packet(pinfo) packets[#packets + 1] = pinfo.number end
      results[at] = packets
    else
      results[at] = { "error" }
    end
  end
  local last = Listener.new("frame")
  function last.draw()
    for at, packets in ipairs(results) do print("filter " .. at .. " " .. table.concat(packets, " ")) end
  end
end)
