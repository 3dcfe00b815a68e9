use super::*;
use crate::config::Env;
use crate::rest::settings::dump;
use crate::schema_cache::QualifiedName;

fn load_on(
    surface: Surface,
    variables: &[(&str, &str)],
    database: &[(&str, &str)],
) -> Result<RestConfig, ConfigError> {
    let env = RestEnv::load(&Env::from_pairs(variables)).unwrap();
    let database: Vec<_> = database
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    RestConfig::load(&env, &database, surface)
}

fn load(variables: &[(&str, &str)]) -> Result<RestConfig, ConfigError> {
    load_on(Surface::Postgrest, variables, &[])
}

fn refusal(name: &str, value: &str) -> String {
    match load(&[(name, value)]) {
        Ok(_) => panic!("{name}={value} is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn defaults_are_postgrests() {
    let defaults = "\
admin-server-host = \"!4\"
admin-server-port = \"\"
client-error-verbosity = \"verbose\"
db-aggregates-enabled = false
db-anon-role = \"\"
db-channel = \"pgrst\"
db-channel-enabled = true
db-config = true
db-extra-search-path = \"public\"
db-hoisted-tx-settings = \"statement_timeout,plan_filter.statement_cost_limit,default_transaction_isolation\"
db-max-rows = \"\"
db-plan-enabled = false
db-pool = 10
db-pool-acquisition-timeout = 10
db-pool-automatic-recovery = true
db-pool-max-idletime = 30
db-pool-max-lifetime = 1800
db-pre-config = \"\"
db-pre-request = \"\"
db-prepared-statements = true
db-root-spec = \"\"
db-schemas = \"public\"
db-tx-end = \"commit\"
db-uri = \"postgresql://\"
jwt-aud = \"\"
jwt-cache-max-entries = 1000
jwt-role-claim-key = \"$$.role\"
jwt-secret = \"\"
log-level = \"error\"
log-query = false
openapi-mode = \"follow-privileges\"
openapi-security-active = false
openapi-server-proxy-uri = \"\"
server-cors-allowed-origins = \"\"
server-host = \"!4\"
server-port = 3000
server-reuseport = false
server-timing-enabled = false
server-trace-header = \"\"
url-use-legacy-target-names = true
";
    assert_eq!(dump(&load(&[]).unwrap()), defaults);
    let config = load(&[]).unwrap();
    assert!(!config.requests.refuse_unfiltered_writes && config.requests.openapi_for_anon);
}

#[test]
fn every_variable_of_postgrest_is_read() {
    let variables = [
        ("PGRST_APP_SETTINGS_test", "test"),
        ("PGRST_APP_SETTINGS_Test2", "\"x\""),
        ("PGRST_ADMIN_SERVER_HOST", "127.0.0.1"),
        ("PGRST_ADMIN_SERVER_PORT", "3001"),
        ("PGRST_CLIENT_ERROR_VERBOSITY", "minimal"),
        ("PGRST_DB_AGGREGATES_ENABLED", "true"),
        ("PGRST_DB_ANON_ROLE", "root"),
        ("PGRST_DB_CHANNEL", "postgrest"),
        ("PGRST_DB_CHANNEL_ENABLED", "false"),
        ("PGRST_DB_CONFIG", "false"),
        ("PGRST_DB_EXTRA_SEARCH_PATH", "public, test"),
        ("PGRST_DB_HOISTED_TX_SETTINGS", "work_mem"),
        ("PGRST_DB_MAX_ROWS", "1000"),
        ("PGRST_DB_PLAN_ENABLED", "true"),
        ("PGRST_DB_POOL", "1"),
        ("PGRST_DB_POOL_ACQUISITION_TIMEOUT", "30"),
        ("PGRST_DB_POOL_AUTOMATIC_RECOVERY", "false"),
        ("PGRST_DB_POOL_MAX_IDLETIME", "60"),
        ("PGRST_DB_POOL_MAX_LIFETIME", "3600"),
        ("PGRST_DB_PRE_CONFIG", "postgrest.pre_config"),
        ("PGRST_DB_PRE_REQUEST", "please_run_fast"),
        ("PGRST_DB_PREPARED_STATEMENTS", "false"),
        ("PGRST_DB_ROOT_SPEC", "openapi_v3"),
        ("PGRST_DB_SCHEMAS", "multi,   tenant,setup"),
        ("PGRST_DB_TX_END", "rollback-allow-override"),
        ("PGRST_DB_URI", "postgresql://hush"),
        ("PGRST_JWT_AUD", "https://postgrest.org"),
        ("PGRST_JWT_CACHE_MAX_ENTRIES", "86400"),
        ("PGRST_JWT_ROLE_CLAIM_KEY", "$.user[0].real_role"),
        ("PGRST_JWT_SECRET", "c2VjdXJpdHl0aHJvdWdob2JzY3VyaXR5aW5iYXNlNjQ="),
        ("PGRST_JWT_SECRET_IS_BASE64", "true"),
        ("PGRST_LOG_LEVEL", "info"),
        ("PGRST_LOG_QUERY", "true"),
        ("PGRST_OPENAPI_MODE", "ignore-privileges"),
        ("PGRST_OPENAPI_SECURITY_ACTIVE", "true"),
        ("PGRST_OPENAPI_SERVER_PROXY_URI", "https://postgrest.org"),
        ("PGRST_SERVER_CORS_ALLOWED_ORIGINS", "http://a.com, http://b.com"),
        ("PGRST_SERVER_HOST", "0.0.0.0"),
        ("PGRST_SERVER_PORT", "80"),
        ("PGRST_SERVER_REUSEPORT", "true"),
        ("PGRST_SERVER_TIMING_ENABLED", "true"),
        ("PGRST_SERVER_TRACE_HEADER", "X-Request-Id"),
        ("PGRST_URL_USE_LEGACY_TARGET_NAMES", "false"),
    ];
    let expected = "\
admin-server-host = \"127.0.0.1\"
admin-server-port = 3001
app.settings.Test2 = \"\\\"x\\\"\"
app.settings.test = \"test\"
client-error-verbosity = \"minimal\"
db-aggregates-enabled = true
db-anon-role = \"root\"
db-channel = \"postgrest\"
db-channel-enabled = false
db-config = false
db-extra-search-path = \"public,test\"
db-hoisted-tx-settings = \"work_mem\"
db-max-rows = 1000
db-plan-enabled = true
db-pool = 1
db-pool-acquisition-timeout = 30
db-pool-automatic-recovery = false
db-pool-max-idletime = 60
db-pool-max-lifetime = 3600
db-pre-config = \"postgrest.pre_config\"
db-pre-request = \"please_run_fast\"
db-prepared-statements = false
db-root-spec = \"openapi_v3\"
db-schemas = \"multi,tenant,setup\"
db-tx-end = \"rollback-allow-override\"
db-uri = \"***\"
jwt-aud = \"https://postgrest.org\"
jwt-cache-max-entries = 86400
jwt-role-claim-key = \"$$.user[0].real_role\"
jwt-secret = \"***\"
log-level = \"info\"
log-query = true
openapi-mode = \"ignore-privileges\"
openapi-security-active = true
openapi-server-proxy-uri = \"https://postgrest.org\"
server-cors-allowed-origins = \"http://a.com,http://b.com\"
server-host = \"0.0.0.0\"
server-port = 80
server-reuseport = true
server-timing-enabled = true
server-trace-header = \"X-Request-Id\"
url-use-legacy-target-names = false
";
    let config = load(&variables).unwrap();
    assert_eq!(dump(&config), expected);
    assert_eq!(
        config.requests.pre_request,
        Some(QualifiedName::bare("please_run_fast"))
    );
    assert_eq!(
        config.connection.pre_config,
        Some(QualifiedName::new("postgrest", "pre_config"))
    );
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn older_names_count_where_the_newer_ones_are_absent() {
    let older = load(&[
        ("PGRST_DB_SCHEMA", "api"),
        ("PGRST_MAX_ROWS", "5"),
        ("PGRST_PRE_REQUEST", "check"),
        ("PGRST_ROOT_SPEC", "root"),
        ("PGRST_ROLE_CLAIM_KEY", ".a.role"),
        ("PGRST_SECRET_IS_BASE64", "1"),
        ("PGRST_JWT_SECRET", "c2VjdXJpdHl0aHJvdWdob2JzY3VyaXR5aW5iYXNlNjQ"),
        ("PGRST_DB_POOL_TIMEOUT", "7"),
        ("PGRST_SERVER_HOST", "::1"),
    ])
    .unwrap();
    let requests = &older.requests;
    assert_eq!(
        (requests.schemas.as_slice(), requests.max_rows),
        (&["api".to_owned()][..], Some(5))
    );
    assert_eq!(requests.pre_request, Some(QualifiedName::bare("check")));
    assert_eq!(requests.root_spec, Some(QualifiedName::bare("root")));
    assert!(older.jwt.role_path.is_legacy() && older.jwt.keys.is_some());
    assert_eq!(older.connection.max_idletime, Duration::from_secs(7));
    assert_eq!(older.server.admin_host.as_deref(), Some("::1"));

    let both = load(&[("PGRST_DB_MAX_ROWS", "6"), ("PGRST_MAX_ROWS", "5")]).unwrap();
    assert_eq!(both.requests.max_rows, Some(6));
}

#[test]
fn empty_values_count_as_absent_save_for_the_search_path() {
    let config = load(&[
        ("PGRST_DB_EXTRA_SEARCH_PATH", ""),
        ("PGRST_DB_MAX_ROWS", ""),
        ("PGRST_DB_TX_END", ""),
        ("PGRST_LOG_LEVEL", " "),
        ("PGRST_DB_SCHEMAS", ""),
        ("PGRST_JWT_SECRET", ""),
    ])
    .unwrap();
    assert!(config.requests.extra_search_path.is_empty());
    assert_eq!(config.requests.schemas, ["public"]);
    assert!(config.jwt.keys.is_none());
}

#[test]
fn supabases_defaults_differ_and_give_way_to_what_is_given() {
    let defaults = load_on(Surface::Supabase, &[], &[]).unwrap().requests;
    assert_eq!(defaults.schemas, ["public"]);
    assert_eq!(defaults.extra_search_path, ["public", "extensions"]);
    assert_eq!(defaults.anon_role.as_deref(), Some("anon"));
    assert_eq!(defaults.max_rows, Some(1_000));
    assert!(defaults.refuse_unfiltered_writes && !defaults.openapi_for_anon);
    let variables = [
        ("PGRST_DB_MAX_ROWS", "50"),
        ("PGRST_DB_EXTRA_SEARCH_PATH", ""),
        ("DROPWIRE_REST_ALLOW_UNFILTERED_WRITES", "true"),
        ("DROPWIRE_REST_OPENAPI_FOR_ANON", "true"),
    ];
    let given = load_on(Surface::Supabase, &variables, &[]).unwrap().requests;
    assert_eq!(given.max_rows, Some(50));
    assert!(given.extra_search_path.is_empty());
    assert!(!given.refuse_unfiltered_writes && given.openapi_for_anon);
}

#[test]
fn the_databases_settings_win() {
    let variables = [
        ("PGRST_DB_MAX_ROWS", "50"),
        ("PGRST_DB_ANON_ROLE", "anon"),
        ("PGRST_JWT_AUD", "us"),
    ];
    let database = [
        ("db_max_rows", "500"),
        ("db_schemas", "a, b"),
        ("db_anon_role", ""),
    ];
    let config = load_on(Surface::Postgrest, &variables, &database).unwrap();
    assert_eq!(config.requests.max_rows, Some(500));
    assert_eq!(config.requests.schemas, ["a", "b"]);
    assert_eq!(config.requests.anon_role, None);
    assert_eq!(config.jwt.audience.as_deref(), Some("us"));
    let wrong = load_on(Surface::Postgrest, &[], &[("db_max_rows", "many")]).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "pgrst.db_max_rows: `many` is not allowed; allowed is a whole number from 0"
    );
}

#[test]
fn a_wrong_value_says_which_it_is_and_what_a_right_one_looks_like() {
    let cases = [
        ("PGRST_DB_MAX_ROWS", "many", "a whole number from 0"),
        ("PGRST_DB_MAX_ROWS", "-1", "a whole number from 0"),
        ("PGRST_DB_POOL", "0", "a whole number from 1"),
        ("PGRST_DB_PLAN_ENABLED", "perhaps", "true or false"),
        (
            "PGRST_DB_SCHEMAS",
            "public, pg_catalog",
            "any schemas but pg_catalog and information_schema",
        ),
        (
            "PGRST_DB_SCHEMA",
            "information_schema",
            "any schemas but pg_catalog and information_schema",
        ),
        (
            "PGRST_DB_SCHEMAS",
            ",",
            "names joined by commas, such as public, api",
        ),
        (
            "PGRST_DB_TX_END",
            "random",
            "commit, commit-allow-override, rollback or rollback-allow-override",
        ),
        (
            "PGRST_OPENAPI_MODE",
            "follow-",
            "follow-privileges, ignore-privileges or disabled",
        ),
        (
            "PGRST_OPENAPI_SERVER_PROXY_URI",
            "htp:/@@localhorst.invalid",
            "an http or https URL without query, such as https://example.com:8443/basePath",
        ),
        ("PGRST_LOG_LEVEL", "never", "crit, error, warn, info or debug"),
        ("PGRST_CLIENT_ERROR_VERBOSITY", "loud", "minimal or verbose"),
        (
            "PGRST_JWT_AUD",
            "http://%%localhorst.invalid",
            "a text without a colon, or a URI",
        ),
        ("PGRST_JWT_ROLE_CLAIM_KEY", "role.other", RolePath::ALLOWED),
        (
            "PGRST_SERVER_TRACE_HEADER",
            "a b",
            "the name of a header, such as X-Request-Id",
        ),
        ("PGRST_SERVER_PORT", "70000", "a port from 0 to 65535"),
        (
            "PGRST_ADMIN_SERVER_PORT",
            "3000",
            "another port than PGRST_SERVER_PORT",
        ),
        (
            "PGRST_SERVER_UNIX_SOCKET",
            "/tmp/x",
            "nothing: it is not supported; use PGRST_SERVER_HOST and PGRST_SERVER_PORT",
        ),
    ];
    for (name, value, allowed) in cases {
        let expected = format!("{name}: `{value}` is not allowed; allowed is {allowed}");
        assert_eq!(refusal(name, value), expected);
    }
}

#[test]
fn secrets_come_plain_in_base64_or_from_a_file_and_are_never_shown() {
    let hush = "hunter2";
    for (name, value) in [
        ("PGRST_JWT_SECRET", hush.to_owned()),
        ("PGRST_JWT_SECRET", format!(r#"{{"kty":"oct","kid":"{hush}"}}"#)),
        ("PGRST_JWT_SECRET", "@/nowhere/at/all".to_owned()),
        ("PGRST_DB_URI", "@/nowhere/at/all".to_owned()),
    ] {
        let error = refusal(name, &value);
        assert!(
            error.starts_with(&format!("{name}: `***` is not allowed")),
            "{error}"
        );
        assert!(!error.contains(hush), "{error}");
    }
    let not_base64 = load(&[
        ("PGRST_JWT_SECRET_IS_BASE64", "true"),
        ("PGRST_JWT_SECRET", "no base-64!"),
    ]);
    assert!(not_base64.unwrap_err().to_string().contains("a secret in base64"));

    let directory = std::env::temp_dir();
    let path = directory.join(format!("dropwire-secret-{}", std::process::id()));
    let in_file = format!("@{}", path.display());
    let secret = "reallyreallyreallyreallyverysafe";
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    let from_file = load(&[("PGRST_JWT_SECRET", &in_file)]).unwrap();
    std::fs::write(&path, "postgresql://u@h/d\n").unwrap();
    let uri = load(&[("PGRST_DB_URI", &in_file)]).unwrap().connection.uri;
    std::fs::remove_file(&path).unwrap();
    let plain = load(&[("PGRST_JWT_SECRET", secret)]).unwrap();
    assert_eq!(from_file.jwt.keys, plain.jwt.keys);
    assert_eq!(uri.unwrap().expose(), "postgresql://u@h/d");
    for encoded in [
        "cmVhbGx5cmVhbGx5cmVhbGx5cmVhbGx5dmVyeXNhZmU=",
        "cmVhbGx5cmVhbGx5cmVhbGx5cmVhbGx5dmVyeXNhZmU.",
        "cmVhbGx5cmVhbGx5cmVhbGx5cmVhbGx5dmVyeXNhZmU",
    ] {
        let decoded = load(&[
            ("PGRST_JWT_SECRET", encoded),
            ("PGRST_JWT_SECRET_IS_BASE64", "true"),
        ]);
        assert_eq!(decoded.unwrap().jwt.keys, plain.jwt.keys, "{encoded}");
    }
}
