use super::*;
use crate::pg::connect::Target;
use crate::pg::test_cluster;
use crate::schema_cache::name::quoted;

/// A database with a login role of its own, which is no superuser; both have its name as a suffix, since roles are
/// the whole cluster's.
async fn database(arrange: &str) -> (Client, Client, String) {
    let target = test_cluster::shared().database().await;
    let owner = target.connect().await.unwrap();
    let suffix = target.database().unwrap().to_owned();
    let roles = "create role \"Login @\" login noinherit password 'x'; create role \"anon @\"; create role \"other @\";
         grant \"anon @\" to \"Login @\";";
    for statements in [roles, arrange] {
        owner
            .batch_execute(&statements.replace('@', &suffix.replace('"', "\"\"")))
            .await
            .unwrap();
    }
    let login: Target = target.with_login(&format!("Login {suffix}"), "x");
    (login.connect().await.unwrap(), owner, suffix)
}

fn pairs(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn settings_of_the_login_role_are_read_and_this_databases_win() {
    let (mut login, _owner, _) = database(
        r#"alter role "Login @" set pgrst.db_max_rows = '500';
           alter role "Login @" set pgrst.db_schemas = 'a=b, c';
           alter role "Login @" in database "@" set pgrst.db_max_rows = '100';
           alter role "Login @" in database postgres set pgrst.jwt_aud = 'elsewhere';
           alter role "Login @" set pgrst.db_pool = '9';
           alter role "Login @" set pgrst.db_extra_search_path = '';
           alter role "anon @" set pgrst.jwt_aud = 'not the login role';
           alter database "@" set pgrst.openapi_mode = 'disabled'"#,
    )
    .await;
    let read = read(&mut login, None, None).await.unwrap();
    let expected = [
        ("db_extra_search_path", ""),
        ("db_max_rows", "100"),
        ("db_schemas", "a=b, c"),
    ];
    assert_eq!(read.settings, pairs(&expected));
}

#[tokio::test]
async fn another_role_and_a_function_fill_in_what_is_left() {
    let (mut login, _owner, suffix) = database(
        r#"alter role "Login @" set pgrst.db_max_rows = '1';
           alter role "other @" set pgrst.db_max_rows = '2';
           alter role "other @" set pgrst.jwt_aud = 'two';
           alter role "other @" in database "@" set pgrst.db_tx_end = 'rollback';
           create schema "Conf";
           grant usage on schema "Conf" to "Login @";
           create function "Conf"."pre config"() returns void language sql as $$
             select set_config('pgrst.db_max_rows', '3', true), set_config('pgrst.jwt_aud', 'three', true),
                    set_config('pgrst.db_anon_role', 'four', true), set_config('pgrst.unknown', 'x', true)
           $$"#,
    )
    .await;
    let other = format!("other {suffix}");
    let second = read(&mut login, None, Some(&other)).await.unwrap();
    let expected = [
        ("db_max_rows", "1"),
        ("db_tx_end", "rollback"),
        ("jwt_aud", "two"),
    ];
    assert_eq!(second.settings, pairs(&expected));
    let function = QualifiedName::new("Conf", "pre config");
    // The second time too, when the session remembers names that have no value any more.
    for _ in 0..2 {
        let configured = read(&mut login, Some(&function), Some(&other)).await.unwrap();
        let expected = [
            ("db_anon_role", "four"),
            ("db_max_rows", "1"),
            ("db_tx_end", "rollback"),
            ("jwt_aud", "two"),
        ];
        assert_eq!(configured.settings, pairs(&expected));
    }
    let missing = QualifiedName::bare("nowhere");
    let error = read(&mut login, Some(&missing), None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "reading settings by the function of db-pre-config from the database"
    );
}

#[tokio::test]
async fn settings_of_roles_are_read_where_the_login_role_may_set_them() {
    let (mut login, owner, suffix) = database(
        r#"alter role "anon @" set statement_timeout = '3s';
           alter role "anon @" set default_transaction_isolation = 'REPEATABLE READ';
           alter role "anon @" set log_min_duration_statement = '5';
           alter role "anon @" set app.unknown = 'x';
           alter role "other @" set statement_timeout = '4s'"#,
    )
    .await;
    let (anon, other) = (format!("anon {suffix}"), format!("other {suffix}"));
    let roles = read(&mut login, None, None).await.unwrap().roles;
    let settings = roles.get(&anon).unwrap();
    assert_eq!(settings.settings.to_vec(), pairs(&[("statement_timeout", "3s")]));
    assert_eq!(settings.isolation.as_deref(), Some("repeatable read"));
    assert_eq!(roles.get(&other), None);

    let version: i32 = owner
        .query_typed_one("select current_setting('server_version_num')::int4", &[])
        .await
        .unwrap()
        .get(0);
    if version >= PARAMETER_GRANTS {
        let login_role = quoted(&format!("Login {suffix}"));
        let grant = format!("grant set on parameter log_min_duration_statement to {login_role}");
        owner.batch_execute(&grant).await.unwrap();
        let roles = read(&mut login, None, None).await.unwrap().roles;
        let expected = pairs(&[("log_min_duration_statement", "5"), ("statement_timeout", "3s")]);
        assert_eq!(roles.get(&anon).unwrap().settings.to_vec(), expected);
    }
}
