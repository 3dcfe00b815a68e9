-- 100 rows, merged by their primary key; most exist. The bodies are made beforehand: what it costs a client to write JSON
-- is not to be measured here.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "resolution=merge-duplicates"
local requests = {}
function init()
  for at = 1, 1000 do
    local first, rows = math.random(1, 100000), {}
    for n = 0, 99 do
      rows[n + 1] = string.format('{"id":%d,"title":"Ticket %d","seen":1}', first + n, first + n)
    end
    requests[at] = wrk.format(nil, "/rest/v1/upserted", nil, "[" .. table.concat(rows, ",") .. "]")
  end
end
function request()
  return requests[math.random(1, 1000)]
end
