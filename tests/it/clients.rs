//! What others' tools make of openapi/dropwire.yaml: a typed client that runs the guide's flow, and a fuzzer that compares
//! every answer with the document. `make deps-clients` installs the tools.

mod schemathesis;
mod supabase_js;
mod typescript;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dropwire::dev;
use tokio::process::Command;

use crate::support::app::{CHAT_ID, TENANT, user_token};
use crate::support::sql::ADA;
use crate::support::telegram::WEBHOOK_SECRET;
use crate::support::{Sink, Telegram, TestApp};

/// Longest run of a tool on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Executors of the demo tenant who are not connected yet: one to invite, one who was invited; and a complainant who left.
const PEOPLE: &str = "insert into users
    (id, tenant_id, email, full_name, role, telegram_chat_id, is_active, bot_onboarding_status, bot_correlation_id)
  values
    ('d0000000-0000-4000-8000-0000000000a9', 'd0000000-0000-4000-8000-000000000001', 'nina@example.com',
     'Nina New', 'executor', null, true, 'pending', null),
    ('d0000000-0000-4000-8000-0000000000aa', 'd0000000-0000-4000-8000-000000000001', 'otto@example.com',
     'Otto Onway', 'executor', null, true, 'awaiting_chat', '0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b'),
    ('d0000000-0000-4000-8000-0000000000ab', 'd0000000-0000-4000-8000-000000000001', 'lena@example.com',
     'Lena Left', 'complainant', 555000999, false, 'completed', null)";
const NINA: &str = "d0000000-0000-4000-8000-0000000000a9";
const LENAS_CHAT: &str = "555000999";

/// An application with whatever a client needs, and Make's two ends.
struct Stage {
    app: TestApp,
    /// The tenant's webhook.
    webhooks: Sink,
    /// Where invitations go.
    invitations: Sink,
    /// Where the executors' bot speaks.
    telegram: Telegram,
}

impl Stage {
    async fn set() -> Self {
        let (webhooks, invitations) = (Sink::start().await, Sink::start().await);
        let telegram = Telegram::start().await;
        let mut variables = telegram.variables().to_vec();
        variables.extend([
            ("MAKE_USER_ONBOARDING_WEBHOOK_URL", invitations.url.as_str()),
            // However busy the machine is.
            ("DROPWIRE_ONBOARDING_TIMEOUT_MS", "60000"),
            ("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "60000"),
        ]);
        let app = TestApp::with(&variables).await;
        app.set_webhook(&webhooks.url).await;
        app.db.batch_execute(PEOPLE).await.unwrap();
        Self {
            app,
            webhooks,
            invitations,
            telegram,
        }
    }

    /// Runs a tool with keys and ids in its environment; answers what it printed, once it has succeeded.
    async fn run(&self, command: &mut Command) -> String {
        let admin = user_token(ADA.parse().unwrap());
        command.kill_on_drop(true).envs([
            ("DROPWIRE_URL", self.app.url.as_str()),
            ("ANON_KEY", dev::ANON_KEY),
            ("SERVICE_ROLE_KEY", dev::SERVICE_ROLE_KEY),
            ("ADMIN_TOKEN", &admin),
            ("TELEGRAM_SECRET", WEBHOOK_SECRET),
            ("TENANT_ID", TENANT),
            ("CHAT_ID", CHAT_ID),
            ("INACTIVE_CHAT_ID", LENAS_CHAT),
            ("INVITED_USER_ID", NINA),
            ("PYTHONHASHSEED", "0"),
            // Straight to the application.
            ("NO_PROXY", "*"),
            ("no_proxy", "*"),
        ]);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output
            .expect("the tool does not end")
            .unwrap_or_else(|error| panic!("{command:?}: {error}; `make deps-clients` installs it"));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{command:?}: {}\n{printed}\n{complaints}",
            output.status
        );
        printed
    }
}

/// A file of the project, which `make deps-clients` puts there if it is not a committed one.
fn file(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(
        file.exists(),
        "{path} is missing: `make deps-clients` installs it, as `make test` does first"
    );
    file
}
