//! A receiver that misbehaves, and remembers what it told whom.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::events::Dice;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub webhook_id: String,
    pub ticket: String,
    pub came: DateTime<Utc>,
    /// 2xx or 303 was on its way.
    pub told: bool,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Answer(u16, &'static str),
    RetryAfter,
    Slow,
    Hang,
    Drop,
    CloseInBody,
}

/// Every status that the contract's table tells apart, and every way not to answer. Success is most likely.
fn mood(dice: &mut Dice) -> Mood {
    match dice.below(40) {
        0 => Mood::Answer(500, "oops"),
        1 => Mood::Answer(503, ""),
        2 => Mood::Answer(400, "Queue is full."),
        3 => Mood::Answer(400, "Invalid JSON"),
        4 => Mood::Answer(401, ""),
        5 => Mood::Answer(408, ""),
        6 => Mood::Answer(429, "Too many requests"),
        7 => Mood::RetryAfter,
        8 if dice.one_in(2) => Mood::Answer(410, "gone"),
        8 => Mood::Answer(404, ""),
        9 => Mood::Answer(302, ""),
        10 => Mood::Answer(303, ""),
        11 => Mood::Answer(204, ""),
        12..=14 => Mood::Slow,
        15 if dice.one_in(3) => Mood::Hang,
        16 => Mood::Drop,
        17 => Mood::CloseInBody,
        _ => Mood::Answer(200, "Accepted"),
    }
}

struct State {
    requests: Mutex<Vec<Request>>,
    dice: Mutex<Dice>,
    behaves: AtomicBool,
    timeout: Duration,
}

/// A running sink. Ends with the test.
#[derive(Clone)]
pub struct ChaosSink {
    state: Arc<State>,
    pub url: String,
}

impl ChaosSink {
    pub async fn start(dice: Dice, timeout: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            requests: Mutex::default(),
            dice: Mutex::new(dice),
            behaves: AtomicBool::new(false),
            timeout,
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { state, url }
    }

    /// From now on, everything is accepted.
    pub fn behave(&self) {
        self.state.behaves.store(true, Ordering::Release);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }
}

/// Serves one connection until either side has had enough.
async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(place) = receive(&mut stream, &state).await {
        let mood = if state.behaves.load(Ordering::Acquire) {
            Mood::Answer(200, "Accepted")
        } else {
            mood(&mut state.dice.lock().unwrap())
        };
        let (text, keeps) = match mood {
            Mood::Answer(status, body) => (answer(status, "", body), true),
            Mood::RetryAfter => (answer(503, "retry-after: 1\r\n", ""), true),
            Mood::Slow => {
                tokio::time::sleep(state.timeout / 5).await;
                (answer(200, "", "Accepted"), true)
            }
            Mood::Hang => {
                tokio::time::sleep(state.timeout * 3).await;
                return;
            }
            Mood::Drop => return,
            // The status is known, and that is what counts.
            Mood::CloseInBody => (
                "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nAcc".to_owned(),
                false,
            ),
        };
        if text.starts_with("HTTP/1.1 2") || text.starts_with("HTTP/1.1 303") {
            state.requests.lock().unwrap()[place].told = true;
        }
        if stream.get_mut().write_all(text.as_bytes()).await.is_err() {
            return;
        }
        if !keeps {
            return;
        }
    }
}

fn answer(status: u16, header: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Because\r\n{header}content-length: {length}\r\n\r\n{body}")
}

/// Reads a request and remembers it; answers its place among all.
async fn receive(stream: &mut BufReader<TcpStream>, state: &State) -> Option<usize> {
    let (mut length, mut webhook_id) = (0, String::new());
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "webhook-id" => value.trim().clone_into(&mut webhook_id),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let mut requests = state.requests.lock().unwrap();
    requests.push(Request {
        webhook_id,
        ticket: body["ticket_id"].as_str()?.to_owned(),
        came: Utc::now(),
        told: false,
    });
    Some(requests.len() - 1)
}
