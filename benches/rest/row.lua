-- One row by its primary key.
local tickets = tonumber(os.getenv("TICKETS"))
function request()
  return wrk.format("GET", "/rest/v1/tickets?id=eq." .. math.random(1, tickets))
end
