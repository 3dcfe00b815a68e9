//! The client against real servers on this machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use reqwest::dns::{Addrs, Name, Resolving};
use reqwest::header::{AUTHORIZATION, USER_AGENT};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nAccepted";
const OK_CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 8\r\n\r\nAccepted";

/// What a [`Site`] does once it has sent its reply.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Serve,
    Close,
    Stall,
    SendForEver,
}

/// A server that records requests and gives each the same reply.
struct Site {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
    /// Bytes of an endless body that the connection took.
    poured: AtomicUsize,
}

impl Site {
    async fn start(reply: impl Into<String>, then: Then) -> Self {
        let reply: Arc<str> = reply.into().into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            addr: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&site.seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                tokio::spawn(async move { seen.serve(stream, &reply, then).await });
            }
        });
        site
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

impl Seen {
    async fn serve(&self, mut stream: TcpStream, reply: &str, then: Then) -> io::Result<()> {
        while let Some(request) = read_request(&mut stream).await? {
            self.requests.lock().unwrap().push(request);
            stream.write_all(reply.as_bytes()).await?;
            match then {
                Then::Serve => {}
                Then::Close => break,
                Then::Stall => std::future::pending().await,
                Then::SendForEver => loop {
                    self.poured
                        .fetch_add(stream.write(&[b'x'; 16384]).await?, Ordering::SeqCst);
                },
            }
        }
        Ok(())
    }
}

/// One request with its body, or none when the client has closed.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut request = String::new();
    loop {
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.map_or(0, |length| length.parse().unwrap()) <= body.len() {
                return Ok(Some(request));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await? {
            0 => return Ok(None),
            read => request.push_str(std::str::from_utf8(&piece[..read]).unwrap()),
        }
    }
}

/// A resolver with a script: each lookup takes the next answer.
#[derive(Default)]
struct Scripted {
    answers: Mutex<Vec<Vec<Ipv4Addr>>>,
    lookups: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[Ipv4Addr]]) -> Arc<Self> {
        let answers = answers.iter().rev().map(|answer| answer.to_vec()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            lookups: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _: Name) -> Resolving {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async move {
            let answer = answer.ok_or_else(|| io::Error::other("no such host"))?;
            Ok(Box::new(answer.into_iter().map(|ip| SocketAddr::from((ip, 0)))) as Addrs)
        })
    }
}

/// Plays the internet: 127.0.0.1 is public, everything else is not.
const STAGED: Rules = Rules {
    http: true,
    local_names: false,
    permitted: |ip| ip == IpAddr::V4(Ipv4Addr::LOCALHOST),
};
const PUBLIC: Ipv4Addr = Ipv4Addr::LOCALHOST;
const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn permissive() -> Egress {
    Egress::new(Policy { allow_private: true })
}

async fn post(egress: &Egress, url: &str, timeout: Duration) -> Result<Answer, EgressError> {
    egress
        .post_json(url, HeaderMap::new(), Bytes::from_static(b"{\"a\":1}"), timeout)
        .await
}

#[tokio::test]
async fn a_webhook_is_one_json_post_with_the_callers_headers() {
    let site = Site::start(OK, Then::Serve).await;
    let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("FMS-Ticket-Activity/1.0"))]);
    let url = format!("  {}\n", site.url("/hook?token=x"));
    let answer = permissive()
        .post_json(&url, headers, Bytes::from_static(b"{}"), LONG)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &*answer.body, answer.truncated),
        (StatusCode::OK, &b"Accepted"[..], false)
    );
    let requests = site.requests();
    assert_eq!(requests.len(), 1);
    let mut lines: Vec<_> = requests[0].lines().collect();
    lines.sort_unstable();
    let host = format!("host: {}", site.addr);
    assert_eq!(
        lines,
        [
            "",
            "POST /hook?token=x HTTP/1.1",
            "accept: */*",
            "content-length: 2",
            "content-type: application/json",
            &host,
            "user-agent: FMS-Ticket-Activity/1.0",
            "{}"
        ]
    );
}

