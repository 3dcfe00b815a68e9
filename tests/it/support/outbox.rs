//! The outbox's functions as a dispatcher calls them, for tests that play one.

/// Records what came of one entry: `$1` entry, `$2` its claim id, `$3` result, `$4` claim id for what follows. Answers
/// the outcome and the entry that was claimed next. Failures are due again after an hour.
pub const RECORD: &str = "
    select r.outcome, (r.next).id
      from (select $1::uuid as id, $2::uuid as claim_id, $3::text as result, $4::uuid as follow) g
      left join ticket_webhook_queue q on q.id = g.id
     cross join dropwire.record_webhooks(
       array[g.id], array[g.claim_id], array[g.result], array['{}'], array['late'], array[3600]::float8[],
       array[null]::float8[], array[1], array[q.ticket_id], array[q.tenant_id], array[500], array['late'], array[1],
       array['late'], array[true], g.follow, interval '1 min', 10, 3600) r";

/// The same without a claim of what follows: no fourth parameter.
pub const RECORD_ALONE: &str = "
    select r.outcome
      from (select $1::uuid as id, $2::uuid as claim_id, $3::text as result) g
      left join ticket_webhook_queue q on q.id = g.id
     cross join dropwire.record_webhooks(
       array[g.id], array[g.claim_id], array[g.result], array['{}'], array['late'], array[3600]::float8[],
       array[null]::float8[], array[1], array[q.ticket_id], array[q.tenant_id], array[500], array['late'], array[1],
       array['late'], array[false], gen_random_uuid(), interval '1 min', 10, 3600) r";
