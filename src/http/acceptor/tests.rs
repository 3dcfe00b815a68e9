//! The acceptor below a real poem server, spoken to over real sockets.

use std::os::fd::AsRawFd;

use nix::sys::socket::{Backlog, Shutdown, listen, shutdown};
use poem::{Body, Endpoint, Route, Server, endpoint, handler, post};
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

const HEAD: Duration = Duration::from_millis(300);
/// Well past the head timeout.
const BEYOND: Duration = Duration::from_millis(700);
/// What a test waits for something that should come.
const PATIENCE: Duration = Duration::from_secs(10);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn serve_with(limits: Limits, routes: impl Endpoint + 'static) -> SocketAddr {
    let acceptor = GuardedAcceptor::bind(([127, 0, 0, 1], 0).into(), limits)
        .await
        .unwrap();
    let addr = acceptor.local_addr();
    tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
    addr
}

async fn serve(max_connections: usize) -> SocketAddr {
    let limits = Limits {
        head_timeout: HEAD,
        max_connections,
    };
    serve_with(
        limits,
        Route::new().at("/", post(length).get(endpoint::make_sync(|_| "hello"))),
    )
    .await
}

/// Answers with the length of the body.
#[handler]
async fn length(body: Body) -> poem::Result<String> {
    Ok(body.into_bytes().await?.len().to_string())
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// The time until the server closes, having sent nothing.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let read = timeout(PATIENCE, stream.read(&mut [0; 64]))
        .await
        .expect("the connection stays open");
    assert!(matches!(read, Ok(0) | Err(_)), "the server answered");
    started.elapsed()
}

/// Reads until `end` has come; what came after it is lost.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut piece = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_silent_fresh_connection_is_closed() {
    let mut stream = connect(serve(8).await).await;
    let after = closed_after(&mut stream).await;
    assert!(after >= HEAD / 2 && after < PATIENCE / 2, "{after:?}");
}

#[tokio::test]
async fn a_half_head_is_closed() {
    let addr = serve(8).await;
    for half in ["G", "GET / HTTP/1.1\r\nhost: a\r\n", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut stream = connect(addr).await;
        stream.write_all(half.as_bytes()).await.unwrap();
        closed_after(&mut stream).await;
    }
}

