-- One row, nothing returned.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  return wrk.format(nil, "/rest/v1/inserted", nil, string.format(
    '{"tenant_id":%d,"complainant_id":%d,"title":"AC not working in Building A","status":"open"}',
    math.random(1, 200), math.random(1, 50000)))
end
