//! A real HTTP server that speaks the Bot API as far as a bot can see: ids of messages, refusals, and HTML that it parses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poem::http::{HeaderMap, Method, StatusCode};
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::web::{Data, Json, Path};
use poem::{EndpointExt as _, IntoResponse as _, Response, Route, Server, handler};
use serde_json::{Value, json};

use super::sink::Gate;

/// The bot's token.
pub const BOT_TOKEN: &str = "123456789:AAE-a_token_that_nobody_sees";
/// What Telegram shows with each update.
pub const WEBHOOK_SECRET: &str = "a-secret_of-Telegrams";
/// How long [`Telegram::wait_for`] waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One call as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub method: String,
    pub body: Value,
}

/// What to do with a call instead of taking it.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// A status and a body.
    Answer(u16, Value),
    /// Taken, once the gate opens.
    Held(Gate),
}

#[derive(Default)]
struct State {
    calls: Mutex<Vec<Call>>,
    /// For the next calls of a method.
    trouble: Mutex<VecDeque<(String, Trouble)>>,
    messages: AtomicI64,
}

/// A running server. Ends with the test.
#[derive(Clone)]
pub struct Telegram {
    state: Arc<State>,
    /// For `DROPWIRE_TELEGRAM_API_URL`.
    pub url: String,
}

impl Telegram {
    pub async fn start() -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        let state = Arc::new(State::default());
        state.messages.store(1000, Ordering::Relaxed);
        let app = Route::new().at("/:bot/:method", take).data(Arc::clone(&state));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(app));
        Self {
            state,
            url: format!("http://{address}"),
        }
    }

    /// The application's variables for this bot, with its secret.
    pub fn variables(&self) -> [(&'static str, &str); 3] {
        [
            ("TELEGRAM_BOT_TOKEN", BOT_TOKEN),
            ("DROPWIRE_TELEGRAM_API_URL", &self.url),
            ("DROPWIRE_TELEGRAM_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ]
    }

    /// Refuses the next call of a method.
    pub fn refuse(&self, method: &str, status: u16, body: Value) {
        self.trouble(method, Trouble::Answer(status, body));
    }

    /// Holds the next call of a method back.
    pub fn hold(&self, method: &str) -> Gate {
        let gate = Gate::default();
        self.trouble(method, Trouble::Held(gate.clone()));
        gate
    }

    fn trouble(&self, method: &str, trouble: Trouble) {
        self.state
            .trouble
            .lock()
            .unwrap()
            .push_back((method.to_owned(), trouble));
    }

    /// What came since the last look.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.state.calls.lock().unwrap())
    }

    /// The id of the newest message.
    pub fn newest_message(&self) -> i64 {
        self.state.messages.load(Ordering::Relaxed)
    }

    /// Waits until `count` calls came, and takes them.
    pub async fn wait_for(&self, count: usize) -> Vec<Call> {
        let began = Instant::now();
        loop {
            if self.state.calls.lock().unwrap().len() >= count {
                return self.take();
            }
            assert!(began.elapsed() < PATIENCE, "{:?} of {count} calls", self.take());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[handler]
async fn take(
    state: Data<&Arc<State>>,
    verb: Method,
    headers: &HeaderMap,
    Path((bot, method)): Path<(String, String)>,
    body: Vec<u8>,
) -> Response {
    if bot != format!("bot{BOT_TOKEN}") {
        return refused(404, "Not Found");
    }
    let is_json = headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/json");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if verb != Method::POST || !is_json || !body.is_object() {
        return refused(400, "Bad Request: object expected");
    }
    state.calls.lock().unwrap().push(Call {
        method: method.clone(),
        body: body.clone(),
    });
    let trouble = {
        let mut trouble = state.trouble.lock().unwrap();
        let at = trouble.iter().position(|(of, _)| *of == method);
        at.and_then(|at| trouble.remove(at))
    };
    match trouble {
        Some((_, Trouble::Answer(status, body))) => return answer(status, body),
        Some((_, Trouble::Held(gate))) => gate.opened().await,
        None => {}
    }
    answer_as_telegram(&state, &method, &body)
}

fn answer_as_telegram(state: &State, method: &str, body: &Value) -> Response {
    if let Some(html) = body["text"].as_str().filter(|_| body["parse_mode"] == "HTML") {
        let is_html = !html.contains(['<', '>'])
            && html.split('&').skip(1).all(|rest| {
                ["lt;", "gt;", "amp;"]
                    .iter()
                    .any(|entity| rest.starts_with(entity))
            });
        if !is_html {
            return refused(400, "Bad Request: can't parse entities");
        }
        if html.is_empty() || html.chars().count() > 4096 {
            return refused(400, "Bad Request: message is too long");
        }
    }
    let result = match method {
        "sendMessage" => json!({"message_id": state.messages.fetch_add(1, Ordering::Relaxed) + 1}),
        "editMessageText" | "editMessageReplyMarkup" | "deleteMessage" | "answerCallbackQuery" => json!(true),
        _ => return refused(404, "Not Found"),
    };
    answer(200, json!({"ok": true, "result": result}))
}

fn refused(status: u16, description: &str) -> Response {
    answer(
        status,
        json!({"ok": false, "error_code": status, "description": description}),
    )
}

fn answer(status: u16, body: Value) -> Response {
    Json(body)
        .with_status(StatusCode::from_u16(status).unwrap())
        .into_response()
}
