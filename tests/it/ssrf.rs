//! Whatever a tenant writes into the webhook URL, nothing inside is reached: a table of addresses and tricks, each tried
//! for real against a listener on this machine. Names that change between check and connection are played in
//! `egress::tests`, with a resolver of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dropwire::egress::{Egress, EgressError, Policy};
use reqwest::header::HeaderMap;
use tokio::net::TcpListener;

/// `PORT` is the listener's.
const TRICKS: [&str; 92] = [
    // Loopback, in every spelling that anybody has got past a filter with.
    "https://127.0.0.1:PORT/",
    "https://127.0.0.2:PORT/",
    "https://127.255.255.254:PORT/",
    "https://127.1:PORT/",
    "https://127.0.1:PORT/",
    "https://2130706433:PORT/",
    "https://017700000001:PORT/",
    "https://0x7f000001:PORT/",
    "https://0x7F.0.0.1:PORT/",
    "https://0177.0.0.1:PORT/",
    "https://0177.0.0.0x1:PORT/",
    "https://0x7f.0x0.0x0.0x1:PORT/",
    "https://00000177.0.0.1:PORT/",
    "https://127.0.0.1.:PORT/",
    "https://127.0.0.1%2E:PORT/",
    "https://%31%32%37.0.0.1:PORT/",
    "https://127。0。0。1:PORT/",
    "https://127．0．0．1:PORT/",
    "https://１２７.0.0.1:PORT/",
    "https://①②⑦.0.0.1:PORT/",
    "https://0:PORT/",
    "https://0.0.0.0:PORT/",
    "https://00:PORT/",
    "https://0x0:PORT/",
    "https://[::1]:PORT/",
    "https://[::]:PORT/",
    "https://[0:0:0:0:0:0:0:1]:PORT/",
    "https://[0000::1]:PORT/",
    "https://[::127.0.0.1]:PORT/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[::ffff:7f00:1]:PORT/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
    "https://[::FFFF:0:127.0.0.1]:PORT/",
    "https://[64:ff9b::127.0.0.1]:PORT/",
    "https://[64:ff9b:1::7f00:1]:PORT/",
    "https://[2002:7f00:1::]:PORT/",
    "https://[::1%25lo]:PORT/",
    "https://[fe80::1%25lo]:PORT/",
    "https://[fe80::1%lo]:PORT/",
    // Names of this machine.
    "https://localhost:PORT/",
    "https://LOCALHOST:PORT/",
    "https://localhost.:PORT/",
    "https://any.localhost:PORT/",
    "https://ⓛocalhost:PORT/",
    "https://local\u{ad}host:PORT/",
    "https://loc%61lhost:PORT/",
    // What looks like somebody else.
    "https://hook.eu1.make.com@127.0.0.1:PORT/",
    "https://hook.eu1.make.com:443@127.0.0.1:PORT/",
    "https://hook.eu1.make.com%40@127.0.0.1:PORT/",
    "https://127.0.0.1:PORT\\@hook.eu1.make.com/",
    "https://127.0.0.1:PORT#@hook.eu1.make.com/",
    "https://127.0.0.1:PORT?@hook.eu1.make.com/",
    "https:127.0.0.1:PORT/",
    "https:/127.0.0.1:PORT/",
    "https:\\\\127.0.0.1:PORT/",
    "https:////127.0.0.1:PORT/",
    " \t https://127.0.0.1:PORT/ \n",
    "ht\ntps://127.0.\t0.1:PORT/",
    // Private, link-local, shared, reserved.
    "https://10.0.0.1/",
    "https://10.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://3232235521/",
    "https://100.64.0.1/",
    "https://169.254.1.1/",
    "https://192.0.0.8/",
    "https://198.18.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::10.0.0.1]/",
    // Metadata services.
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://[::ffff:169.254.169.254]/",
    "https://[fd00:ec2::254]/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    // Other schemes and other protocols' ports.
    "http://127.0.0.1:PORT/",
    "ftp://127.0.0.1:PORT/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/_x",
    "unix:///var/run/docker.sock",
    "https://hook.eu1.make.com:6379@127.0.0.1:22/",
];

#[tokio::test]
async fn no_address_and_no_trick_gets_through() {
    let inside = TcpListener::bind("[::]:0").await.unwrap();
    let port = inside.local_addr().unwrap().port().to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while inside.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let egress = Egress::new(Policy::default());
    for trick in TRICKS {
        let url = trick.replace("PORT", &port);
        let answer = egress
            .post_json(
                &url,
                HeaderMap::new(),
                Bytes::from_static(b"{}"),
                Duration::from_secs(5),
            )
            .await;
        match answer {
            Err(
                EgressError::AddressRefused { .. }
                | EgressError::HostRefused { .. }
                | EgressError::PortRefused { .. }
                | EgressError::SchemeRefused { .. }
                | EgressError::InvalidUrl,
            ) => {}
            other => panic!("{trick}: {other:?}"),
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let distinct: std::collections::HashSet<_> = TRICKS.iter().collect();
    assert_eq!(distinct.len(), TRICKS.len());
}
