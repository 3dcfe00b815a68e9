//! The role that requests log in as.
//!
//! Migrations run as the owner; requests must not, since one forgotten `set role` would then be a superuser's
//! statement. Each database gets a login role of its own that can become `anon`, `authenticated` or `service_role`,
//! has none of their rights before it does, and may call what `service_role` may call in schema `dropwire`.

use tokio_postgres::{Client, Error, IsolationLevel, error::SqlState, types::Type};

use super::{
    connect::{ConnectError, Target},
    migrate::SETUP_LOCK,
};

/// Why requests cannot log in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The owner's login, or the finished login role's, does not work.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The owner cannot prepare the role.
    #[error(
        "preparing the login role: {doing}; the owner needs the right to create roles and to grant anon, \
         authenticated and service_role, which migrations create"
    )]
    Prepare {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        source: Error,
    },
}

/// Makes sure that this database has its login role and answers where and how to log in as it.
///
/// `target` is the owner's. Repeating it changes nothing; replicas may do it at once. Name and password are kept in
/// `dropwire.login_role`, which only the owner reads; the password is made on first use and set again only when it
/// is refused. Renaming the database leads to a new role.
pub async fn ensure(target: &Target) -> Result<Target, LoginError> {
    let mut owner = target.connect().await?;
    let login = prepare(&mut owner, target).await?;
    match login.connect().await {
        Ok(_works) => return Ok(login),
        Err(error) if is_refused(&error) => {}
        Err(error) => return Err(error.into()),
    }
    tracing::warn!("the login role's password was refused; setting it again");
    owner
        .batch_execute(include_str!("../../sql/login/password.sql"))
        .await
        .map_err(during("setting its password"))?;
    login.connect().await?;
    Ok(login)
}

async fn prepare(owner: &mut Client, target: &Target) -> Result<Target, LoginError> {
    let transaction = owner
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .start()
        .await
        .map_err(during("beginning a transaction"))?;
    transaction
        .execute_typed("select pg_advisory_xact_lock($1)", &[(&SETUP_LOCK, Type::INT8)])
        .await
        .map_err(during("waiting for other processes that set the database up"))?;
    transaction
        .batch_execute(include_str!("../../sql/login/table.sql"))
        .await
        .map_err(during("creating dropwire.login_role"))?;
    transaction
        .batch_execute(include_str!("../../sql/login/role.sql"))
        .await
        .map_err(during("creating the role"))?;
    let row = transaction
        .query_typed_one(
            "select role_name, password, session_user::text from dropwire.login_role",
            &[],
        )
        .await
        .map_err(during("reading dropwire.login_role"))?;
    transaction.commit().await.map_err(during("committing"))?;
    let (role, password, owner_role): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
    Ok(target.with_login(&format!("{role}{}", pooler_suffix(target, owner_role)), password))
}

/// Finds what a pooler wants after the role's name: Supavisor tells projects apart by it, as in `postgres.abcdef`.
fn pooler_suffix<'a>(target: &'a Target, role: &str) -> &'a str {
    let suffix = target.user().and_then(|user| user.strip_prefix(role));
    suffix
        .filter(|suffix| suffix.starts_with('.'))
        .unwrap_or_default()
}

/// Tells whether the server knows the place but not this password: 28P01, or 28000 where it does not say so.
fn is_refused(error: &ConnectError) -> bool {
    let ConnectError::Open { source, .. } = error else {
        return false;
    };
    source.code().is_some_and(|code| {
        [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        ]
        .contains(code)
    })
}

