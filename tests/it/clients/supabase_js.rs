//! tests/clients/supabase-js: the original client's queries (contract, section 10) through supabase-js, in the version
//! that it uses and in the current one.

use dropwire::dev;
use serde_json::Value;
use tokio::process::Command;

use super::{Stage, file};
use crate::support::app::user_token;
use crate::support::sql::ADA;

/// What the queries need beside the demo: three tickets, a designation, a skill, an activity.
const ROWS: &str = "insert into designations (id, tenant_id, name) values
    ('d0000000-0000-4000-8000-000000000d01', 'd0000000-0000-4000-8000-000000000001', 'Facility manager');
  insert into priorities (tenant_id, name, level_order) values
    ('d0000000-0000-4000-8000-000000000001', 'soon', 1), ('d0000000-0000-4000-8000-000000000001', 'some day', null);
  update users set designation_id = 'd0000000-0000-4000-8000-000000000d01', department = 'Operations'
   where id = 'd0000000-0000-4000-8000-0000000000a2';
  insert into executor_skill (id, tenant_id, name)
  values ('d0000000-0000-4000-8000-000000000501', 'd0000000-0000-4000-8000-000000000001', 'Cooling');
  update executor_profiles set skills = array['d0000000-0000-4000-8000-000000000501'::uuid]
   where id = 'd0000000-0000-4000-8000-0000000000e1';
  insert into tickets (title, description, location, category, priority, type, status, tenant_id, complainant_id, executor_profile_id)
  select title, 'as said', 'Hall', category, 'low', 'Maintenance', status, 'd0000000-0000-4000-8000-000000000001',
         'd0000000-0000-4000-8000-0000000000a2', profile::uuid
    from (values ('Cooling', 'HVAC', 'in-progress', 'd0000000-0000-4000-8000-0000000000e1'),
                 ('Printer', 'IT', 'open', null), ('Drain', 'Plumbing', 'closed', null)) as t (title, category, status, profile);
  insert into ticket_activities (ticket_id, tenant_id, activity_type, comment, created_by)
  select id, tenant_id, 'executor_update', 'On my way', 'd0000000-0000-4000-8000-0000000000a3' from tickets where title = 'Cooling'";

async fn shapes(client: &str, caller: &str, expected: u64) {
    let stage = Stage::set().await;
    stage.app.db.batch_execute(ROWS).await.unwrap();
    let (key, token) = match caller {
        "anon" => (dev::ANON_KEY, String::new()),
        "service_role" => (dev::SERVICE_ROLE_KEY, String::new()),
        _ => (dev::ANON_KEY, user_token(ADA.parse().unwrap())),
    };
    let mut node = Command::new("node");
    node.arg("shapes.mjs")
        .current_dir(file("tests/clients/supabase-js"))
        .env("CLIENT", client)
        .env("CALLER", caller)
        .env("KEY", key)
        .env("TOKEN", token);
    let printed = stage.run(&mut node).await;
    let outcome: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["passed"], expected, "{printed}");
    stage.app.stop().await;
}

macro_rules! shapes {
    ($($name:ident: $client:literal as $caller:literal, $expected:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            shapes($client, $caller, $expected).await;
        })*
    };
}

shapes! {
    the_originals_queries_with_its_own_client_as_anon: "supabase-js-2.39" as "anon", 5;
    the_originals_queries_with_its_own_client_as_a_user: "supabase-js-2.39" as "tenant_admin", 31;
    the_originals_queries_with_its_own_client_as_service_role: "supabase-js-2.39" as "service_role", 32;
    the_originals_queries_with_the_current_client_as_anon: "supabase-js-current" as "anon", 5;
    the_originals_queries_with_the_current_client_as_a_user: "supabase-js-current" as "tenant_admin", 31;
    the_originals_queries_with_the_current_client_as_service_role: "supabase-js-current" as "service_role", 32;
}
