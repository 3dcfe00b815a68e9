-- 1,000 rows, nothing returned.
local rows = {}
for n = 1, 1000 do
  rows[n] = string.format('{"tenant_id":%d,"complainant_id":%d,"title":"Ticket %d","status":"open"}',
    1 + n % 200, 1 + n % 50000, n)
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = "[" .. table.concat(rows, ",") .. "]"
wrk.path = "/rest/v1/inserted"
