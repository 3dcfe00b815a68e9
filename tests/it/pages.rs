//! The pages for people, in a real browser: what stands on the screen of `/_dev/inbox` and `/docs`.

use std::process::Stdio;
use std::time::Duration;

use dropwire::dev::ANON_KEY;
use serde_json::json;
use tokio::process::Command;

use crate::support::app::ticket;
use crate::support::cluster::TestDatabase;
use crate::support::program::{Running, TempDir};

/// Longest time for one page, a browser's first start on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(90);

/// `dropwire dev` over a database of its own; answers its base URL.
async fn start_dev(database: &TestDatabase) -> (Running, String) {
    let url = database.url();
    let mut program = Running::start(
        &["dev", "--listen", "127.0.0.1:0"],
        &[("DATABASE_URL", url.as_str())],
    );
    let banner = program.wait_for("\n  inbox ").await;
    let url = banner
        .lines()
        .find_map(|line| line.trim().strip_prefix("API URL"))
        .unwrap()
        .trim()
        .to_owned();
    (program, url)
}

/// Opens a page in headless Chromium and answers the text that stands on it after its scripts ran.
async fn seen(url: &str) -> String {
    let profile = TempDir::new();
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--mute-audio",
        ])
        .args([
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-extensions",
            "--disable-default-apps",
        ])
        // No calls home: what the page needs has to come from its own host.
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-breakpad",
        ])
        .args([
            "--disable-domain-reliability",
            "--disable-client-side-phishing-detection",
            "--metrics-recording-only",
        ])
        .args(["--disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication"])
        .args([
            "--no-proxy-server",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ])
        .args([
            "--window-size=1200,900",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.text()))
        .arg(url)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", profile.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the browser does not end");
    let output = output.unwrap_or_else(|error| panic!("running chromium (`make test` installs it): {error}"));
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && !dom.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text(&dom)
}

/// The text of a serialised page, without scripts, styles and tags.
fn text(dom: &str) -> String {
    let mut text = String::new();
    let mut rest = dom;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let hidden = ["script", "style", "svg"]
            .into_iter()
            .find(|name| after.starts_with(name));
        let end = hidden.map_or_else(|| ">".to_owned(), |name| format!("</{name}>"));
        rest = after.split_once(&end).map_or("", |(_, rest)| rest);
        // Tags that only allow a break are part of a word.
        if !after.starts_with("wbr") {
            text.push(' ');
        }
    }
    text.push_str(rest);
    let text = text
        .replace('\u{200b}', "")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_inbox_page_shows_the_tickets_webhooks_newest_first() {
    let database = TestDatabase::migrated().await;
    let (_program, url) = start_dev(&database).await;
    let empty = seen(&format!("{url}/_dev/inbox")).await;
    assert!(empty.contains("received: 0 ,"), "{empty}");
    assert!(
        empty.contains("Nothing yet. Create a ticket; its webhooks appear here."),
        "{empty}"
    );

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let hostile = r#"<img src=x onerror="document.title='owned'">"#;
    let body = ticket(&json!({"priority": "medium", "issue": hostile}));
    let request = http
        .post(format!("{url}/functions/v1/telegram-webhook"))
        .bearer_auth(ANON_KEY);
    assert_eq!(request.body(body.to_string()).send().await.unwrap().status(), 200);
    let began = std::time::Instant::now();
    while !http
        .get(format!("{url}/_dev/inbox"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
        .contains("reassignment")
    {
        assert!(began.elapsed() < Duration::from_secs(20), "no webhooks came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let page = seen(&format!("{url}/_dev/inbox")).await;
    assert!(page.contains("received: 4 ,"), "{page}");
    let events = [
        "TKT-1000 Ticket assigned to executor",
        "TKT-1000 SLA changed from none to",
        "TKT-1000 Priority changed from medium to critical",
        "TKT-1000 Created open critical",
    ];
    let places: Vec<_> = events
        .iter()
        .map(|event| {
            page.find(event)
                .unwrap_or_else(|| panic!("no {event} in: {page}"))
        })
        .collect();
    assert!(places.is_sorted(), "{page}");
    assert!(
        page.contains(r#""title": "<img src=x onerror="#),
        "shown, not run: {page}"
    );
}

#[tokio::test]
async fn the_docs_page_shows_both_operations_without_any_other_host() {
    let database = TestDatabase::migrated().await;
    let (_program, url) = start_dev(&database).await;
    let page = seen(&format!("{url}/docs")).await;
    for part in [
        "Dropwire functions",
        "POST /functions/v1/telegram-webhook Creates a ticket",
        "POST /functions/v1/ticket-activity-webhook Sends the webhooks that are due",
        "Authorize",
        &url,
    ] {
        assert!(page.contains(part), "{part:?} is missing in: {page}");
    }
}
