//! Schemathesis makes requests up from the document, valid and broken ones, and compares every answer with it: no 5xx,
//! no status, header, content type or body that is not described, no method and no key taken that should not be.

use dropwire::dev;
use tokio::process::Command;

use super::{Stage, file};
use crate::support::program::TempDir;

/// Fewest requests of a run that is worth its name.
const ENOUGH: u32 = 200;

const OPTIONS: [&str; 7] = [
    "--no-color",
    // Always the same requests.
    "--generation-deterministic",
    // They are about the speed of the machine.
    "--suppress-health-check=all",
    "--phases=examples,coverage,fuzzing",
    "--checks=all",
    // Two rules of thumb that do not hold here: like the original, the functions take more than the document promises
    // (a number as a chat id, say), and refuse what no schema says well (a blank text, U+0000).
    "--exclude-checks=negative_data_rejection,positive_data_acceptance",
    "--max-failures=5",
];

/// Runs schemathesis, which has to find nothing; answers how many requests it sent.
async fn compare(stage: &Stage, global: &[&str], options: &[&str]) -> u32 {
    // It remembers what it saw where it stands: a place of its own for each run.
    let memory = TempDir::new();
    std::fs::create_dir(memory.path()).unwrap();
    // As a module: the script beside it names the place where it was installed, which `target` may have left.
    let mut schemathesis = Command::new(file("target/schemathesis/bin/python"));
    schemathesis
        .args(["-m", "schemathesis.cli"])
        .args(global)
        .arg("run")
        .arg(file("openapi/dropwire.yaml"))
        .args(["--url", &stage.app.url])
        .args(OPTIONS)
        .args(options)
        .current_dir(memory.path());
    let report = stage.run(&mut schemathesis).await;
    let cases = report
        .lines()
        .find_map(|line| line.trim().split_once(" generated, "));
    cases.expect("a summary").0.parse().unwrap()
}

#[tokio::test]
async fn every_answer_is_as_described_to_callers_with_the_right_key() {
    let stage = Stage::set().await;
    let config = file("tests/clients/schemathesis/schemathesis.toml");
    let config = ["--config-file", config.to_str().unwrap()];
    assert!(compare(&stage, &config, &["--max-examples=50"]).await > ENOUGH);

    // It got as far as the rows.
    assert!(stage.app.count("tickets").await > 0);
    assert!(!stage.webhooks.received().is_empty());
    assert!(!stage.invitations.received().is_empty());
    assert!(!stage.telegram.take().is_empty());
    let connected = "users where full_name = 'Otto Onway' and bot_onboarding_status = 'completed'";
    assert_eq!(stage.app.count(connected).await, 1);
    stage.app.stop().await;
}

#[tokio::test]
async fn every_answer_is_as_described_to_callers_without_a_key_or_with_the_wrong_one() {
    let stage = Stage::set().await;
    let anon = format!("Authorization: Bearer {}", dev::ANON_KEY);
    for key in [&[][..], &["--header", &anon]] {
        // Nothing without a key; with this one, the example of create-ticket.
        assert_eq!(stage.app.count("tickets").await, 0);
        let options = [&["--max-examples=10", "--warnings=off"], key].concat();
        assert!(compare(&stage, &[], &options).await > ENOUGH);
    }
    stage.app.stop().await;
}
