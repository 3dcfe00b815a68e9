//! `dropwire dev` as a person uses it: the banner's curl in a real shell, the inbox, Ctrl-C, restarts.

use std::time::{Duration, Instant};

use dropwire::dev::{ANON_KEY, SERVICE_ROLE_KEY, TENANT_ID};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::program::{Running, TempDir, processes_with, run};

/// How long webhooks may take; a busy machine is slow, a person is not that patient.
const SECONDS: Duration = Duration::from_secs(20);

/// The curl of the guide's section 5.
const GUIDES_CURL: &str = r#"curl -X POST https://<project-ref>.supabase.co/functions/v1/telegram-webhook \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer <anon-key>" \
  -d '{
    "issue": "Test issue",
    "location": "Test location",
    "category": "IT",
    "priority": "medium",
    "name": "Test User",
    "chat_id": "123456789",
    "tenant_id": "your-tenant-uuid"
  }'"#;

/// A running `dropwire dev`.
struct Dev {
    program: Running,
    banner: String,
    url: String,
}

impl Dev {
    async fn start(data: &TempDir) -> Self {
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--data-dir", data.text()];
        let mut program = Running::start(&arguments, &[]);
        let banner = program.wait_for("}'\n\ncurl ").await;
        let url = value(&banner, "API URL");
        Self { program, banner, url }
    }

    async fn inbox(&self) -> Vec<Value> {
        let answer = self.get("/_dev/inbox", "*/*").await;
        assert_eq!(
            answer.headers()["content-type"],
            "application/json; charset=utf-8"
        );
        answer.json().await.unwrap()
    }

    /// Waits until the inbox holds `count` webhooks; answers their bodies.
    async fn webhooks(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let inbox = self.inbox().await;
            if inbox.len() >= count {
                return inbox
                    .into_iter()
                    .map(|delivery| delivery["body"].clone())
                    .collect();
            }
            assert!(
                began.elapsed() < SECONDS,
                "{} of {count} webhooks came",
                inbox.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates a ticket as the banner says; answers its number.
    async fn create(&self) -> String {
        let created = paste(&first_command(&self.banner)).await;
        created["ticket_number"]
            .as_str()
            .unwrap_or_else(|| panic!("{created}"))
            .to_owned()
    }

    async fn get(&self, path: &str, accept: &str) -> reqwest::Response {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        http.get(format!("{}{path}", self.url))
            .header("accept", accept)
            .send()
            .await
            .unwrap()
    }
}

/// The value that the banner has for a name.
fn value(banner: &str, name: &str) -> String {
    let line = banner.lines().find(|line| line.trim_start().starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in:\n{banner}"))
        .split_whitespace()
        .last()
        .unwrap()
        .to_owned()
}

/// The first command of the banner: from `curl` to the end of its last continuation.
fn first_command(banner: &str) -> String {
    let (_, rest) = banner.split_once("\ncurl ").unwrap();
    let (arguments, _) = rest.split_once("\n\n").unwrap();
    format!("curl {arguments}")
}

/// Runs a command as if it were pasted into a shell; answers its standard output as JSON.
async fn paste(command: &str) -> Value {
    let shell = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output();
    let output = shell.await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(127), "curl is not installed: {errors}");
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)))
}

fn kinds(webhooks: &[Value]) -> Vec<&str> {
    webhooks
        .iter()
        .map(|body| body["latest_activity"]["type"].as_str().unwrap_or("created"))
        .collect()
}

