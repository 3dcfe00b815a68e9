//! The command line, with the real binary: help, refusals and their exit codes, keys, migrations, health.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use dropwire::auth::jwt::Verifier;
use dropwire::auth::{AuthContext, Role};
use dropwire::config::Secret;
use dropwire::dev;
use nix::sys::signal::Signal;

use crate::support::TestApp;
use crate::support::cluster::TestDatabase;
use crate::support::program::{Running, TempDir, run};

/// Stands for a secret in settings that are wrong; no output may have it.
const HUSH: &str = "hunter2";
const VERBS: [&str; 7] = [
    "serve",
    "dev",
    "migrate",
    "dispatch",
    "keys",
    "openapi",
    "healthcheck",
];

fn verify(secret: &str, token: &str) -> AuthContext {
    Verifier::new(&Secret::new(secret), Vec::new())
        .verify(token.trim())
        .unwrap()
}

/// The text without its last line's end, however it is broken into lines.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn help_reads_like_a_manual() {
    let help = run(&["--help"], &[]).await;
    assert_eq!(help.code, Some(0));
    for part in [
        "Usage: dropwire <COMMAND>",
        "Examples:",
        "Environment (flags win",
        "Exit codes:",
    ] {
        assert!(
            help.stdout.contains(part),
            "{part} is missing in:\n{}",
            help.stdout
        );
    }
    for verb in VERBS {
        assert!(
            help.stdout.contains(&format!("\n  {verb} ")),
            "{verb} is missing in:\n{}",
            help.stdout
        );
    }
    for variable in [
        "DATABASE_URL, SUPABASE_DB_URL",
        "SUPABASE_JWT_SECRET, JWT_SECRET",
        "SUPABASE_URL",
        "SUPABASE_ANON_KEY, SUPABASE_SERVICE_ROLE_KEY",
        "TICKET_ACTIVITY_WEBHOOK_BATCH",
        "TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS",
        "TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS",
        "MAKE_USER_ONBOARDING_WEBHOOK_URL",
        "MAKE_ONBOARDING_CALLBACK_TOKEN",
        "DROPWIRE_WEBHOOK_ALLOW_PRIVATE",
    ] {
        assert!(
            help.stdout.contains(&format!("\n  {variable}\n")),
            "{variable} is missing in:\n{}",
            help.stdout
        );
    }
}

#[tokio::test]
async fn each_verbs_help_has_its_usage_its_variables_and_the_exit_codes() {
    for (verb, variable) in [
        ("serve", Some("DATABASE_URL")),
        ("dev", Some("DROPWIRE_LISTEN")),
        ("migrate", Some("DATABASE_URL")),
        ("dispatch", Some("TICKET_ACTIVITY_WEBHOOK_BATCH")),
        ("keys", Some("SUPABASE_JWT_SECRET")),
        ("openapi", None),
        ("healthcheck", Some("DROPWIRE_LISTEN")),
    ] {
        let help = run(&[verb, "--help"], &[]).await;
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{verb}");
        assert!(
            help.stdout.contains(&format!("Usage: dropwire {verb}")),
            "{}",
            help.stdout
        );
        assert!(
            help.stdout.contains("\nExit codes:\n  0  done\n"),
            "{}",
            help.stdout
        );
        let environment = help
            .stdout
            .split_once("\nEnvironment (")
            .map(|(_, environment)| environment);
        assert_eq!(environment.is_some(), variable.is_some(), "{}", help.stdout);
        if let (Some(environment), Some(variable)) = (environment, variable) {
            assert!(
                environment.contains(&format!("\n  {variable}")),
                "{}",
                help.stdout
            );
        }
    }
}

#[tokio::test]
async fn a_bad_variable_ends_with_code_2_its_name_its_value_and_what_is_allowed() {
    let url = "a PostgreSQL URL such as postgresql://user:password@host:5432/database?sslmode=verify-full; in this one";
    let with_port = format!("postgresql://u:{HUSH}@h:bad/d");
    let with_mode = format!("postgresql://u:{HUSH}@h/d?sslmode=strong");
    let cases = [
        (
            "DROPWIRE_LISTEN",
            "nowhere",
            "nowhere",
            "HOST:PORT, such as 127.0.0.1:54321, [::1]:54321 or 0.0.0.0:54321",
        ),
        ("SUPABASE_URL", "ftp://x", "ftp://x", "an http or https URL"),
        (
            "TICKET_ACTIVITY_WEBHOOK_BATCH",
            "0",
            "0",
            "a whole number from 1 to 10000",
        ),
        (
            "TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS",
            "soon",
            "soon",
            "milliseconds from 1 to 600000",
        ),
        (
            "TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS",
            "-1",
            "-1",
            "milliseconds from 1 to 604800000",
        ),
        (
            "DROPWIRE_WEBHOOK_ALLOW_PRIVATE",
            "perhaps",
            "perhaps",
            "true or false",
        ),
        ("DROPWIRE_LOG_FORMAT", "xml", "xml", "text or json"),
        (
            "DROPWIRE_LOG",
            "=,=[",
            "=,=[",
            "a filter such as info or dropwire=debug",
        ),
        (
            "SUPABASE_JWT_SECRET",
            HUSH,
            "***",
            "at least 32 characters (`openssl rand -base64 48` makes one)",
        ),
        (
            "SUPABASE_SECRET_KEYS",
            HUSH,
            "***",
            r#"a JSON object such as {"default":"sb_…"}"#,
        ),
        (
            "MAKE_USER_ONBOARDING_WEBHOOK_URL",
            HUSH,
            "***",
            "an http or https URL",
        ),
        (
            "DATABASE_URL",
            HUSH,
            "***",
            "a PostgreSQL URL: postgresql://user:password@host:5432/db",
        ),
        (
            "DATABASE_URL",
            &with_port,
            "***",
            &format!("{url}, option port has a value that it does not take"),
        ),
        (
            "DATABASE_URL",
            &with_mode,
            "***",
            &format!("{url}, option sslmode has a value that it does not take"),
        ),
    ];
    for (name, value, shown, allowed) in cases {
        let refused = run(&["serve"], &[(name, value)]).await;
        assert_eq!(
            (refused.code, refused.stdout.as_str(), refused.stderr),
            (
                Some(2),
                "",
                format!("dropwire: {name}: `{shown}` is not allowed; allowed is {allowed}\n")
            ),
        );
    }
}

