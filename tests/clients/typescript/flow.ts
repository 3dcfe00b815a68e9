// The guide's flow, by a client whose types come from openapi/dropwire.yaml: it does not compile where the document
// says less than the server does. Settings come from the environment; the last line printed says what became of it.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/dropwire.js";

type Ticket = components["schemas"]["TicketRequest"];

function setting(name: string): string {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
}

const baseUrl = setting("DROPWIRE_URL");
const client = (key: string) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const anon = client(setting("ANON_KEY"));
const service = client(setting("SERVICE_ROLE_KEY"));
const admin = client(setting("ADMIN_TOKEN"));

// Section 1: the guide's payload.
const ticket: Ticket = {
  issue: "AC not working in Building A",
  location: "Building A, Floor 3",
  category: "HVAC",
  priority: "high",
  name: "John Doe",
  designation: "Manager",
  department: "IT",
  chat_id: setting("CHAT_ID"),
  tenant_id: setting("TENANT_ID"),
  type: "Maintenance",
  building: "Building A",
  floor: "3",
  room: "301",
};

/** Section 3, steps 3 and 4: Make creates the ticket; its retry under the same key creates no second one. */
async function createTicket() {
  const once = () =>
    anon.POST("/functions/v1/telegram-webhook", {
      params: { header: { "Idempotency-Key": "scenario-1:run-1" } },
      body: ticket,
    });
  const { data, error, response } = await once();
  assert(data, JSON.stringify(error));
  assert.equal(response.status, 200);
  assert.equal(data.success, true);
  assert.match(data.ticket_id, /^[0-9a-f-]{36}$/);
  assert.match(data.ticket_number, /^TKT-\d+$/);

  const repeated = await once();
  assert.deepEqual(repeated.data, data);
  assert.equal(repeated.response.headers.get("idempotency-replayed"), "true");
  return data;
}

/** Section 4: each error as Make would show it. */
async function checkErrors() {
  const refusal = async (changes: Partial<Ticket>) => {
    const { data, error, response } = await anon.POST("/functions/v1/telegram-webhook", {
      body: { ...ticket, ...changes },
    });
    assert.equal(data, undefined);
    assert(error && "success" in error, JSON.stringify(error));
    assert.equal(error.success, false);
    assert.equal(error.status, response.status);
    return [error.status, error.error] as const;
  };

  assert.deepEqual(await refusal({ issue: " " }), [400, "Missing required field: issue"]);
  assert.deepEqual(
    // @ts-expect-error: the document lists the priorities
    await refusal({ priority: "urgent" }),
    [400, "Invalid priority. Must be one of: critical, high, medium, low"],
  );
  assert.deepEqual(await refusal({ chat_id: "1" }), [
    404,
    `User not found with chat_id: 1 in tenant: ${ticket.tenant_id}`,
  ]);
  assert.deepEqual(await refusal({ chat_id: setting("INACTIVE_CHAT_ID") }), [
    403,
    "User is not active and cannot create tickets",
  ]);

  const keyless = await createClient<paths>({ baseUrl }).POST("/functions/v1/telegram-webhook", { body: ticket });
  assert.equal(keyless.response.status, 401);
  assert.deepEqual(keyless.error, { code: 401, message: "Missing authorization header" });
}

/** Section 3, step 5, and section 8: cron calls until nothing is due. */
async function drain() {
  let delivered = 0;
  for (;;) {
    const { data, error } = await service.POST("/functions/v1/ticket-activity-webhook");
    assert(data, JSON.stringify(error));
    assert.equal(data.failed, 0);
    if (data.processed === 0) {
      assert.equal(data.message, "No pending entries");
      return delivered;
    }
    delivered += data.delivered;
  }
}

/** Section 10: an admin invites a user, who then starts the bot. */
async function onboard() {
  const body = { user_id: setting("INVITED_USER_ID") };
  const invited = await admin.POST("/functions/v1/user-onboarding-request", { body });
  assert(invited.data && "correlation_id" in invited.data, JSON.stringify(invited.error));
  assert.equal(invited.response.status, 202);
  assert.equal(invited.data.status, "queued");

  const started = await service.POST("/functions/v1/user-onboarding-callback", {
    body: { correlation_id: invited.data.correlation_id, status: "completed", chat_id: "555000111" },
  });
  assert(started.data, JSON.stringify(started.error));
  assert.equal(started.data.status, "completed");
  assert.equal(started.data.user_id, body.user_id);

  const again = await admin.POST("/functions/v1/user-onboarding-request", { body });
  assert.equal(again.response.status, 200);
  assert.deepEqual(again.data, { status: "already_completed" });

  const refused = await anon.POST("/functions/v1/user-onboarding-request", { body });
  assert.equal(refused.response.status, 401);
  assert.deepEqual(refused.error, { error: "Unauthorized" });
  return invited.data.correlation_id;
}

const { ticket_id, ticket_number } = await createTicket();
await checkErrors();
const delivered = await drain();
const correlation_id = await onboard();
console.log(JSON.stringify({ ticket_id, ticket_number, delivered, correlation_id }));
