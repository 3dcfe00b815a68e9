-- What wrk posts: the guide's ticket, from one of the bench tenant's users at a time.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")

local body = '{"issue":"AC not working in Building A","location":"Building A, Floor 3","category":"HVAC",'
  .. '"priority":"high","name":"John Doe","chat_id":"%d","tenant_id":"d0000000-0000-4000-8000-000000000009"}'

function request()
  return wrk.format(nil, nil, nil, body:format(math.random(100001, 101000)))
end