#[tokio::test]
async fn a_bad_flag_ends_with_code_2_and_what_is_allowed() {
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage: dropwire <COMMAND>"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["serve", "--nonsense"], "unexpected argument '--nonsense'"),
        (
            &["serve", "--listen", "nowhere"],
            "invalid value 'nowhere' for '--listen <HOST:PORT>': allowed is HOST:PORT, such as 127.0.0.1:54321",
        ),
        (
            &["keys", "--days", "0"],
            "invalid value '0' for '--days <DAYS>': 0 is not in 1..=36500",
        ),
        (
            &["keys", "--role", "root"],
            "[possible values: anon, authenticated, service_role]",
        ),
        (
            &["keys", "--sub", dev::TENANT_ID],
            "required arguments were not provided: --role <ROLE>",
        ),
        (
            &["healthcheck", "--url", "nonsense"],
            "invalid value 'nonsense' for '--url <URL>': allowed is an http or https URL",
        ),
    ];
    for (arguments, expected) in cases {
        let refused = run(arguments, &[]).await;
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            unwrapped(&refused.stderr).contains(expected),
            "{arguments:?}: {}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn a_database_without_its_jwt_secret_ends_with_code_2() {
    let database = TestDatabase::migrated().await;
    for verb in ["serve", "keys"] {
        let refused = run(&[verb], &[("DATABASE_URL", &database.url())]).await;
        assert_eq!(refused.code, Some(2), "{verb}");
        assert_eq!(
            refused.stderr,
            "dropwire: SUPABASE_JWT_SECRET is not set; needed is the project's HS256 secret, because DATABASE_URL is \
             set (Supabase: Settings, JWT Keys, Legacy JWT secret)\n"
        );
    }
}

#[tokio::test]
async fn an_unreachable_database_ends_with_code_1_its_place_and_the_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgresql://owner:{HUSH}@{closed}/fms");
    for verb in ["serve", "migrate", "dispatch"] {
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("SUPABASE_JWT_SECRET", dev::JWT_SECRET),
        ];
        let failed = run(&[verb], &variables).await;
        assert_eq!(failed.code, Some(1), "{verb}");
        assert!(
            failed
                .stderr
                .contains(&format!("connecting to owner@{closed}/fms")),
            "{}",
            failed.stderr
        );
        assert!(failed.stderr.contains("Connection refused"), "{}", failed.stderr);
        assert!(!failed.stderr.contains(HUSH), "{}", failed.stderr);
    }
}

#[tokio::test]
async fn without_a_postgresql_server_to_embed_the_package_is_named_and_the_code_is_3() {
    let empty = TempDir::new();
    std::fs::create_dir(empty.path()).unwrap();
    for verb in ["serve", "dev", "migrate", "dispatch"] {
        let failed = run(
            &[verb],
            &[
                ("DROPWIRE_POSTGRES_BIN", empty.text()),
                ("DROPWIRE_LISTEN", "127.0.0.1:0"),
            ],
        )
        .await;
        assert_eq!(failed.code, Some(3), "{verb}: {}", failed.stderr);
        assert!(
            failed.stderr.starts_with("dropwire: PostgreSQL is not installed"),
            "{}",
            failed.stderr
        );
        let install = "apt-get install -y --no-install-recommends postgresql\n";
        assert!(failed.stderr.contains(install), "{}", failed.stderr);
        assert!(failed.stderr.contains("or set DATABASE_URL"), "{}", failed.stderr);
    }
}

#[tokio::test]
async fn an_address_in_use_ends_with_code_1_before_anything_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = TempDir::new();
    let failed = run(&["serve", "--listen", &address, "--data-dir", data.text()], &[]).await;
    assert_eq!(failed.code, Some(1));
    assert_eq!(
        failed.stderr,
        format!(
            "dropwire: listening on {address}: Address already in use (os error 98); choose another with --listen\n"
        )
    );
    assert!(!data.path().exists());
}

