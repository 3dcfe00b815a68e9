//! What row level security must not get in the way of: our own triggers, whoever's statement they serve.

use super::World;

#[tokio::test]
async fn a_complainants_ticket_gets_its_number_its_queue_entries_and_its_rules() {
    let world = World::new().await;
    let rule = "
        update rules set rule_type = 'priority' where id = fixture.id('rules o');
        update actions set action_type = 'set_priority', action_params = '{\"priority\": \"critical\"}'
         where id = fixture.id('actions o')";
    world.db.batch_execute(rule).await.unwrap();
    let create = "
        insert into tickets (id, title, description, location, category, priority, type, tenant_id, complainant_id)
        values (fixture.id('created'), 'x', 'x', 'x', 'HVAC', 'low', 'x', fixture.id('tenants o'),
                fixture.id('complainant'))
        returning ticket_number";
    world.perform("complainant", create).await;

    let ticket = "select concat_ws(' ', substr(ticket_number, 1, 4), priority) from tickets where id = fixture.id('created')";
    assert_eq!(world.text(ticket).await.as_deref(), Some("TKT- critical"));
    let entries = "
        select string_agg(concat_ws(' ', q.origin, a.activity_type), ', ' order by q.seq)
          from ticket_webhook_queue q left join ticket_activities a on a.id = q.activity_id
         where q.ticket_id = fixture.id('created')";
    assert_eq!(
        world.text(entries).await.as_deref(),
        Some("creation, trigger priority_change")
    );
    let logged =
        "select execution_status::text from rule_execution_logs where ticket_id = fixture.id('created')";
    assert_eq!(world.text(logged).await.as_deref(), Some("success"));
    // And the complainant follows it.
    let seen = "select activity_type from ticket_activities where ticket_id = fixture.id('created')";
    assert_eq!(
        world.ask("complainant", seen).await,
        [Some("priority_change".to_owned())]
    );
}

#[tokio::test]
async fn an_executors_status_change_and_comment_are_queued() {
    let world = World::new().await;
    world
        .db
        .batch_execute("delete from ticket_webhook_queue")
        .await
        .unwrap();
    let update = "update tickets set status = 'resolved' where id = fixture.id('tickets m')";
    world.perform("executor", update).await;
    let comment = "insert into ticket_activities (ticket_id, activity_type, comment, created_by)
        values (fixture.id('tickets m'), 'executor_update', 'done', fixture.id('executor'))";
    world.perform("executor", comment).await;

    let entries = "
        select string_agg(concat_ws(' ', a.activity_type, u.full_name), ', ' order by q.seq)
          from ticket_webhook_queue q
          join ticket_activities a on a.id = q.activity_id
          left join users u on u.id = a.created_by";
    let expected = "status_change executor, executor_update executor";
    assert_eq!(world.text(entries).await.as_deref(), Some(expected));
}

#[tokio::test]
async fn a_tenant_admin_deletes_a_ticket_with_all_that_hangs_on_it() {
    let world = World::new().await;
    let delete = "delete from tickets where id = fixture.id('tickets m')";
    world.perform("tenant_admin", delete).await;
    let left = "select (select count(*) from ticket_activities where ticket_id = fixture.id('tickets m'))
                     + (select count(*) from ticket_webhook_queue where ticket_id = fixture.id('tickets m'))";
    let left: i64 = world.db.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_tenant_admins_new_default_executor_replaces_the_old_one() {
    let world = World::new().await;
    for class in ["m", "o"] {
        let choose = format!(
            "update executor_profiles set is_default_executor = true where id = fixture.id('executor_profiles {class}')"
        );
        world.perform("tenant_admin", &choose).await;
    }
    let default = "select string_agg((id = fixture.id('executor_profiles o'))::text, ' ')
                     from executor_profiles where is_default_executor";
    assert_eq!(world.text(default).await.as_deref(), Some("true"));
}
