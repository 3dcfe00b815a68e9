//! A Make that answers when the test says so: what crosses a call under way needs no clock.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A listening Make.
pub struct HeldMake {
    listener: TcpListener,
    pub url: String,
}

/// One call to it, unanswered.
pub struct Call {
    stream: TcpStream,
    /// The body.
    pub body: serde_json::Value,
}

impl HeldMake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next call, read whole.
    pub async fn call(&self) -> Call {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut text = Vec::new();
        loop {
            assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "the call broke off");
            let head = text.windows(4).position(|window| window == b"\r\n\r\n");
            let body = head.map(|end| serde_json::from_slice(&text[end + 4..]));
            if let Some(Ok(body)) = body {
                return Call { stream, body };
            }
        }
    }
}

impl Call {
    /// Answers with a status and no body.
    pub async fn answer(mut self, status: u16) {
        let answer = format!("HTTP/1.1 {status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