#[tokio::test]
async fn keys_prints_keys_that_verify_with_the_given_secret() {
    let keys = run(&["keys"], &[("JWT_SECRET", dev::JWT_SECRET)]).await;
    assert_eq!((keys.code, keys.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = keys
        .stdout
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .collect();
    let names: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"]);
    let contexts: Vec<_> = lines
        .iter()
        .map(|(_, key)| verify(dev::JWT_SECRET, key))
        .collect();
    assert_eq!(contexts[0].role, Role::Anon);
    assert_eq!(contexts[1].role, Role::ServiceRole);
    assert_eq!(contexts[0].claims["iss"], "supabase");
}

#[tokio::test]
async fn keys_mints_a_users_token() {
    let user = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";
    let arguments = ["keys", "--role", "authenticated", "--sub", user, "--days", "1"];
    let minted = run(&arguments, &[("SUPABASE_JWT_SECRET", dev::JWT_SECRET)]).await;
    let context = verify(dev::JWT_SECRET, &minted.stdout);
    assert_eq!(context.role, Role::Authenticated);
    assert_eq!(context.claims["sub"], user);
    assert_eq!(context.claims["aud"], "authenticated");
    let lifetime = context.claims["exp"].as_i64().unwrap() - context.claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 86_400);
}

#[tokio::test]
async fn keys_of_the_embedded_database_stay_the_same_and_their_secret_is_private() {
    let data = TempDir::new();
    let arguments = ["keys", "--role", "service_role", "--data-dir", data.text()];
    let (one, other) = tokio::join!(run(&arguments, &[]), run(&arguments, &[]));
    let kept = data.path().join("jwt-secret");
    let secret = std::fs::read_to_string(&kept).unwrap();
    for minted in [one, other] {
        assert_eq!(verify(&secret, &minted.stdout).role, Role::ServiceRole);
    }
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(secret.len() >= 32);
    assert_eq!(
        std::fs::read_dir(data.path()).unwrap().count(),
        1,
        "no drafts are left"
    );
}

#[tokio::test]
async fn migrate_applies_once_and_then_has_nothing_to_do() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("SUPABASE_JWT_SECRET", dev::JWT_SECRET),
    ];

    let early = run(&["serve", "--listen", "127.0.0.1:0"], &variables).await;
    assert_eq!(early.code, Some(1));
    assert!(
        early
            .stderr
            .ends_with("run `dropwire migrate`, or serve with --migrate\n"),
        "{}",
        early.stderr
    );

    let first = run(&["migrate"], &variables).await;
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let applied = first.stdout.lines().count();
    assert!(first.stdout.starts_with("applied 0001_"), "{}", first.stdout);
    assert!(
        first.stdout.lines().all(|line| line.starts_with("applied 0")),
        "{}",
        first.stdout
    );

    let second = run(&["migrate"], &variables).await;
    assert_eq!(
        (second.code, second.stdout),
        (
            Some(0),
            format!("nothing to do: all {applied} migrations are applied\n")
        )
    );

    let pass = run(&["dispatch"], &variables).await;
    assert_eq!(
        (pass.code, pass.stdout.as_str()),
        (Some(0), "{\"processed\":0,\"delivered\":0,\"failed\":0}\n")
    );
}

#[tokio::test]
async fn healthcheck_tells_a_ready_server_from_an_absent_one() {
    let app = TestApp::start().await;
    let by_flag = run(&["healthcheck", "--url", &format!("{}/", app.url)], &[]).await;
    assert_eq!((by_flag.code, by_flag.stderr.as_str()), (Some(0), ""));
    let address = app.url.trim_start_matches("http://").to_owned();
    let by_variable = run(&["healthcheck"], &[("DROPWIRE_LISTEN", &address)]).await;
    assert_eq!(by_variable.code, Some(0), "{}", by_variable.stderr);
    app.stop().await;

    let absent = run(&["healthcheck"], &[("DROPWIRE_LISTEN", &address)]).await;
    assert_eq!(absent.code, Some(1));
    assert!(
        absent.stderr.starts_with("dropwire: the server is not ready: "),
        "{}",
        absent.stderr
    );
    assert!(absent.stderr.contains("Connection refused"), "{}", absent.stderr);
}

#[tokio::test]
async fn serve_answers_and_stops_with_code_0_on_sigterm() {
    let database = TestDatabase::empty().await;
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("localhost:{port}");
    let url = database.url();
    let variables = [
        ("SUPABASE_DB_URL", url.as_str()),
        ("SUPABASE_JWT_SECRET", dev::JWT_SECRET),
    ];
    let server = Running::start(&["serve", "--migrate", "--listen", &listen], &variables);

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = || http.get(format!("http://127.0.0.1:{port}/ready")).send();
    let began = std::time::Instant::now();
    while !ready().await.is_ok_and(|answer| answer.status() == 200) {
        assert!(began.elapsed().as_secs() < 30, "{}", server.errors());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(server.signal(Signal::SIGTERM).await.code(), Some(0));
}
