//! A connection without an HTTP client in between, for what no well-behaved client does.

use std::time::Duration;

use dropwire::dev::ANON_KEY;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TestApp;

/// What a test waits for something that should come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection, spoken to byte by byte.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn open(app: &TestApp) -> Self {
        Self(
            TcpStream::connect(app.url.strip_prefix("http://").unwrap())
                .await
                .unwrap(),
        )
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Reads one answer with a length: its head and its body.
    pub async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut body))
            .await
            .expect("no body")
            .unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Reads one head, up to its blank line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(
                timeout(PATIENCE, self.0.read_u8())
                    .await
                    .expect("no answer")
                    .unwrap(),
            );
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads to the end of the connection; a reset is an end too.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        drop(
            timeout(PATIENCE, self.0.read_to_end(&mut rest))
                .await
                .expect("the connection stays open"),
        );
        String::from_utf8(rest).unwrap()
    }
}

/// A whole POST of a body to telegram-webhook, with further header lines.
pub fn post(headers: &str, body: &str) -> String {
    format!("{}{body}", post_head(headers, body.len()))
}

pub fn post_head(headers: &str, length: usize) -> String {
    format!(
        "POST /functions/v1/telegram-webhook HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {ANON_KEY}\r\n\
         content-length: {length}\r\n{headers}\r\n"
    )
}

/// The status in an answer's head.
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
