//! The command line.

mod verbs;
mod webhooks;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::auth::Role;
use crate::config::variables::{DATABASE, KEYS, LOGS, ONBOARDING, REST, SERVER, Section, TELEGRAM, WEBHOOKS};
use crate::config::{self, Env, Flags, LISTEN_ALLOWED, worker_threads};
use crate::error::chain;
use verbs::VerbError;

/// A Supabase-compatible backend for Make-driven ticket systems, in one binary
///
/// Point existing Make scenarios, Supabase clients and cron jobs at it; change nothing but the base URL.
/// `dropwire dev` is the quickest way to see it work; `dropwire serve` is for production.
#[derive(Debug, Parser)]
#[command(name = "dropwire", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the API, and deliver webhooks
    ///
    /// Works on the database that DATABASE_URL names; without one, on an embedded PostgreSQL that it starts and
    /// stops itself (the server's binaries have to be installed). The embedded database is migrated at each start,
    /// a given one only with --migrate.
    ///
    /// With --rest-only it is a drop-in for PostgREST instead: any database, by PostgREST's own variables.
    Serve(Serve),
    /// Serve with demo data, local Supabase's well-known keys and a webhook inbox
    ///
    /// For this machine only: listens on loopback addresses, and the keys are public.
    Dev(Listen),
    /// Bring the database to this version's schema
    ///
    /// All pending migrations run in one transaction: either all of them are applied, or none. A database restored
    /// from the original is adopted: brought to this schema without losing a row, with a report of what was changed.
    Migrate(Data),
    /// Queue webhooks again
    ///
    /// Those of an adopted database of which nobody can tell whether the original delivered them; `migrate` lists them.
    Replay {
        /// The entries that were in `processing` at adoption
        #[arg(long, required = true)]
        adopted: bool,
        /// Only those that the original sent at or after this time, as in 2026-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<chrono::DateTime<chrono::Utc>>,
        #[command(flatten)]
        data: Data,
    },
    /// Send the webhooks that are due, once, for a plain crontab
    ///
    /// One batch of TICKET_ACTIVITY_WEBHOOK_BATCH entries, as a call of the dispatcher's route.
    Dispatch(Data),
    /// Look after webhooks: list what waits, send again, skip, pause, sign
    ///
    /// The same as the functions of these names over /rest/v1/rpc with the service_role key. Prints JSON, a line a row.
    Webhooks {
        #[command(subcommand)]
        action: webhooks::Action,
        #[command(flatten)]
        data: Data,
    },
    /// Print the project's keys, or mint one
    ///
    /// Signs with SUPABASE_JWT_SECRET, or with the secret kept beside the embedded database.
    Keys(Keys),
    /// Print the OpenAPI document of the functions
    ///
    /// As YAML, the same that a running server has at /openapi.yaml.
    Openapi,
    /// Ask a running server whether it is ready; exit code 0 when it is
    ///
    /// Ready means that it reaches its database. Answers within five seconds, for a container's health check.
    Healthcheck {
        /// The server's base URL [default: where `serve` listens]
        #[arg(long, value_parser = base_url)]
        url: Option<String>,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
struct Serve {
    #[command(flatten)]
    listen: Listen,
    /// Run no built-in dispatcher: only cron's calls deliver webhooks
    #[arg(long)]
    no_dispatch: bool,
    /// Apply pending migrations to DATABASE_URL before serving
    #[arg(long)]
    migrate: bool,
    /// Serve PostgREST's interface alone, at / and /rest/v1, in front of PGRST_DB_URI (or DATABASE_URL)
    ///
    /// The database is left as it is, and every setting has PostgREST's name and default: without --listen it is
    /// PGRST_SERVER_HOST and PGRST_SERVER_PORT [default: 0.0.0.0:3000] where it listens.
    #[arg(long, conflicts_with_all = ["no_dispatch", "migrate", "data_dir"])]
    rest_only: bool,
    /// Print the settings of --rest-only, those in the database too, instead of serving; secrets are masked
    #[arg(long, requires = "rest_only")]
    dump_config: bool,
}

#[derive(Debug, Args)]
struct Listen {
    /// Address to listen on [default: 127.0.0.1:54321]
    #[arg(long, value_name = "HOST:PORT", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    data: Data,
}

#[derive(Debug, Args)]
struct Data {
    /// Directory of the embedded database [default: /var/lib/dropwire as root, else ~/.local/share/dropwire]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Keys {
    #[command(flatten)]
    data: Data,
    /// Mint one key of this role instead of printing both
    #[arg(long)]
    role: Option<KeyRole>,
    /// The user whom an `authenticated` token names
    #[arg(long, value_name = "UUID", requires = "role")]
    sub: Option<uuid::Uuid>,
    /// How long the keys are valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum KeyRole {
    Anon,
    Authenticated,
    ServiceRole,
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Anon => Self::Anon,
            KeyRole::Authenticated => Self::Authenticated,
            KeyRole::ServiceRole => Self::ServiceRole,
        }
    }
}

