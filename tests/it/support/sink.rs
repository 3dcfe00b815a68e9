//! A real HTTP server that records every request, and answers as told.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poem::http::{HeaderMap, Method, StatusCode};
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::web::Data;
use poem::{EndpointExt as _, IntoResponse as _, Request, Response, Route, Server, handler};
use serde_json::Value;
use tokio::sync::watch;

/// How long [`Sink::wait_for`] waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to answer to one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a body.
    Status(u16, String),
    /// A status and headers.
    Headers(u16, Vec<(&'static str, &'static str)>),
    /// 3xx with a Location.
    Redirect(u16, String),
    /// An answer that comes after this long.
    Slow(Duration),
    /// An answer that comes when the gate opens.
    Held(Gate),
    /// A status that comes when the gate opens.
    HeldStatus(Gate, u16),
}

/// Holds answers back until it is opened.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Lets every held answer go.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self::Status(status, String::new())
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub text: String,
    /// The body as JSON, null when it is none.
    pub body: Value,
    pub at: Instant,
}

impl Received {
    /// The delivery's id, the same over all attempts.
    pub fn webhook_id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    /// Taken one by one; afterwards `default`.
    replies: Mutex<VecDeque<Reply>>,
    default: Mutex<Option<Reply>>,
    /// Tickets whose webhook is being answered right now.
    open: Mutex<HashSet<String>>,
    /// Tickets of which a second webhook came before the first was answered.
    overlaps: Mutex<Vec<String>>,
}

/// A running sink. Ends with the test.
#[derive(Clone)]
pub struct Sink {
    state: Arc<State>,
    /// Where to point a webhook to.
    pub url: String,
}

impl Sink {
    /// Starts a sink that answers 200 `Accepted`, as Make does.
    pub async fn start() -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        let state = Arc::new(State::default());
        let app = Route::new()
            .at("/*path", take)
            .at("/", take)
            .data(Arc::clone(&state));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(app));
        Self {
            state,
            url: format!("http://{address}/hook"),
        }
    }

    /// The replies to the next requests, in order; then 200 again.
    pub fn reply<R: Into<Reply>>(&self, replies: impl IntoIterator<Item = R>) {
        self.state
            .replies
            .lock()
            .unwrap()
            .extend(replies.into_iter().map(Into::into));
    }

    /// The reply to every request that no [`Sink::reply`] covers; `None` is 200.
    pub fn always(&self, reply: Option<Reply>) {
        *self.state.default.lock().unwrap() = reply;
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// Forgets what came so far.
    pub fn clear(&self) {
        self.state.received.lock().unwrap().clear();
    }

    /// Tickets of which a second webhook came before the first was answered.
    pub fn overlaps(&self) -> Vec<String> {
        self.state.overlaps.lock().unwrap().clone()
    }

    /// Waits until `count` requests came.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let began = Instant::now();
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} of {count} webhooks came",
                received.len()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[handler]
async fn take(state: Data<&Arc<State>>, req: &Request, body: Vec<u8>) -> Response {
    let text = String::from_utf8(body).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let ticket = body["ticket_id"].to_string();
    if !state.open.lock().unwrap().insert(ticket.clone()) {
        state.overlaps.lock().unwrap().push(ticket.clone());
    }
    state.received.lock().unwrap().push(Received {
        method: req.method().clone(),
        path: req.original_uri().path().to_owned(),
        headers: req.headers().clone(),
        body,
        text,
        at: Instant::now(),
    });
    let next = state.replies.lock().unwrap().pop_front();
    let reply = next.or_else(|| state.default.lock().unwrap().clone());
    let response = answer(reply).await;
    state.open.lock().unwrap().remove(&ticket);
    response
}

async fn answer(reply: Option<Reply>) -> Response {
    match reply {
        None => "Accepted".into_response(),
        Some(Reply::Status(status, body)) => body
            .with_status(StatusCode::from_u16(status).unwrap())
            .into_response(),
        Some(Reply::Redirect(status, location)) => {
            ().with_status(StatusCode::from_u16(status).unwrap())
                .with_header("location", location)
                .into_response()
        }
        Some(Reply::Headers(status, headers)) => {
            let mut response = ().with_status(StatusCode::from_u16(status).unwrap()).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Some(Reply::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            "Accepted".into_response()
        }
        Some(Reply::HeldStatus(gate, status)) => {
            gate.opened().await;
            StatusCode::from_u16(status).unwrap().into_response()
        }
        Some(Reply::Held(gate)) => {
            gate.opened().await;
            "Accepted".into_response()
        }
    }
}
