//! Why a webhook could not be sent, in the words an operator reads in `last_error`.
//!
//! No text holds more of the URL than scheme, host and port: its path or query may be the tenant's secret.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::resolver::Refusal;

/// A webhook that got no answer. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The text is not an absolute URL.
    #[error("the webhook URL cannot be read: set it to a full address such as https://hook.example.com/path")]
    InvalidUrl,
    /// Neither https nor, where private targets are allowed, http.
    #[error("webhooks do not go to {scheme} URLs: use an https address")]
    SchemeRefused {
        /// The scheme of the URL.
        scheme: String,
    },
    /// A port that browsers and `fetch` refuse because another protocol lives there.
    #[error(
        "webhooks do not go to port {port}, which belongs to another protocol: use an https port on {origin}"
    )]
    PortRefused {
        /// Scheme, host and port.
        origin: String,
        /// The port of the URL.
        port: u16,
    },
    /// A name that means this very machine, refused without looking it up.
    #[error("webhooks do not go to this machine ({origin}): use a host that is reachable from the internet")]
    HostRefused {
        /// Scheme, host and port.
        origin: String,
    },
    /// The host is, or resolves to, an address that is not on the public internet.
    #[error(
        "{origin} leads to {address}, which is not on the public internet: use a public host \
         (DROPWIRE_WEBHOOK_ALLOW_PRIVATE lifts this for a test setup)"
    )]
    AddressRefused {
        /// Scheme, host and port.
        origin: String,
        /// The refused address.
        address: IpAddr,
    },
    /// The host has no address.
    #[error("looking up the host of {origin} failed ({reason}): check its spelling and the DNS")]
    Resolve {
        /// Scheme, host and port.
        origin: String,
        /// What the lookup said.
        reason: String,
    },
    /// No status line came in time.
    #[error("{origin} did not answer within {} ms: check that it is up and answers quickly", after.as_millis())]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// The time that was given.
        after: Duration,
    },
    /// No connection could be made.
    #[error("connecting to {origin} failed ({reason}): check that it is up and accepts connections")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What the operating system said.
        reason: String,
    },
    /// The other side does not speak TLS, or its certificate is not to be trusted.
    #[error(
        "the TLS handshake with {origin} failed ({reason}): check that it speaks https and that its certificate is valid"
    )]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// What was wrong with the handshake.
        reason: String,
    },
    /// The connection was made but brought no HTTP answer.
    #[error("{origin} gave no proper HTTP answer ({reason}): check what listens there")]
    NoAnswer {
        /// Scheme, host and port.
        origin: String,
        /// Where the exchange broke off.
        reason: String,
    },
    /// Our own client could not be made; nothing is wrong with the webhook.
    #[error(
        "the HTTPS client cannot start ({reason}): install the CA certificates of the system (ca-certificates)"
    )]
    Client {
        /// What was missing.
        reason: String,
    },
}

impl EgressError {
    /// A word for the kind of failure, for records and counters.
    pub fn class(&self) -> &'static str {
        match self {
            Self::InvalidUrl => "url",
            Self::SchemeRefused { .. }
            | Self::PortRefused { .. }
            | Self::HostRefused { .. }
            | Self::AddressRefused { .. } => "refused",
            Self::Resolve { .. } => "dns",
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } | Self::NoAnswer { .. } => "network",
            Self::Tls { .. } => "tls",
            Self::Client { .. } => "client",
        }
    }

    /// Tells why `error` happened on the way to `origin`.
    pub(super) fn sending(origin: &str, error: &reqwest::Error) -> Self {
        let origin = origin.to_owned();
        let reason = innermost(error);
        if let Some(Refusal { address }) = find::<Refusal>(error) {
            Self::AddressRefused {
                origin,
                address: *address,
            }
        } else if error.is_builder() {
            Self::InvalidUrl
        } else if error.is_dns() {
            Self::Resolve { origin, reason }
        } else if find::<rustls::Error>(error).is_some() {
            Self::Tls { origin, reason }
        } else if error.is_connect() {
            Self::Connect { origin, reason }
        } else {
            Self::NoAnswer { origin, reason }
        }
    }

    /// Tells why the client could not be made.
    pub(super) fn client(error: &reqwest::Error) -> Self {
        Self::Client {
            reason: innermost(error),
        }
    }
}

/// The errors below `error`, outermost first. An I/O error leaves what it carries out of its `source`,
/// and TLS errors arrive inside several of them, so each is opened.
fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

fn find<T: StdError + 'static>(error: &reqwest::Error) -> Option<&T> {
    sources(error).find_map(|error| error.downcast_ref())
}

/// The text of the root cause. reqwest's own text is left out: it quotes the URL.
fn innermost(error: &reqwest::Error) -> String {
    sources(error)
        .last()
        .map_or_else(|| "no further detail".to_owned(), ToString::to_string)
}