#[tokio::test]
async fn user_and_password_of_the_url_become_basic_authentication() {
    let site = Site::start(OK, Then::Serve).await;
    let url = format!("http://make:s%40fe@{}/hook", site.addr);
    post(&permissive(), &url, LONG).await.unwrap();
    let own = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer own"))]);
    permissive()
        .post_json(&url, own, Bytes::new(), LONG)
        .await
        .unwrap();
    let requests = site.requests();
    assert!(
        requests[0].contains("\r\nauthorization: Basic bWFrZTpzQGZl\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].contains("\r\nauthorization: Bearer own\r\n"),
        "{}",
        requests[1]
    );
    assert!(!requests[1].contains("Basic"));
}

#[tokio::test]
async fn connections_are_used_again() {
    let site = Site::start(OK, Then::Serve).await;
    let egress = permissive();
    for _ in 0..3 {
        post(&egress.clone(), &site.url("/"), LONG).await.unwrap();
    }
    assert_eq!((site.requests().len(), site.connections()), (3, 1));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_its_target_gets_nothing() {
    let inside = Site::start(OK, Then::Serve).await;
    for status in [301, 302, 303, 307, 308] {
        let reply = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            inside.url("/admin")
        );
        let outside = Site::start(reply, Then::Close).await;
        let answer = post(&permissive(), &outside.url("/"), LONG).await.unwrap();
        assert_eq!(answer.status, status);
        assert!(answer.headers.contains_key("location"));
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn without_the_private_switch_a_server_on_this_machine_is_not_even_connected_to() {
    let site = Site::start(OK, Then::Serve).await;
    let egress = Egress::new(Policy::default());
    let http = post(&egress, &site.url("/"), LONG).await;
    assert!(matches!(http, Err(EgressError::SchemeRefused { .. })), "{http:?}");
    let literal = post(&egress, &format!("https://{}/", site.addr), LONG).await;
    assert!(
        matches!(literal, Err(EgressError::AddressRefused { .. })),
        "{literal:?}"
    );
    let name = post(&egress, &format!("https://localhost:{}/", site.addr.port()), LONG).await;
    assert!(matches!(name, Err(EgressError::HostRefused { .. })), "{name:?}");
    assert_eq!(site.connections(), 0);
}

#[tokio::test]
async fn a_name_that_turns_to_a_private_address_is_refused_where_it_is_connected() {
    let site = Site::start(OK_CLOSE, Then::Close).await;
    let resolver = Scripted::new(&[&[PUBLIC], &[PRIVATE], &[PUBLIC, PRIVATE]]);
    let egress = Egress::with(STAGED, Arc::<Scripted>::clone(&resolver));
    let url = format!("http://hook.example.com:{}/s3cret", site.addr.port());
    assert_eq!(post(&egress, &url, LONG).await.unwrap().status, StatusCode::OK);
    for turned in ["turned", "mixed"] {
        let refused = post(&egress, &url, LONG).await;
        assert!(
            matches!(&refused, Err(EgressError::AddressRefused { address, .. }) if *address == PRIVATE),
            "{turned}: {refused:?}"
        );
    }
    // One lookup each: there is no earlier one that could have answered differently.
    assert_eq!(
        (resolver.lookups.load(Ordering::SeqCst), site.connections()),
        (3, 1)
    );
}

#[tokio::test]
async fn a_name_that_resolves_to_nothing_is_named_as_such() {
    let egress = Egress::with(STAGED, Scripted::new(&[&[]]));
    for _ in ["no address", "no such host"] {
        let failed = post(&egress, "http://hook.example.com/s3cret", LONG).await;
        assert!(matches!(failed, Err(EgressError::Resolve { .. })), "{failed:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let site = Site::start("", Then::Stall).await;
    let started = Instant::now();
    let failed = post(&permissive(), &site.url("/"), SHORT).await;
    assert!(matches!(failed, Err(EgressError::Timeout { .. })), "{failed:?}");
    assert!(started.elapsed() >= SHORT && started.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_lookup_that_hangs_counts_against_the_timeout() {
    struct Hanging;
    impl Resolve for Hanging {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(std::future::pending())
        }
    }
    let failed = post(
        &Egress::with(STAGED, Arc::new(Hanging)),
        "http://hook.example.com/",
        SHORT,
    )
    .await;
    assert!(matches!(failed, Err(EgressError::Timeout { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_known_status_stands_though_the_body_is_late_or_breaks_off() {
    let reply = "HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\nhalf of ";
    for then in [Then::Stall, Then::Close] {
        let site = Site::start(reply, then).await;
        let answer = post(&permissive(), &site.url("/"), SHORT).await.unwrap();
        assert_eq!((answer.status, answer.truncated), (StatusCode::ACCEPTED, true));
        assert_eq!(answer.body, "half of ");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit_and_its_sender_stopped() {
    let site = Site::start("HTTP/1.1 500 Oh\r\n\r\n", Then::SendForEver).await;
    let answer = post(&permissive(), &site.url("/"), LONG).await.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (BODY_LIMIT, true));
    let poured = || site.seen.poured.load(Ordering::SeqCst);
    let mut before = usize::MAX;
    while before != poured() {
        before = poured();
        tokio::time::sleep(SHORT).await;
    }
    assert!(poured() < 32 << 20, "{} bytes were taken", poured());
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    let body = "x".repeat(BODY_LIMIT);
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_LIMIT}\r\n\r\n{body}");
    let site = Site::start(reply, Then::Serve).await;
    let answer = post(&permissive(), &site.url("/"), LONG).await.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (BODY_LIMIT, false));
}

#[tokio::test]
async fn failures_name_their_kind_and_no_more_of_the_url_than_its_origin() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let garbage = Site::start("220 mail ready\r\n", Then::Close).await;
    let silent = Site::start("", Then::Close).await;
    let secret = |scheme, addr| format!("{scheme}://s3cret:s3cret@{addr}/s3cret?s3cret#s3cret");
    let attempts = [
        ("connecting to", secret("http", closed)),
        ("no proper HTTP answer", secret("http", garbage.addr)),
        ("no proper HTTP answer", secret("http", silent.addr)),
        ("TLS handshake", secret("https", plain_site())),
        ("TLS handshake", secret("https", self_signed_site())),
        (
            "belongs to another protocol",
            "https://s3cret@hook.example.com:22/s3cret".to_owned(),
        ),
        ("cannot be read", "https://s3cret@:0/s3cret".to_owned()),
        ("do not go to data URLs", "data:s3cret".to_owned()),
    ];
    for (expected, url) in attempts {
        let error = post(&permissive(), &url, LONG).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

/// A server without TLS that answers whatever it gets; takes one connection.
fn plain_site() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut [0; 4096]).unwrap();
        assert_ne!(read, 0);
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        io::copy(&mut stream, &mut io::sink()).ok();
    });
    addr
}

/// A TLS server whose certificate nobody vouches for; takes one connection.
fn self_signed_site() -> SocketAddr {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
    });
    addr
}

/// Set in the process that has no CA files.
const WITHOUT_CA_FILES: &str = "DROPWIRE_TEST_WITHOUT_CA_FILES";

/// The CA files are chosen by the environment, hence the second process: this test again, in an environment without.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "tells the process that a test started from the test run itself"
)]
async fn a_system_without_ca_certificates_is_told_to_install_them() {
    if std::env::var_os(WITHOUT_CA_FILES).is_none() {
        let name = "egress::tests::a_system_without_ca_certificates_is_told_to_install_them";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(WITHOUT_CA_FILES, "true")
            .env("SSL_CERT_FILE", "/nonexistent.pem")
            .env("SSL_CERT_DIR", "/nonexistent")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let egress = permissive();
    for _ in ["the first", "the next"] {
        let error = post(&egress, "https://hook.example.com/s3cret", LONG)
            .await
            .unwrap_err();
        assert!(matches!(error, EgressError::Client { .. }), "{error:?}");
        assert!(error.to_string().contains("ca-certificates"), "{error}");
    }
}
