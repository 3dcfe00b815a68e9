-- 100 rows, merged by their primary key; most exist.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "resolution=merge-duplicates"
function request()
  local first, rows = math.random(1, 100000), {}
  for n = 0, 99 do
    rows[n + 1] = string.format('{"id":%d,"title":"Ticket %d","seen":1}', first + n, first + n)
  end
  return wrk.format(nil, "/rest/v1/upserted", nil, "[" .. table.concat(rows, ",") .. "]")
end
