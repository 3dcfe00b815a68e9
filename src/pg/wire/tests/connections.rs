//! Connections: how they are opened, shared and lost.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::pg::tls::tests::Server;

#[tokio::test]
async fn a_lost_backend_is_told_and_replaced() {
    let fixture = Fixture::new().await;
    let mut lease = fixture.lease().await;
    let error = lease
        .run(&[step("select pg_terminate_backend(pg_backend_pid())", &[])])
        .await
        .unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    lease.done();
    fixture.assert_clean().await;
    // One that was lost while it rested costs nobody a request.
    let pid = fixture.one(PID).await;
    let kill = "select pg_terminate_backend($1::text::int)";
    fixture.owner.execute(kill, &[&pid]).await.unwrap();
    fixture.assert_gone(&pid).await;
    fixture.assert_clean().await;
}

#[tokio::test]
async fn an_exhausted_pool_times_out_and_recovers() {
    let fixture = Fixture::new().await;
    let lease = fixture.lease().await;
    assert!(matches!(
        fixture.pool.get().await.err(),
        Some(LeaseError::Timeout { .. })
    ));
    lease.done();
    fixture.assert_clean().await;
    fixture.pool.close_idle(Duration::ZERO, Duration::from_secs(60));
    assert_eq!(fixture.pool.status().size, 0);
    fixture.pool.close();
    assert!(matches!(fixture.pool.get().await.err(), Some(LeaseError::Closed)));
}

#[tokio::test]
async fn a_database_that_is_down_is_named_without_the_password() {
    let target = Target::parse("postgres://u:hush@127.0.0.1:1/d").unwrap();
    let refusal = Pool::new(&target, settings()).unwrap().get().await.err().unwrap();
    assert_eq!(refusal.to_string(), "connecting to u@127.0.0.1:1/d");
    assert!(!format!("{refusal:?}").contains("hush"));
}

#[tokio::test]
async fn a_password_is_put_to_the_test() {
    let target = test_cluster::shared().database().await;
    let owner = target.connect().await.unwrap();
    owner
        .batch_execute("create role \"Wire Scram\" login password 'right'")
        .await
        .unwrap();
    for (password, expected) in [("right", None), ("wrong", Some("28P01"))] {
        let pool = Pool::new(&target.with_login("Wire Scram", password), settings()).unwrap();
        let refused = match pool.get().await {
            Ok(lease) => {
                lease.done();
                None
            }
            Err(LeaseError::Open {
                source: WireError::Refused(refusal),
                ..
            }) => Some(refusal.code),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(refused.as_deref(), expected);
    }
}

#[tokio::test]
async fn sessions_are_encrypted_bound_to_the_channel_and_held_to_the_mode() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["db.test".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let server = Server::start(&certificate, &key);
    let root = server.file("root.crt", &certificate);
    let owner = server.cluster.target("postgres").connect().await.unwrap();
    owner
        .batch_execute("create role \"U\" login password 'p'")
        .await
        .unwrap();
    let connect = async |host: &str, parameters: &str| {
        let place = format!("host={host} hostaddr=127.0.0.1 port={}", server.port);
        let text = format!("{place} user=U password=p dbname=postgres {parameters}");
        let mut lease = Pool::new(&Target::parse(&text).unwrap(), settings())
            .unwrap()
            .get()
            .await?;
        let ssl = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        let replies = lease.run(&[step(ssl, &[])]).await.unwrap();
        lease.done();
        Ok::<_, LeaseError>(value(&replies, 0, 0))
    };
    for (parameters, expected) in [
        ("sslmode=disable".to_owned(), "false"),
        ("sslmode=prefer channel_binding=disable".to_owned(), "true"),
        ("sslmode=require channel_binding=require".to_owned(), "true"),
        (
            format!("sslmode=verify-full sslrootcert={root} channel_binding=require"),
            "true",
        ),
    ] {
        assert_eq!(
            connect("db.test", &parameters).await.unwrap(),
            expected,
            "{parameters}"
        );
    }
    let refused = connect("other.test", &format!("sslmode=verify-full sslrootcert={root}"))
        .await
        .unwrap_err();
    assert!(
        crate::error::chain(&refused).contains("not valid for name"),
        "{refused:?}"
    );
    let refused = connect("db.test", "sslmode=disable channel_binding=require")
        .await
        .unwrap_err();
    assert!(
        crate::error::chain(&refused).contains("channel binding"),
        "{refused:?}"
    );
}
