//! The one HTTP client through which every outgoing webhook leaves the house.
//!
//! Tenants choose the URLs, so each one is an attempt to make us call something we should not, until shown
//! otherwise. URLs are checked before the lookup (`target`), addresses after it (`resolver`,
//! [`is_public`]), and the connection is made to the checked address only. Redirects are not followed, no
//! proxy is used, and what an answer may cost in time and memory is bounded.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::OnceCell;
use tokio::time::timeout as within;

pub use self::address::is_public;
pub use self::error::EgressError;
use self::resolver::{GuardedResolver, SystemResolver};
use self::target::Target;

mod address;
mod error;
mod resolver;
mod target;

/// Bytes of an answer's body that are read; the rest is left to the sender.
pub const BODY_LIMIT: usize = 64 * 1024;

/// How long an unused connection is kept for the next webhook to the same host. Shorter than the usual
/// keep-alive time of servers, so that a connection rarely closes under a request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Unused connections kept per host.
const POOL_PER_HOST: usize = 4;

/// Where webhooks may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Permits plain http and hosts that are not on the public internet; for tests and closed networks.
    /// Set by `DROPWIRE_WEBHOOK_ALLOW_PRIVATE`.
    pub allow_private: bool,
}

/// What a [`Policy`] comes down to, each check by itself.
#[derive(Debug, Clone, Copy)]
struct Rules {
    http: bool,
    local_names: bool,
    permitted: fn(IpAddr) -> bool,
}

impl From<Policy> for Rules {
    fn from(Policy { allow_private }: Policy) -> Self {
        let permitted = if allow_private { |_| true } else { is_public };
        Self {
            http: allow_private,
            local_names: allow_private,
            permitted,
        }
    }
}

/// The outgoing client. Clones share its connections.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    rules: Rules,
    resolver: Arc<dyn Resolve>,
    /// Made by the first webhook: a system without CA certificates must still start and answer.
    client: OnceCell<Client>,
}

/// What a webhook was answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, whatever it is: redirects are answers too.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The body as far as it came, at most [`BODY_LIMIT`] bytes.
    pub body: Bytes,
    /// The body is not all of it: it was longer than the limit, broke off, or was late.
    pub truncated: bool,
}

impl Egress {
    /// Makes the client for `policy`. Does nothing that could fail: see [`EgressError::Client`].
    pub fn new(policy: Policy) -> Self {
        Self::with(policy.into(), Arc::new(SystemResolver))
    }

    fn with(rules: Rules, resolver: Arc<dyn Resolve>) -> Self {
        Self(Arc::new(Inner {
            rules,
            resolver,
            client: OnceCell::new(),
        }))
    }

    /// Sends one POST with a JSON body and reads the answer.
    ///
    /// `timeout` covers all of it: lookup, connecting, the head of the answer and the part of its body that
    /// is read. Once the status is known the result is an [`Answer`], even if the body then breaks off or is
    /// late. Blanks around `url` do not matter; a user and password in it are sent as basic authentication,
    /// unless `headers` has an `Authorization` of its own. `Content-Type` is `application/json` unless
    /// `headers` says otherwise. Any status is an `Ok`; an error means that no answer came.
    pub async fn post_json(
        &self,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, EgressError> {
        let started = Instant::now();
        let Target { url, origin } = Target::parse(url, self.0.rules)?;
        let client = self.0.client.get_or_try_init(async || self.0.build()).await?;
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        let sending = client.post(url).headers(headers).body(body).send();
        match within(timeout, sending).await {
            Ok(Ok(response)) => Ok(Answer::read(response, timeout.saturating_sub(started.elapsed())).await),
            Ok(Err(error)) => Err(EgressError::sending(&origin, &error)),
            Err(_elapsed) => Err(EgressError::Timeout {
                origin,
                after: timeout,
            }),
        }
    }
}

impl Inner {
    fn build(&self) -> Result<Client, EgressError> {
        let Self { rules, resolver, .. } = self;
        let resolver = GuardedResolver {
            inner: Arc::clone(resolver),
            permitted: rules.permitted,
        };
        Client::builder()
            .dns_resolver(resolver)
            .https_only(!rules.http)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_PER_HOST)
            .build()
            .map_err(|error| EgressError::client(&error))
    }
}

impl Answer {
    /// Takes the head of `response` and what comes of its body within `timeout`.
    ///
    /// Dropping a response whose body is not read to its end closes the connection (or resets the HTTP/2
    /// stream), so the sender of an endless body is stopped.
    async fn read(mut response: Response, timeout: Duration) -> Self {
        let mut body = Vec::new();
        let truncated = match within(timeout, fill(&mut body, &mut response)).await {
            Ok(Ok(truncated)) => truncated,
            Ok(Err(_)) | Err(_) => true,
        };
        let headers = std::mem::take(response.headers_mut());
        Self {
            status: response.status(),
            headers,
            body: body.into(),
            truncated,
        }
    }
}

/// Appends the body of `response` to `body` up to [`BODY_LIMIT`]; true when there was more.
async fn fill(body: &mut Vec<u8>, response: &mut Response) -> reqwest::Result<bool> {
    while let Some(chunk) = response.chunk().await? {
        let room = BODY_LIMIT - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok(true);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
