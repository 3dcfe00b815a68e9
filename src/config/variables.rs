//! The variables of the environment in words: what the help text lists.

/// Variables of one subject, for the help text.
pub struct Section {
    /// The subject.
    pub title: &'static str,
    /// Name, default and meaning of each.
    pub variables: &'static [(&'static str, &'static str, &'static str)],
}

/// Where the database is.
pub const DATABASE: Section = Section {
    title: "Database",
    variables: &[
        (
            "DATABASE_URL, SUPABASE_DB_URL",
            "embedded",
            "the owner's PostgreSQL URL (sslmode up to verify-full)",
        ),
        (
            "DROPWIRE_DB_LOGIN_URL",
            "made by Dropwire",
            "URL of the role that requests run as",
        ),
        (
            "DROPWIRE_DB_TRANSACTION_POOLER",
            "false",
            "true behind PgBouncer/Supavisor in transaction mode",
        ),
        (
            "DROPWIRE_DB_POOL_SIZE",
            "20",
            "connections for requests, half of them for /rest/v1",
        ),
        (
            "DROPWIRE_DB_POOL_TIMEOUT_MS",
            "10000",
            "longest wait for a free connection",
        ),
        (
            "DROPWIRE_MIGRATE",
            "false",
            "apply pending migrations when serving DATABASE_URL",
        ),
        (
            "DROPWIRE_DATA_DIR",
            "see --data-dir",
            "directory of the embedded database",
        ),
        (
            "DROPWIRE_POSTGRES_BIN",
            "searched",
            "directory with initdb and postgres",
        ),
    ],
};

/// Where to listen, and what clients call us.
pub const SERVER: Section = Section {
    title: "Server",
    variables: &[
        ("DROPWIRE_LISTEN", "127.0.0.1:54321", "address to listen on"),
        (
            "DROPWIRE_WORKER_THREADS",
            "half the cores",
            "threads that serve requests; more where PostgreSQL runs on another machine",
        ),
        (
            "DROPWIRE_HTTP_HEAD_TIMEOUT_MS",
            "10000",
            "time for a request's head to arrive",
        ),
        (
            "DROPWIRE_HTTP_BODY_TIMEOUT_MS",
            "30000",
            "time for a request's body to arrive",
        ),
        (
            "DROPWIRE_REST_BODY_MAX_BYTES",
            "52428800",
            "bytes that a body may have below /rest/v1",
        ),
        ("SUPABASE_URL", "http://LISTEN", "the base URL that clients use"),
    ],
};

/// The project's keys.
pub const KEYS: Section = Section {
    title: "Keys",
    variables: &[
        (
            "SUPABASE_JWT_SECRET, JWT_SECRET",
            "kept in the data directory",
            "HS256 secret, at least 32 characters",
        ),
        (
            "SUPABASE_ANON_KEY, SUPABASE_SERVICE_ROLE_KEY",
            "signed by the secret",
            "legacy keys to accept as they are",
        ),
        (
            "SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY",
            "none",
            "sb_… keys to accept; …_KEYS takes {\"name\":\"key\"}",
        ),
    ],
};

/// PostgREST's settings, and ours beside them.
pub const REST: Section = Section {
    title: "/rest/v1 (PostgREST's names; in brackets Supabase's default, then --rest-only's)",
    variables: &[
        (
            "PGRST_DB_URI",
            "DATABASE_URL",
            "with --rest-only: URL of the role that requests log in as",
        ),
        ("PGRST_DB_SCHEMAS", "public", "exposed schemas, joined by commas"),
        (
            "PGRST_DB_EXTRA_SEARCH_PATH",
            "public, extensions; public",
            "schemas added to the search path",
        ),
        (
            "PGRST_DB_ANON_ROLE",
            "anon; none",
            "role of requests without a token",
        ),
        ("PGRST_DB_MAX_ROWS", "1000; none", "rows per answer at most"),
        (
            "PGRST_DB_POOL",
            "DROPWIRE_DB_POOL_SIZE; 10",
            "connections, with --rest-only",
        ),
        (
            "PGRST_DB_TX_END",
            "commit",
            "commit or rollback, with -allow-override",
        ),
        (
            "PGRST_DB_PRE_REQUEST",
            "none",
            "function that is run before each request",
        ),
        (
            "PGRST_DB_AGGREGATES_ENABLED, PGRST_DB_PLAN_ENABLED",
            "false",
            "aggregates; plans as answers",
        ),
        (
            "PGRST_DB_CONFIG, PGRST_DB_PRE_CONFIG",
            "true; none",
            "settings in the database; a function that makes them",
        ),
        (
            "PGRST_DB_CHANNEL",
            "pgrst",
            "channel on which reloads are asked for",
        ),
        (
            "PGRST_JWT_SECRET",
            "none",
            "secret, JWK or JWK set, or @file; beside SUPABASE_JWT_SECRET on Supabase's surface",
        ),
        (
            "PGRST_JWT_AUD, PGRST_JWT_ROLE_CLAIM_KEY",
            "none; $.role",
            "audience that tokens must name; where they name the role",
        ),
        (
            "PGRST_OPENAPI_MODE",
            "follow-privileges",
            "what the root tells: follow-privileges, ignore-privileges, disabled",
        ),
        (
            "PGRST_SERVER_HOST, PGRST_SERVER_PORT",
            "0.0.0.0, 3000",
            "where --rest-only listens without --listen",
        ),
        (
            "PGRST_ADMIN_SERVER_HOST, PGRST_ADMIN_SERVER_PORT",
            "PGRST_SERVER_HOST, none",
            "where --rest-only has /live and /ready",
        ),
        (
            "PGRST_…",
            "PostgREST's",
            "every other setting of PostgREST 16, by its own name",
        ),
        (
            "DROPWIRE_REST_ALLOW_UNFILTERED_WRITES",
            "false",
            "take PATCH and DELETE without a filter on Supabase's surface too",
        ),
        (
            "DROPWIRE_REST_OPENAPI_FOR_ANON",
            "false",
            "show the OpenAPI root to anon on Supabase's surface too",
        ),
    ],
};

