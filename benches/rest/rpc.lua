-- An immutable function by GET.
function request()
  return wrk.format("GET", "/rest/v1/rpc/add?a=" .. math.random(1, 1000) .. "&b=" .. math.random(1, 1000))
end