#[tokio::test]
async fn the_banners_curl_creates_a_ticket_whose_webhooks_arrive_in_order() {
    let data = TempDir::new();
    let dev = Dev::start(&data).await;
    assert_eq!(value(&dev.banner, "anon key"), ANON_KEY);
    assert_eq!(value(&dev.banner, "service_role key"), SERVICE_ROLE_KEY);
    assert_eq!(value(&dev.banner, "demo tenant"), TENANT_ID);
    assert_eq!(value(&dev.banner, "inbox"), format!("{}/_dev/inbox", dev.url));
    assert_eq!(dev.inbox().await, Vec::<Value>::new());

    let created = paste(&first_command(&dev.banner)).await;
    let ticket_id = created["ticket_id"].clone();
    assert_eq!(
        created,
        json!({"success": true, "ticket_id": ticket_id, "ticket_number": "TKT-1000", "status": 200})
    );

    let webhooks = dev.webhooks(4).await;
    assert_eq!(
        kinds(&webhooks),
        ["created", "priority_change", "sla_change", "reassignment"]
    );
    for body in &webhooks {
        assert_eq!(body["ticket_id"], ticket_id);
        assert_eq!(body["tenant_id"], TENANT_ID);
        assert_eq!(
            body["priority"], "critical",
            "Make sees the state after the rules"
        );
    }
    let last_line = dev.banner.trim_end().lines().last().unwrap();
    assert_eq!(
        paste(last_line).await.as_array().unwrap().len(),
        4,
        "the banner's second curl shows the inbox"
    );

    let page = dev
        .get("/_dev/inbox", "text/html,application/xhtml+xml,*/*;q=0.8")
        .await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(
        page.contains("Priority changed from medium to critical"),
        "{page}"
    );
    assert_eq!(dev.program.signal(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn the_guides_own_curl_works_with_the_demo_ids() {
    let data = TempDir::new();
    let dev = Dev::start(&data).await;
    let command = GUIDES_CURL
        .replace("https://<project-ref>.supabase.co", &dev.url)
        .replace("<anon-key>", ANON_KEY)
        .replace("your-tenant-uuid", TENANT_ID);

    let created = paste(&command).await;
    assert_eq!(
        created,
        json!({"success": true, "ticket_id": created["ticket_id"], "ticket_number": "TKT-1000", "status": 200})
    );
    let webhooks = dev.webhooks(2).await;
    assert_eq!(kinds(&webhooks), ["created", "reassignment"]);
    assert_eq!(webhooks[0]["title"], "Test issue");
    assert_eq!(dev.program.signal(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn data_survives_ctrl_c_and_a_kill_and_no_postgresql_is_left() {
    let data = TempDir::new();
    let dev = Dev::start(&data).await;
    assert_eq!(dev.create().await, "TKT-1000");
    assert!(!processes_with(data.text()).is_empty());

    assert_eq!(dev.program.signal(Signal::SIGINT).await.code(), Some(0));
    assert_eq!(processes_with(data.text()), Vec::<u32>::new());

    let dev = Dev::start(&data).await;
    assert_eq!(dev.create().await, "TKT-1001");
    assert_eq!(dev.program.signal(Signal::SIGKILL).await.code(), None);

    let dev = Dev::start(&data).await;
    assert_eq!(dev.create().await, "TKT-1002");
    assert_eq!(dev.program.signal(Signal::SIGINT).await.code(), Some(0));
    assert_eq!(processes_with(data.text()), Vec::<u32>::new());
}

#[tokio::test]
async fn dev_listens_on_loopback_only() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:54321"] {
        let refused = run(&["dev", "--listen", listen], &[]).await;
        assert_eq!(
            (refused.code, refused.stdout.as_str(), refused.stderr),
            (
                Some(2),
                "",
                format!(
                    "dropwire: --listen: `{listen}` is not allowed; allowed is a loopback address: the keys of \
                     `dropwire dev` are public; use `dropwire serve` elsewhere\n"
                )
            )
        );
    }
}

#[tokio::test]
async fn dev_takes_no_database_of_another_host() {
    for url in [
        "postgresql://owner:hunter2@db.example.com/fms",
        "postgresql://owner:hunter2@192.0.2.1:5432/fms",
        "postgresql://owner:hunter2@localhost,db.example.com/fms",
        "postgresql://owner:hunter2@localhost/fms?hostaddr=192.0.2.1",
    ] {
        let refused = run(&["dev", "--listen", "127.0.0.1:0"], &[("DATABASE_URL", url)]).await;
        assert_eq!(
            (refused.code, refused.stdout.as_str(), refused.stderr.as_str()),
            (
                Some(2),
                "",
                "dropwire: DATABASE_URL: `***` is not allowed; allowed is a database on this machine: `dropwire dev` \
                 writes demo data; unset it for the embedded one\n"
            ),
            "{url}"
        );
    }
}
