//! PostgREST's settings, as `PGRST_…` variables name them.

use crate::schema_cache::QualifiedName;

/// What requests depend on. How it is read from flags, environment and database is in this file's parent's charge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of PostgREST's own"
)]
pub struct RestSettings {
    /// `db-schemas`: exposed schemas, the first is the default.
    pub schemas: Vec<String>,
    /// `db-extra-search-path`
    pub extra_search_path: Vec<String>,
    /// `db-anon-role`: the role of requests without a token.
    pub anon_role: Option<String>,
    /// `db-max-rows`
    pub max_rows: Option<i64>,
    /// `db-pre-request`
    pub pre_request: Option<QualifiedName>,
    /// `db-root-spec`: a function that answers the root.
    pub root_spec: Option<QualifiedName>,
    /// `db-aggregates-enabled`
    pub aggregates: bool,
    /// `db-plan-enabled`
    pub plan: bool,
    /// `db-tx-end`: whether transactions are rolled back.
    pub tx_rollback: bool,
    /// `db-tx-end`: whether `Prefer: tx=` may choose.
    pub tx_allow_override: bool,
    /// `db-hoisted-tx-settings`
    pub hoisted_tx_settings: Vec<String>,
    /// `app.settings.*`
    pub app_settings: Vec<(String, String)>,
    /// `openapi-mode`
    pub openapi_mode: OpenApiMode,
    /// `openapi-security-active`
    pub openapi_security: bool,
    /// `openapi-server-proxy-uri`
    pub openapi_proxy_uri: Option<String>,
    /// `server-timing-enabled`
    pub server_timing: bool,
    /// `server-trace-header`
    pub trace_header: Option<String>,
    /// `server-cors-allowed-origins`; None is any.
    pub cors_origins: Option<Vec<String>>,
    /// `url-use-legacy-target-names`: an embed with an alias may be named by its relation, with a `Warning`.
    pub legacy_target_names: bool,
    /// `client-error-verbosity`: whether details and hints are told.
    pub verbose_errors: bool,
    /// Supabase loads pg-safeupdate: PATCH and DELETE without a filter are refused.
    pub refuse_unfiltered_writes: bool,
    /// Whether anonymous callers may read the root.
    pub openapi_for_anon: bool,
}

/// What the root tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenApiMode {
    /// What the role may use.
    FollowPrivileges,
    /// Everything.
    IgnorePrivileges,
    /// Nothing.
    Disabled,
}

impl Default for RestSettings {
    /// PostgREST's defaults.
    fn default() -> Self {
        Self {
            schemas: vec!["public".to_owned()],
            extra_search_path: vec!["public".to_owned()],
            anon_role: None,
            max_rows: None,
            pre_request: None,
            root_spec: None,
            aggregates: false,
            plan: false,
            tx_rollback: false,
            tx_allow_override: false,
            hoisted_tx_settings: [
                "statement_timeout",
                "plan_filter.statement_cost_limit",
                "default_transaction_isolation",
            ]
            .map(str::to_owned)
            .to_vec(),
            app_settings: Vec::new(),
            openapi_mode: OpenApiMode::FollowPrivileges,
            openapi_security: false,
            openapi_proxy_uri: None,
            server_timing: false,
            trace_header: None,
            cors_origins: None,
            legacy_target_names: true,
            verbose_errors: true,
            refuse_unfiltered_writes: false,
            openapi_for_anon: true,
        }
    }
}
