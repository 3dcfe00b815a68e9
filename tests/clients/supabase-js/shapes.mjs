// The original client's queries, one check each, through the supabase-js that CLIENT names and as the caller that
// CALLER names. Prints the checks' names; the first that fails ends the run.

import assert from 'node:assert/strict'

const { CLIENT, CALLER, DROPWIRE_URL, KEY, TOKEN, TENANT_ID: TENANT } = process.env
const { createClient } = await import(CLIENT)
const headers = TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {}
const db = createClient(DROPWIRE_URL, KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { headers },
  // The current client insists on a WebSocket, which Node.js has from version 22 on. Nothing here opens one.
  realtime: { transport: globalThis.WebSocket ?? class {} },
})

const checks = []
const check = (name, callers, run) => checks.push({ name, callers, run })
/** The data of an answer that must have succeeded. */
const data = ({ data, error }) => {
  assert.equal(error, null, JSON.stringify(error))
  return data
}
const both = ['tenant_admin', 'service_role']

const PROFILE = 'executor_profile:executor_profiles!tickets_executor_profile_id_fkey(*,user:users!executor_profiles_user_id_fkey(*))'
const DESIGNATION = 'designation:designations!users_designation_id_fkey(id,name)'

check('a ticket with its people', both, async () => {
  const [ticket] = data(
    await db.from('tickets').select(`*,complainant:users!tickets_complainant_id_fkey(*),${PROFILE}`).eq('title', 'Cooling'),
  )
  assert.equal(ticket.complainant.full_name, 'John Doe')
  assert.equal(ticket.executor_profile.user.full_name, 'Mike Johnson')
})

check('a ticket with its complainant\'s designation', both, async () => {
  const rows = data(
    await db.from('tickets').select(`*,complainant:users!tickets_complainant_id_fkey(*,${DESIGNATION}),${PROFILE}`),
  )
  assert.equal(rows.find((row) => row.title === 'Cooling').complainant.designation.name, 'Facility manager')
})

check('the fallback select is ambiguous no more than the original\'s', both, async () => {
  const rows = data(await db.from('tickets').select('*,complainant:users!tickets_complainant_id_fkey(*)'))
  assert.equal(rows.length, 3)
})

check('the dispatcher\'s columns', both, async () => {
  const ticket = data(
    await db
      .from('tickets')
      .select('id,ticket_number,status,priority,title,description,location,tenant_id,complainant:users!tickets_complainant_id_fkey(id,full_name,email,phone,telegram_chat_id)')
      .eq('title', 'Cooling')
      .single(),
  )
  assert.deepEqual(Object.keys(ticket.complainant), ['id', 'full_name', 'email', 'phone', 'telegram_chat_id'])
})

check('activities with their author, under the table\'s name', both, async () => {
  const rows = data(
    await db
      .from('ticket_activities')
      .select('id,activity_type,comment,metadata,created_at,created_by,users!ticket_activities_created_by_fkey(id,full_name)')
      .eq('comment', 'On my way'),
  )
  assert.equal(rows[0].users.full_name, 'Mike Johnson')
})

check('executors with user and category', both, async () => {
  const rows = data(
    await db
      .from('executor_profiles')
      .select('*,user:users!executor_profiles_user_id_fkey(id,email,full_name,role),category:categories!executor_profiles_category_id_fkey(id,name,icon)')
      .order('full_name'),
  )
  assert.deepEqual(rows.map((row) => row.category.name).sort(), ['HVAC', 'IT'])
})

check('rules with conditions and actions', both, async () => {
  const rows = data(
    await db.from('rules').select('*,conditions:conditions(*),actions:actions(*)').order('priority_order').order('created_at', { ascending: false }),
  )
  assert.equal(rows.length, 3)
  assert.ok(rows.every((rule) => rule.actions.length === 1))
})

check('several equalities', both, async () => {
  const rows = data(await db.from('users').select('id').eq('tenant_id', TENANT).eq('role', 'tenant_admin').eq('is_active', true))
  assert.equal(rows.length, 1)
})

check('a list', both, async () => {
  assert.equal(data(await db.from('tickets').select('id').in('status', ['open', 'in-progress'])).length, 2)
})