#[tokio::test]
async fn a_trickled_head_is_closed_at_the_deadline_of_its_first_byte() {
    let (mut reader, mut writer) = connect(serve(8).await).await.into_split();
    let started = Instant::now();
    let trickle = tokio::spawn(async move {
        writer.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let read = timeout(PATIENCE, reader.read(&mut [0; 64]))
        .await
        .expect("the connection stays open");
    assert!(matches!(read, Ok(0) | Err(_)), "the server answered");
    assert!(started.elapsed() >= HEAD / 2);
    timeout(PATIENCE, trickle).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_kept_but_its_next_head_is_timed_again() {
    let mut stream = connect(serve(8).await).await;
    for _ in 0..2 {
        stream.write_all(GET).await.unwrap();
        read_until(&mut stream, "hello").await;
        sleep(BEYOND).await;
    }
    stream.write_all(&GET[..10]).await.unwrap();
    let after = closed_after(&mut stream).await;
    assert!(after >= HEAD / 2, "{after:?}");
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_and_a_half_one_is_closed() {
    let mut stream = connect(serve(8).await).await;
    let half = &GET[..GET.len() - 1];
    stream.write_all(&[GET, GET, half].concat()).await.unwrap();
    let mut answers = Vec::new();
    // Closed after the answers, with or without a reset for the half request.
    timeout(PATIENCE, stream.read_to_end(&mut answers))
        .await
        .expect("the connection stays open")
        .ok();
    assert_eq!(String::from_utf8(answers).unwrap().matches("hello").count(), 2);
}

#[tokio::test]
async fn a_slow_body_is_not_cut_by_the_head_deadline() {
    let addr = serve(8).await;
    let fixed: [&[u8]; 4] = [
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n",
        b"ab\r\n\r\n",
        b"GE",
        b"T",
    ];
    let chunked: [&[u8]; 4] = [
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\nab",
        b"\r\n\r\n\r\n3\r\n",
        b"GET\r\n0",
        b"\r\n\r\n",
    ];
    let upload = async |pieces: [&[u8]; 4]| {
        let mut stream = connect(addr).await;
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
            sleep(HEAD).await;
        }
        assert!(
            read_until(&mut stream, "\r\n\r\n9")
                .await
                .starts_with("HTTP/1.1 200")
        );
        stream.write_all(GET).await.unwrap();
        read_until(&mut stream, "hello").await;
    };
    tokio::join!(upload(fixed), upload(chunked));
}

#[tokio::test]
async fn a_body_announced_with_expect_is_asked_for_and_taken() {
    let mut stream = connect(serve(8).await).await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    sleep(BEYOND).await;
    stream.write_all(b"12345").await.unwrap();
    assert!(
        read_until(&mut stream, "\r\n\r\n5")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_slow_answer_does_not_count_against_the_next_pipelined_head() {
    let slow = endpoint::make(|_| async {
        sleep(BEYOND).await;
        Ok::<_, poem::Error>("hello")
    });
    let limits = Limits {
        head_timeout: HEAD,
        max_connections: 8,
    };
    let mut stream = connect(serve_with(limits, slow).await).await;
    stream.write_all(&[GET, &GET[..8]].concat()).await.unwrap();
    sleep(HEAD / 2).await;
    stream.write_all(&GET[8..]).await.unwrap();
    for _ in 0..2 {
        read_until(&mut stream, "hello").await;
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_outlives_the_head_timeout() {
    let slow = Route::new().at(
        "/",
        endpoint::make(|_| async {
            sleep(BEYOND).await;
            Ok::<_, poem::Error>("slow")
        }),
    );
    let limits = Limits {
        head_timeout: HEAD,
        max_connections: 1,
    };
    let addr = serve_with(limits, slow).await;
    let client = Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    for pause in [Duration::ZERO, BEYOND] {
        // The one connection there may be carries both, with a pause between them.
        sleep(pause).await;
        let answer = client.get(format!("http://{addr}/")).send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        assert_eq!(answer.text().await.unwrap(), "slow");
    }
}

#[tokio::test]
async fn a_connection_above_the_cap_waits_for_one_to_close() {
    let addr = serve(2).await;
    let mut open = [connect(addr).await, connect(addr).await];
    for stream in &mut open {
        stream.write_all(GET).await.unwrap();
        read_until(stream, "hello").await;
    }
    let mut waiting = connect(addr).await;
    waiting.write_all(GET).await.unwrap();
    // It waits in the backlog, where no deadline runs yet.
    assert!(
        timeout(BEYOND, waiting.readable()).await.is_err(),
        "answered above the cap"
    );
    drop(open);
    read_until(&mut waiting, "hello").await;
}

#[tokio::test]
async fn connections_that_time_out_give_their_slot_back() {
    let addr = serve(1).await;
    let _silent = connect(addr).await;
    let mut next = connect(addr).await;
    next.write_all(GET).await.unwrap();
    read_until(&mut next, "hello").await;
}

#[tokio::test]
async fn nagle_is_off_and_the_peer_is_named() {
    let mut acceptor = GuardedAcceptor::bind(([127, 0, 0, 1], 0).into(), Limits::default())
        .await
        .unwrap();
    let client = connect(acceptor.local_addr()).await;
    let (stream, local, remote, scheme) = acceptor.accept().await.unwrap();
    assert!(stream.stream.nodelay().unwrap());
    assert_eq!(local.as_socket_addr(), Some(&acceptor.local_addr()));
    assert_eq!(remote.as_socket_addr(), Some(&client.local_addr().unwrap()));
    assert_eq!(scheme, Scheme::HTTP);
}

#[tokio::test]
async fn accept_errors_are_waited_out_and_accepting_goes_on_afterwards() {
    let mut acceptor = GuardedAcceptor::bind(([127, 0, 0, 1], 0).into(), Limits::default())
        .await
        .unwrap();
    // A listener that was shut down answers every accept with EINVAL.
    shutdown(acceptor.listener.as_raw_fd(), Shutdown::Both).unwrap();
    assert!(
        timeout(ACCEPT_PAUSE * 4, acceptor.accept()).await.is_err(),
        "an error came out of accept"
    );
    assert!(acceptor.failing);
    listen(&acceptor.listener, Backlog::new(8).unwrap()).unwrap();
    // Listening again takes a port anew.
    let _client = connect(acceptor.listener.local_addr().unwrap()).await;
    timeout(PATIENCE, acceptor.accept()).await.unwrap().unwrap();
    assert!(!acceptor.failing);
}
