//! How a connection is opened: an address that answers, TLS, the login, and the session's parameters.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding as Binding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

use super::socket::{Place, Socket, places};
use super::{Refusal, WireError};

/// A socket that is logged in.
pub(super) struct Session {
    pub(super) socket: Socket,
    pub(super) place: Place,
    pub(super) process_id: i32,
    pub(super) secret_key: i32,
}

/// Tries one address after the other. `options` are added to those of the configuration.
pub(super) async fn open(
    config: &Config,
    tls: &Arc<ClientConfig>,
    options: Option<&str>,
) -> Result<Session, WireError> {
    let mut last = None;
    for place in places(config).await {
        let opened = match place {
            Ok(place) => open_at(place, config, tls, options).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(session) => return Ok(session),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(WireError::Login("the host name has no address")))
}

async fn open_at(
    place: Place,
    config: &Config,
    tls: &Arc<ClientConfig>,
    options: Option<&str>,
) -> Result<Session, WireError> {
    let socket = Socket::open(&place, config, tls).await?;
    let mut talk = Talk {
        socket,
        input: BytesMut::new(),
        output: BytesMut::new(),
    };
    let user = match config.get_user() {
        Some(user) => Cow::Borrowed(user),
        None => Cow::Owned(system_user()?),
    };
    talk.start(config, &user, options).await?;
    talk.log_in(config, &user).await?;
    let (process_id, secret_key) = talk.settle().await?;
    talk.check_role(config.get_target_session_attrs()).await?;
    Ok(Session {
        socket: talk.socket,
        place,
        process_id,
        secret_key,
    })
}

fn system_user() -> Result<String, WireError> {
    nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten()
        .map(|user| user.name)
        .ok_or(WireError::Login(
            "the connection string names no user, and the system has no name for ours",
        ))
}

/// The exchange before the session is up.
struct Talk {
    socket: Socket,
    input: BytesMut,
    output: BytesMut,
}

impl Talk {
    async fn send(&mut self) -> Result<(), WireError> {
        self.socket.write_all(&self.output).await?;
        self.socket.flush().await?;
        self.output.clear();
        Ok(())
    }

    /// Reads one message; a refusal is an error.
    async fn hear(&mut self) -> Result<Message, WireError> {
        loop {
            match Message::parse(&mut self.input)? {
                Some(Message::ErrorResponse(body)) => {
                    return Err(WireError::Refused(Box::new(Refusal::read(&body)?)));
                }
                Some(Message::NoticeResponse(_)) => {}
                Some(message) => return Ok(message),
                None => {
                    if self.socket.read_buf(&mut self.input).await? == 0 {
                        return Err(WireError::Closed);
                    }
                }
            }
        }
    }

    async fn start(&mut self, config: &Config, user: &str, options: Option<&str>) -> Result<(), WireError> {
        let options = match (config.get_options(), options) {
            (Some(first), Some(second)) => Some(Cow::Owned(format!("{first} {second}"))),
            (one, other) => one.or(other).map(Cow::Borrowed),
        };
        let parameters = [
            ("client_encoding", Some("UTF8")),
            ("user", Some(user)),
            ("database", config.get_dbname()),
            ("options", options.as_deref()),
            ("application_name", config.get_application_name()),
        ];
        let parameters = parameters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        frontend::startup_message(parameters, &mut self.output).map_err(WireError::Encode)?;
        self.send().await
    }

    async fn log_in(&mut self, config: &Config, user: &str) -> Result<(), WireError> {
        let unbound = || {
            if config.get_channel_binding() == ChannelBinding::Require {
                return Err(WireError::Login(
                    "the database server did not use channel binding, which is required",
                ));
            }
            Ok(())
        };
        let password = || {
            let missing = "the database server asks for a password, and the connection string has none";
            config.get_password().ok_or(WireError::Login(missing))
        };
        match self.hear().await? {
            Message::AuthenticationOk => return unbound(),
            Message::AuthenticationCleartextPassword => {
                unbound()?;
                frontend::password_message(password()?, &mut self.output).map_err(WireError::Encode)?;
            }
            Message::AuthenticationMd5Password(body) => {
                unbound()?;
                let hash = md5_hash(user.as_bytes(), password()?, body.salt());
                frontend::password_message(hash.as_bytes(), &mut self.output).map_err(WireError::Encode)?;
            }
            Message::AuthenticationSasl(body) => {
                if !self
                    .scram(&body, password()?, config.get_channel_binding())
                    .await?
                {
                    unbound()?;
                }
            }
            _ => {
                return Err(WireError::Login(
                    "the database server asks for a login of an unsupported kind",
                ));
            }
        }
        if !self.output.is_empty() {
            self.send().await?;
        }
        match self.hear().await? {
            Message::AuthenticationOk => Ok(()),
            _ => Err(WireError::Protocol("login")),
        }
    }

    /// Logs in by SCRAM-SHA-256, and tells whether it was bound to the TLS channel.
    /// <https://www.postgresql.org/docs/current/sasl-authentication.html>
    async fn scram(
        &mut self,
        body: &AuthenticationSaslBody,
        password: &[u8],
        wanted: ChannelBinding,
    ) -> Result<bool, WireError> {
        let offered: Vec<&str> = body.mechanisms().collect().map_err(WireError::Authentication)?;
        let offers = |name| offered.contains(&name);
        let hash = match wanted {
            ChannelBinding::Disable => None,
            _ => self.socket.end_point(),
        };
        let (mechanism, binding) = match hash {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, Binding::tls_server_end_point(hash))
            }
            // "We could have": a man in the middle who hid the server's offer is found out.
            Some(_) if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, Binding::unrequested()),
            None if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, Binding::unsupported()),
            _ => {
                return Err(WireError::Login(
                    "the database server offers no known SASL mechanism",
                ));
            }
        };
        if mechanism == SCRAM_SHA_256 && wanted == ChannelBinding::Require {
            return Ok(false); // before any proof of the password is given away
        }
        let mut scram = ScramSha256::new(password, binding);
        frontend::sasl_initial_response(mechanism, scram.message(), &mut self.output)
            .map_err(WireError::Encode)?;
        self.send().await?;
        let Message::AuthenticationSaslContinue(challenge) = self.hear().await? else {
            return Err(WireError::Protocol("SASL"));
        };
        scram
            .update(challenge.data())
            .map_err(WireError::Authentication)?;
        frontend::sasl_response(scram.message(), &mut self.output).map_err(WireError::Encode)?;
        self.send().await?;
        let Message::AuthenticationSaslFinal(proof) = self.hear().await? else {
            return Err(WireError::Protocol("SASL"));
        };
        scram.finish(proof.data()).map_err(WireError::Authentication)?;
        Ok(mechanism == SCRAM_SHA_256_PLUS)
    }

    /// Reads what the server says of the session until it is ready: the key for cancelling.
    async fn settle(&mut self) -> Result<(i32, i32), WireError> {
        let mut key = (0, 0);
        loop {
            match self.hear().await? {
                Message::BackendKeyData(body) => key = (body.process_id(), body.secret_key()),
                Message::ReadyForQuery(_) => return Ok(key),
                _ => {}
            }
        }
    }

    /// Sees to it that the server takes writes, or takes none, if that is asked for.
    async fn check_role(&mut self, wanted: TargetSessionAttrs) -> Result<(), WireError> {
        let (unwanted, refusal) = match wanted {
            TargetSessionAttrs::ReadWrite => (&b"on"[..], "the database server takes no writes"),
            TargetSessionAttrs::ReadOnly => (&b"off"[..], "the database server is not read-only"),
            _ => return Ok(()),
        };
        frontend::query("show transaction_read_only", &mut self.output).map_err(WireError::Encode)?;
        self.send().await?;
        let mut fits = true;
        loop {
            match self.hear().await? {
                Message::DataRow(row) => {
                    let range: Option<_> = row.ranges().next().map_err(WireError::Io)?.flatten();
                    fits &= range.is_none_or(|range| &row.buffer()[range] != unwanted);
                }
                Message::ReadyForQuery(_) if fits => return Ok(()),
                Message::ReadyForQuery(_) => {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal).into());
                }
                _ => {}
            }
        }
    }
}