/// Outgoing webhooks.
pub const WEBHOOKS: Section = Section {
    title: "Webhooks",
    variables: &[
        (
            "TICKET_ACTIVITY_WEBHOOK_BATCH",
            "10",
            "entries per call of the dispatcher route",
        ),
        (
            "TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS",
            "10000",
            "time for one attempt",
        ),
        (
            "TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS",
            "3600000",
            "cap of the backoff (30 s, doubling)",
        ),
        (
            "TICKET_ACTIVITY_WEBHOOK_BUDGET_MS",
            "0",
            "time for one call of the dispatcher route, batch after batch; 0 is one batch",
        ),
        (
            "DROPWIRE_WEBHOOK_CONCURRENCY",
            "256",
            "deliveries under way at once",
        ),
        (
            "DROPWIRE_WEBHOOK_ENDPOINT_CONCURRENCY",
            "8",
            "deliveries under way at once to one tenant's webhook",
        ),
        (
            "DROPWIRE_WEBHOOK_BREAKER_FAILURES",
            "10",
            "failures in a row after which a webhook is only probed, once per step of the backoff",
        ),
        (
            "DROPWIRE_WEBHOOK_LEASE_MARGIN_MS",
            "5000",
            "how long after an attempt's time another dispatcher takes over",
        ),
        (
            "DROPWIRE_WEBHOOK_RETENTION_DAYS",
            "30",
            "how long delivered webhooks and their attempts are kept; 0 is for ever",
        ),
        (
            "DROPWIRE_WEBHOOK_ALLOW_PRIVATE",
            "false",
            "allow http and private addresses, for tests",
        ),
        (
            "DROPWIRE_DISPATCH_POLL_MS",
            "1000",
            "how often the built-in dispatcher looks when nobody wakes it",
        ),
        (
            "DROPWIRE_NO_DISPATCH",
            "false",
            "no built-in dispatcher, as --no-dispatch",
        ),
        (
            "DROPWIRE_DISPATCH_REQUIRE_SERVICE_ROLE",
            "false",
            "the dispatcher route takes the service_role key only",
        ),
    ],
};

/// The onboarding calls to and from Make.
pub const ONBOARDING: Section = Section {
    title: "Onboarding",
    variables: &[
        (
            "MAKE_USER_ONBOARDING_WEBHOOK_URL",
            "none",
            "Make's hook for onboarding requests",
        ),
        (
            "MAKE_ONBOARDING_CALLBACK_TOKEN",
            "service_role key",
            "bearer token of the onboarding callback",
        ),
        (
            "DROPWIRE_ONBOARDING_TIMEOUT_MS",
            "10000",
            "time for Make to answer an onboarding request",
        ),
    ],
};

/// The executors' bot.
pub const TELEGRAM: Section = Section {
    title: "Telegram",
    variables: &[
        ("TELEGRAM_BOT_TOKEN", "none", "token of the executors' bot"),
        (
            "DROPWIRE_TELEGRAM_WEBHOOK_SECRET",
            "none",
            "setWebhook's secret_token; without it anybody can send updates",
        ),
        (
            "DROPWIRE_TELEGRAM_API_URL",
            "https://api.telegram.org",
            "base URL of a Bot API server of your own",
        ),
        (
            "DROPWIRE_TELEGRAM_TIMEOUT_MS",
            "10000",
            "time for Telegram to answer a call",
        ),
    ],
};

/// The log.
pub const LOGS: Section = Section {
    title: "Logs",
    variables: &[
        ("DROPWIRE_LOG", "info", "log filter, as tracing's EnvFilter"),
        (
            "DROPWIRE_LOG_FORMAT",
            "text on a terminal, else json",
            "text or json",
        ),
    ],
};
