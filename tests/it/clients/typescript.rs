//! tests/clients/typescript: types by openapi-typescript, calls by openapi-fetch, checked by `tsc --strict`.

use serde_json::Value;
use tokio::process::Command;

use super::{Stage, file};

#[tokio::test]
async fn a_typescript_client_made_from_the_document_runs_the_guides_flow() {
    let stage = Stage::set().await;
    let installed = file("tests/clients/typescript/node_modules/openapi-fetch");
    let folder = installed.parent().unwrap().parent().unwrap();
    let mut npm = Command::new("npm");
    npm.args(["test", "--silent"]).current_dir(folder);
    let printed = stage.run(&mut npm).await;

    let outcome: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["ticket_number"], "TKT-1000");
    assert_eq!(outcome["delivered"], 4, "its creation, and what the rules did");
    let webhooks = stage.webhooks.received();
    let heard: Vec<_> = webhooks
        .iter()
        .map(|webhook| (&webhook.body["ticket_id"], &webhook.body["ticket_number"]))
        .collect();
    let ticket = (&outcome["ticket_id"], &outcome["ticket_number"]);
    assert_eq!(heard, [ticket; 4]);
    let invitations = stage.invitations.received();
    assert_eq!(invitations.len(), 1);
    assert_eq!(invitations[0].body["correlation_id"], outcome["correlation_id"]);
    assert_eq!(stage.app.count("tickets").await, 1);
    stage.app.stop().await;
}