check('or with patterns, the search text as typed', both, async () => {
  const text = 'cool'
  const rows = data(
    await db.from('tickets').select('id').or(`title.ilike.%${text}%,ticket_number.ilike.%${text}%,description.ilike.%${text}%`),
  )
  assert.equal(rows.length, 1)
})

check('a case-insensitive name', both, async () => {
  const rows = data(await db.from('categories').select('*').eq('tenant_id', TENANT).ilike('name', 'plumbing'))
  assert.equal(rows[0].name, 'Plumbing')
})

check('from and to on one column', both, async () => {
  const rows = data(
    await db.from('tickets').select('id').gte('created_at', '2020-01-01T00:00:00Z').lte('created_at', '2999-01-01T00:00:00+00:00'),
  )
  assert.equal(rows.length, 3)
})

check('null, not null, not empty', both, async () => {
  data(await db.from('users').select('id').is('tenant_id', null))
  const rows = data(await db.from('users').select('department').not('department', 'is', null).neq('department', ''))
  assert.deepEqual(rows, [{ department: 'Operations' }])
})

check('an array that contains', both, async () => {
  const [skill] = data(await db.from('executor_skill').select('*'))
  const rows = data(await db.from('executor_profiles').select('id').contains('skills', [skill.id]))
  assert.equal(rows.length, 1)
})

check('order with nulls last', both, async () => {
  const rows = data(await db.from('priorities').select('*').order('level_order', { ascending: true, nullsFirst: false }))
  assert.deepEqual(rows.map((row) => row.level_order), [1, null])
})

check('a page with the exact count', both, async () => {
  const { data: rows, count, status } = await db
    .from('tickets')
    .select('*', { count: 'exact' })
    .order('created_at', { ascending: false })
    .range(0, 1)
  assert.deepEqual([rows.length, count, status], [2, 3, 206])
})

check('the count alone', both, async () => {
  const { count, data: body } = await db.from('rules').select('*', { count: 'exact', head: true })
  assert.equal(count, 3)
  assert.ok(!body)
})

check('the first row', both, async () => {
  assert.equal(data(await db.from('tickets').select('id').order('created_at', { ascending: false }).limit(1)).length, 1)
})

check('one row, or PGRST116', both, async () => {
  const none = await db.from('tickets').select('*').eq('title', 'none').single()
  assert.deepEqual([none.status, none.error.code], [406, 'PGRST116'])
  assert.match(none.error.details, /0 rows/)
  const several = await db.from('tickets').select('*').single()
  assert.equal(several.error.code, 'PGRST116')
})

check('one row or none', both, async () => {
  assert.equal(data(await db.from('tickets').select('*').eq('title', 'none').maybeSingle()), null)
})

check('insert of one, of several, with and without what was written', both, async () => {
  const one = data(await db.from('categories').insert({ tenant_id: TENANT, name: 'Lifts' }).select().single())
  assert.equal(one.name, 'Lifts')
  const several = await db.from('categories').insert([
    { tenant_id: TENANT, name: 'Doors' },
    { tenant_id: TENANT, name: 'Locks' },
  ])
  assert.deepEqual([several.status, several.data, several.error], [201, null, null])
  data(await db.from('categories').delete().in('name', ['Lifts', 'Doors', 'Locks']))
})

check('update and delete, with and without what was written', both, async () => {
  const { id } = data(await db.from('categories').insert({ tenant_id: TENANT, name: 'Roof' }).select('id').single())
  const changed = data(await db.from('categories').update({ description: 'Tiles' }).eq('id', id).select())
  assert.equal(changed[0].description, 'Tiles')
  const silent = await db.from('categories').update({ description: null }).eq('id', id)
  assert.deepEqual([silent.status, silent.data], [204, null])
  const gone = await db.from('categories').delete().eq('id', id)
  assert.equal(gone.status, 204)
})

check('a write with select and limit', both, async () => {
  const rows = data(await db.from('tenants').update({ name: 'ACME Facilities' }).eq('id', TENANT).select('*').limit(1))
  assert.equal(rows.length, 1)
})

check('an update that changes nothing', both, async () => {
  const { status, error } = await db.from('categories').update({}).eq('tenant_id', TENANT)
  assert.deepEqual([status, error], [204, null])
})