fn during(doing: &'static str) -> impl Fn(Error) -> LoginError {
    move |source| LoginError::Prepare { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::test_cluster;

    const SCHEMA: &str = r#"
        create schema dropwire;
        grant usage on schema dropwire to service_role;
        create table secrets (a int);
        grant select on secrets to anon, authenticated, service_role;
        create function dropwire."Odd name"(text, int[]) returns int language sql as 'select 1';
        create function dropwire.internal() returns int language sql as 'select 2';
        revoke execute on all functions in schema dropwire from public;
        grant execute on function dropwire."Odd name" to service_role"#;

    async fn database() -> (Target, Client) {
        let target = test_cluster::shared().database().await;
        let owner = target.connect().await.unwrap();
        owner.batch_execute(test_cluster::ROLES).await.unwrap();
        owner.batch_execute(SCHEMA).await.unwrap();
        (target, owner)
    }

    async fn scalar(client: &Client, sql: &str) -> String {
        client.query_typed_one(sql, &[]).await.unwrap().get(0)
    }

    async fn code(client: &Client, sql: &str) -> String {
        client
            .batch_execute(sql)
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code()
            .to_owned()
    }

    #[tokio::test]
    async fn the_login_role_becomes_the_three_roles_and_nothing_else() {
        let (target, _owner) = database().await;
        let login = ensure(&target).await.unwrap();
        let client = login.connect().await.unwrap();
        let expected = format!("dropwire_{}", target.database().unwrap());
        assert_eq!(scalar(&client, "select session_user::text").await, expected);
        assert_eq!(scalar(&client, "show is_superuser").await, "off");
        assert_eq!(code(&client, "select * from secrets").await, "42501");
        assert_eq!(code(&client, "select * from dropwire.login_role").await, "42501");
        for role in ["anon", "authenticated", "service_role"] {
            client
                .batch_execute(&format!("set role {role}; select * from secrets"))
                .await
                .unwrap();
            assert_eq!(code(&client, "select * from dropwire.login_role").await, "42501");
            client.batch_execute("reset role").await.unwrap();
        }
        for role in ["postgres", "pg_monitor"] {
            assert_eq!(code(&client, &format!("set role {role}")).await, "42501");
        }
    }

    #[tokio::test]
    async fn it_calls_what_service_role_may_call_and_no_more() {
        let (target, owner) = database().await;
        let client = ensure(&target).await.unwrap().connect().await.unwrap();
        client
            .batch_execute(r#"select dropwire."Odd name"('', '{}')"#)
            .await
            .unwrap();
        assert_eq!(code(&client, "select dropwire.internal()").await, "42501");

        let changes = r#"grant execute on function dropwire.internal to service_role;
                         revoke execute on function dropwire."Odd name" from service_role"#;
        owner.batch_execute(changes).await.unwrap();
        ensure(&target).await.unwrap();
        client.batch_execute("select dropwire.internal()").await.unwrap();
        assert_eq!(
            code(&client, r#"select dropwire."Odd name"('', '{}')"#).await,
            "42501"
        );
    }

    #[tokio::test]
    async fn replicas_that_start_together_get_one_login() {
        let (target, _owner) = database().await;
        let (one, other) = tokio::join!(ensure(&target), ensure(&target));
        one.unwrap().connect().await.unwrap();
        other.unwrap().connect().await.unwrap();
        ensure(&target).await.unwrap();
    }

    #[tokio::test]
    async fn a_password_that_no_longer_works_is_set_again() {
        let (target, owner) = database().await;
        let login = ensure(&target).await.unwrap();
        let change = "do $$ begin
            execute format('alter role %I password null', (select role_name from dropwire.login_role));
        end $$";
        owner.batch_execute(change).await.unwrap();
        assert!(login.connect().await.is_err());
        ensure(&target).await.unwrap();
        login.connect().await.unwrap();
    }

    #[tokio::test]
    async fn a_copied_database_gets_a_login_of_its_own() {
        let (target, owner) = database().await;
        let login = ensure(&target).await.unwrap();
        drop(owner);
        // With the prefix longer than a role's name may be, and alike up to the last letter.
        let long = |last: &str| format!("{}{last}", "ä".repeat(30));
        let cluster = test_cluster::shared();
        let one = cluster.copy(target.database().unwrap(), &long("1")).await;
        let other = cluster.copy(target.database().unwrap(), &long("2")).await;
        let logins = [ensure(&one).await.unwrap(), ensure(&other).await.unwrap()];
        assert_ne!(logins[0].user(), logins[1].user());
        for login in logins.iter().chain([&login]) {
            let client = login.connect().await.unwrap();
            let database = scalar(&client, "select current_database()::text").await;
            assert_eq!(Some(database.as_str()), login.database());
        }
    }

    #[tokio::test]
    async fn an_owner_that_is_no_superuser_can_prepare_it() {
        let target = test_cluster::shared().database().await;
        let superuser = target.connect().await.unwrap();
        superuser.batch_execute(test_cluster::ROLES).await.unwrap();
        let create = r#"
            create role "The Owner" login createrole password 'owner';
            grant anon, authenticated, service_role to "The Owner" with admin option;
            do $$ begin
                execute format('alter database %I owner to "The Owner"', current_database());
                execute 'alter schema public owner to "The Owner"';
            end $$"#;
        superuser.batch_execute(create).await.unwrap();
        let target = target.with_login("The Owner", "owner");
        target
            .connect()
            .await
            .unwrap()
            .batch_execute(SCHEMA)
            .await
            .unwrap();
        let client = ensure(&target).await.unwrap().connect().await.unwrap();
        assert_eq!(code(&client, r#"set role "The Owner""#).await, "42501");
        client.batch_execute("set role service_role").await.unwrap();
    }

    #[tokio::test]
    async fn a_role_that_is_more_than_a_login_is_refused() {
        let (target, owner) = database().await;
        let create = "do $$ begin
            execute format('create role %I superuser', 'dropwire_' || current_database());
        end $$";
        owner.batch_execute(create).await.unwrap();
        let error = ensure(&target).await.unwrap_err();
        assert!(
            matches!(
                error,
                LoginError::Prepare {
                    doing: "creating the role",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_pooler_suffix_follows_the_role() {
        let suffix = |url: &str| pooler_suffix(&Target::parse(url).unwrap(), "postgres").to_owned();
        assert_eq!(suffix("postgres://postgres.abcdef@h/d"), ".abcdef");
        assert_eq!(suffix("postgres://postgres@h/d"), "");
        assert_eq!(suffix("postgres://h/d"), "");
    }
}
