-- A page of one tenant, newest first, with two to-one embeds.
function request()
  return wrk.format("GET", "/rest/v1/tickets?select=id,title,status,priority,created_at,"
    .. "complainant:users(id,full_name,email),tenant:tenants(id,name)"
    .. "&order=created_at.desc&limit=50&tenant_id=eq." .. math.random(1, 200))
end