/// Runs the verb that the command line names. Exit codes: 0 done, 1 failed, 2 a bad flag or setting, 3 no
/// PostgreSQL to embed.
pub fn run() -> ExitCode {
    let cli = match Cli::from_arg_matches(&manual().get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let workers = match worker_threads(&Env::from_process()) {
        Ok(workers) => workers,
        Err(error) => return complain(&error.to_string(), 2),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("starting the runtime: {error}"), 1),
    };
    match runtime.block_on(dispatch(cli.verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&chain(&error), error.exit_code()),
    }
}

async fn dispatch(verb: Verb) -> Result<(), VerbError> {
    let data = |data: Data| Flags {
        data_dir: data.data_dir,
        ..Flags::default()
    };
    match verb {
        Verb::Serve(serve) => {
            let flags = Flags {
                listen: serve.listen.listen,
                data_dir: serve.listen.data.data_dir,
                no_dispatch: serve.no_dispatch,
                migrate: serve.migrate,
            };
            match (serve.rest_only, serve.dump_config) {
                (false, _) => verbs::serve(flags).await,
                (true, false) => verbs::serve_rest_only(&flags).await,
                (true, true) => verbs::dump_config(&flags).await,
            }
        }
        Verb::Dev(listen) => {
            verbs::dev(Flags {
                listen: listen.listen,
                data_dir: listen.data.data_dir,
                ..Flags::default()
            })
            .await
        }
        Verb::Migrate(flags) => verbs::migrate(data(flags)).await,
        Verb::Replay {
            adopted: _,
            since,
            data: flags,
        } => verbs::replay(data(flags), since).await,
        Verb::Dispatch(flags) => verbs::dispatch(data(flags)).await,
        Verb::Webhooks { action, data: flags } => webhooks::run(data(flags), action).await,
        Verb::Keys(keys) => verbs::keys(&data(keys.data), keys.role.map(Role::from), keys.sub, keys.days),
        Verb::Openapi => verbs::openapi(),
        Verb::Healthcheck { url } => verbs::healthcheck(url).await,
    }
}

const EXAMPLES: &str = "\
Examples:
  dropwire dev
          try it: demo data, well-known keys, an inbox for the webhooks
  dropwire serve --data-dir /var/lib/dropwire
          run it with a PostgreSQL of its own
  DATABASE_URL=postgresql://… SUPABASE_JWT_SECRET=… dropwire serve --migrate --listen 0.0.0.0:54321
          run it on a database that exists, Supabase's too
  PGRST_DB_URI=postgresql://authenticator:…@host/db PGRST_DB_ANON_ROLE=anon dropwire serve --rest-only
          run it in place of PostgREST, on any database
  dropwire keys --role authenticated --sub 6f9619ff-8b86-d011-b42d-00cf4fc964ff --days 1
          mint a user's token
";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; standard error says at what
  2  a flag or variable has a value that is not allowed, or is missing
  3  there is no PostgreSQL server to embed
";

/// The command line with each verb's share of the environment in its help.
fn manual() -> clap::Command {
    let everything = [SERVER, DATABASE, KEYS, REST, WEBHOOKS, ONBOARDING, TELEGRAM, LOGS];
    let of = |sections: &[Section]| format!("{}{EXIT_CODES}", environment(sections));
    Cli::command()
        .after_long_help(format!("{EXAMPLES}\n{}", of(&everything)))
        .mut_subcommand("serve", |verb| verb.after_long_help(of(&everything)))
        .mut_subcommand("dev", |verb| verb.after_long_help(of(&everything)))
        .mut_subcommand("migrate", |verb| verb.after_long_help(of(&[DATABASE, LOGS])))
        .mut_subcommand("dispatch", |verb| {
            verb.after_long_help(of(&[DATABASE, KEYS, WEBHOOKS, LOGS]))
        })
        .mut_subcommand("webhooks", |verb| {
            verb.after_long_help(of(&[DATABASE, KEYS, WEBHOOKS, LOGS]))
        })
        .mut_subcommand("keys", |verb| verb.after_long_help(of(&[KEYS, DATABASE])))
        .mut_subcommand("openapi", |verb| verb.after_long_help(of(&[])))
        .mut_subcommand("healthcheck", |verb| verb.after_long_help(of(&[SERVER])))
}

fn environment(sections: &[Section]) -> String {
    let mut text = String::new();
    if !sections.is_empty() {
        text.push_str("Environment (flags win; an empty variable counts as absent):\n\n");
    }
    for section in sections {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "{}:", section.title);
        for (names, default, meaning) in section.variables {
            let _written = writeln!(text, "  {names}\n          {meaning} [default: {default}]");
        }
        text.push('\n');
    }
    text
}

fn listen_address(value: &str) -> Result<SocketAddr, String> {
    config::listen_address(value).ok_or_else(|| format!("allowed is {LISTEN_ALLOWED}"))
}

fn base_url(value: &str) -> Result<String, &'static str> {
    config::http_url(value)
        .map(|_| value.to_owned())
        .ok_or("allowed is an http or https URL")
}

fn complain(message: &str, code: u8) -> ExitCode {
    // Standard error may be closed; there is nobody else to tell.
    let _written = writeln!(std::io::stderr(), "dropwire: {message}");
    ExitCode::from(code)
}