check('working hours are written anew', both, async () => {
  data(await db.from('business_hours').delete().eq('tenant_id', TENANT))
  const days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday']
  const hours = days.map((day) => ({
    tenant_id: TENANT, day_of_week: day, is_working_day: true, start_time: '09:00:00', end_time: '17:30:00',
  }))
  data(await db.from('business_hours').insert(hours))
  const rows = data(await db.from('business_hours').select('*').order('day_of_week'))
  assert.equal(rows.length, 5)
  assert.equal(rows[0].end_time, '17:30:00')
})

check('a conflict names its constraint', both, async () => {
  const { error, status } = await db.from('categories').insert({ tenant_id: TENANT, name: 'HVAC' })
  assert.deepEqual([status, error.code], [409, '23505'])
  assert.match(error.message, /duplicate key value violates unique constraint "/)
})

check('a column that is none, a value that fits no type', both, async () => {
  const column = await db.from('business_hours').select('*').order('open_days')
  assert.deepEqual([column.status, column.error.code], [400, '42703'])
  const value = await db.from('users').select('*').eq('id', 'undefined')
  assert.deepEqual([value.status, value.error.code], [400, '22P02'])
  assert.deepEqual(data(await db.from('users').select('*').eq('role', 'undefined')), [])
  const unknown = await db.from('categories').insert({ colour: 'red' })
  assert.deepEqual([unknown.status, unknown.error.code], [400, 'PGRST204'])
})

check('an unfiltered write is refused', ['service_role'], async () => {
  const update = await db.from('categories').update({ description: 'x' })
  assert.deepEqual([update.status, update.error.code, update.error.message], [400, '21000', 'UPDATE requires a WHERE clause'])
  const gone = await db.from('categories').delete()
  assert.deepEqual([gone.status, gone.error.message], [400, 'DELETE requires a WHERE clause'])
})

check('the queue is claimed conditionally', ['service_role'], async () => {
  const [entry] = data(await db.from('ticket_webhook_queue').select('*').eq('status', 'pending').limit(1))
  const claimed = data(
    await db
      .from('ticket_webhook_queue')
      .update({ status: 'processing' })
      .eq('id', entry.id)
      .in('status', ['pending', 'failed'])
      .lte('next_attempt_at', '2999-01-01T00:00:00Z')
      .select()
      .single(),
  )
  assert.equal(claimed.status, 'processing')
  const again = await db.from('ticket_webhook_queue').update({ status: 'processing' }).eq('id', entry.id).in('status', ['pending', 'failed']).select().single()
  assert.equal(again.error.code, 'PGRST116')
  data(await db.from('ticket_webhook_queue').update({ status: 'pending' }).eq('id', entry.id))
})

check('the queue is hidden', ['anon', 'tenant_admin'], async () => {
  const { data: rows, error } = await db.from('ticket_webhook_queue').select('*')
  assert.ok(error ? error.code === '42501' : rows.length === 0)
})

check('nothing of a tenant is seen', ['anon'], async () => {
  for (const table of ['tickets', 'users', 'tenants', 'categories', 'rules', 'executor_profiles', 'ticket_activities']) {
    const { data: rows, error } = await db.from(table).select('*')
    assert.ok(error ? error.code === '42501' : rows.length === 0, `${table}: ${JSON.stringify(rows ?? error)}`)
  }
})

check('a ticket by RPC', ['anon', ...both], async () => {
  const made = data(
    await db.rpc('create_ticket_from_automation', {
      p_issue: 'Lamp broken', p_location: 'Hall', p_category: 'IT', p_priority: 'low',
      p_user_name: 'John Doe', p_chat_id: '123456789', p_tenant_id: TENANT,
    }),
  )
  assert.equal(made.success, true)
})

check('a function that is none is named', ['anon', ...both], async () => {
  const { error, status } = await db.rpc('create_ticket_from_automatio', { p_issue: 'x' })
  assert.deepEqual([status, error.code], [404, 'PGRST202'])
})

check('a table that is none is named', ['anon', ...both], async () => {
  const { error, status } = await db.from('ticket').select('*')
  assert.deepEqual([status, error.code], [404, 'PGRST205'])
  assert.match(error.hint, /tickets/)
})

let passed = 0
for (const { name, callers, run } of checks) {
  if (!callers.includes(CALLER)) continue
  try {
    await run()
  } catch (failure) {
    console.error(`${name}: ${failure.stack}`)
    process.exit(1)
  }
  console.log(name)
  passed += 1
}
console.log(JSON.stringify({ passed }))
