//! `dropwire webhooks`: an operator's verbs, the functions of `sql/migrations/0016_webhook_operators.sql`.
//!
//! Each prints JSON, one line per row, for people and `jq` alike.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use postgres_types::Type;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::verbs::VerbError;
use crate::config::{Env, Flags, Settings};
use crate::{database, telemetry};

type Params<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List the tenants' webhooks that are parked, broken, paused or inactive, with what waits for them
    List {
        /// Also those that work
        #[arg(long)]
        all: bool,
    },
    /// List the webhooks that hold back the later ones of their ticket
    Blocked {
        /// Only this tenant's
        #[arg(long, value_name = "UUID")]
        tenant: Option<Uuid>,
    },
    /// Send one webhook again, delivered or not
    Replay {
        /// The entry, which receivers know as webhook-id
        entry: Uuid,
    },
    /// Send again what was delivered at or after a time
    ReplaySince {
        /// As in 2026-01-31T00:00:00Z
        time: DateTime<Utc>,
        /// Only this tenant's
        #[arg(long, value_name = "UUID")]
        tenant: Option<Uuid>,
    },
    /// Give one webhook up, so that the later ones of its ticket go on
    Skip {
        /// The entry, which receivers know as webhook-id
        entry: Uuid,
        /// Kept with the entry
        #[arg(long)]
        reason: Option<String>,
    },
    /// Send a tenant nothing more until `resume`
    Pause {
        /// The tenant
        tenant: Uuid,
    },
    /// End a pause, or open a parked or broken webhook; what waits is due at once
    Resume {
        /// The tenant
        tenant: Uuid,
    },
    /// Make everything due that waits for its next attempt, and send until nothing is due
    Drain {
        /// Only this tenant's waiting webhooks
        #[arg(long, value_name = "UUID")]
        tenant: Option<Uuid>,
    },
    /// Send a tenant at most so many webhooks per second
    Limit {
        /// The tenant
        tenant: Uuid,
        /// Webhooks per second; leave out for no limit
        per_second: Option<f64>,
    },
    /// Make a new secret to sign a tenant's webhooks with; the one before signs along
    RotateSecret {
        /// The tenant
        tenant: Uuid,
    },
    /// End the rotation: the previous secret signs no more
    RetireSecret {
        /// The tenant
        tenant: Uuid,
        /// Sign nothing any more
        #[arg(long)]
        all: bool,
    },
}

impl Action {
    /// The statement, which answers one JSON value a row, and its parameters.
    fn statement(&self) -> (&'static str, Params<'_>) {
        match self {
            Self::List { all } => (
                "select to_jsonb(x) from public.list_webhook_endpoints(not $1, 10000) x",
                vec![(all, Type::BOOL)],
            ),
            Self::Blocked { tenant } => (
                "select to_jsonb(x) from public.list_blocked_webhooks($1, 10000) x",
                vec![(tenant, Type::UUID)],
            ),
            Self::Replay { entry } => (
                "select jsonb_build_object('replayed', public.replay_webhook($1))",
                vec![(entry, Type::UUID)],
            ),
            Self::ReplaySince { time, tenant } => (
                "select jsonb_build_object('replayed', public.replay_webhooks_since($1, $2))",
                vec![(time, Type::TIMESTAMPTZ), (tenant, Type::UUID)],
            ),
            Self::Skip { entry, reason } => (
                "select jsonb_build_object('skipped', public.skip_webhook($1, $2))",
                vec![(entry, Type::UUID), (reason, Type::TEXT)],
            ),
            Self::Pause { tenant } => (
                "select jsonb_build_object('paused', public.pause_webhooks($1))",
                vec![(tenant, Type::UUID)],
            ),
            Self::Resume { tenant } => (
                "select jsonb_build_object('resumed', public.resume_webhooks($1))",
                vec![(tenant, Type::UUID)],
            ),
            Self::Drain { tenant } => (
                "select jsonb_build_object('tickets', public.drain_webhooks($1))",
                vec![(tenant, Type::UUID)],
            ),
            Self::Limit { tenant, per_second } => (
                "select jsonb_build_object('limited', public.limit_webhooks($1, $2))",
                vec![(tenant, Type::UUID), (per_second, Type::FLOAT8)],
            ),
            Self::RotateSecret { tenant } => (
                "select jsonb_build_object('secret', public.rotate_webhook_secret($1))",
                vec![(tenant, Type::UUID)],
            ),
            Self::RetireSecret { tenant, all } => (
                "select jsonb_build_object('retired', public.retire_webhook_secret($1, $2))",
                vec![(tenant, Type::UUID), (all, Type::BOOL)],
            ),
        }
    }
}

/// Runs one verb as the database's owner. One that found nothing to act on is a failure.
pub(super) async fn run(flags: Flags, action: Action) -> Result<(), VerbError> {
    let env = Env::from_process();
    let settings = Settings::load(&flags, &env)?;
    telemetry::init(&env)?;
    let (owner, server) = database::owner(&settings.database).await?;
    let rows = async {
        let client = owner.connect().await?;
        let (sql, params) = action.statement();
        let rows = client
            .query_typed(sql, &params)
            .await
            .map_err(VerbError::Webhooks)?;
        Ok::<Vec<Value>, VerbError>(rows.iter().map(|row| row.get(0)).collect())
    }
    .await;
    if let Some(server) = server {
        server.stop().await;
    }
    let rows = rows?;
    for row in &rows {
        writeln!(std::io::stdout(), "{row}")?;
    }
    let in_vain = rows
        .iter()
        .filter_map(Value::as_object)
        .any(|row| row.len() == 1 && row.values().any(|value| value == false));
    if in_vain {
        return Err(VerbError::NothingToDo);
    }
    if matches!(action, Action::Drain { .. }) {
        super::verbs::send_all(&settings).await?;
    }
    Ok(())
}
