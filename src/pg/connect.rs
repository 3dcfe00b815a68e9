//! Where the database is, and how a connection to it is opened.
//!
//! A [`Target`] is read once from a libpq connection string (or built for the embedded server) and handed to
//! whatever connects: the pool, the migrations, the login role. It carries the password and therefore masks it.

mod settings;

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Notification, config};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::settings::Settings;
pub use self::settings::SyntaxError;
use super::tls;
pub use super::tls::{Roots, SslMode, TlsError};

/// Name that sessions show in `pg_stat_activity` unless the connection string gives another.
const APPLICATION_NAME: &str = "dropwire";
/// Longest wait for one address to accept, unless the string says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a whole connection: every address, TLS and authentication. A server that accepts and then
/// says nothing is bounded by nothing else.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence after which a connection is probed. The system's two hours outlive every firewall's patience.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// Longest wait for sent data to be acknowledged; keepalives do not run while data is outstanding.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where and how to connect.
///
/// Accepted are libpq's URL and `key=value` forms with several hosts, socket directories, percent-encoding, every
/// `sslmode` and `sslrootcert` as a file or `system`. Not read are `PG…` variables, the password file and the
/// service file. On socket directories TLS is off, as in libpq.
#[derive(Clone)]
pub struct Target {
    config: Config,
    ssl_mode: SslMode,
    roots: Roots,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection string is wrong. The string itself is not shown: it holds a password.
    #[error(
        "the database connection string cannot be read: {0}. It looks like \
         postgresql://user:password@host:5432/database?sslmode=verify-full"
    )]
    Syntax(#[from] SyntaxError),
    /// TLS could not be set up on this side.
    #[error("setting up TLS for the database connection")]
    Tls(#[from] TlsError),
    /// The server is unreachable, refuses, or does not accept the login.
    #[error("connecting to {place}")]
    Open {
        /// User, hosts and database, without the password.
        place: String,
        /// What tokio-postgres or the server said.
        source: tokio_postgres::Error,
    },
    /// Nothing was heard for too long.
    #[error("connecting to {place}: no answer within {} s", after.as_secs())]
    Silent {
        /// User, hosts and database, without the password.
        place: String,
        /// How long was waited.
        after: Duration,
    },
}

impl Target {
    /// Reads a libpq connection string.
    ///
    /// As in libpq, `sslrootcert=system` implies `verify-full` and refuses weaker modes.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        Self::parse_with(text, &[])
    }

    /// As [`Target::parse`], with values for options (by libpq's names) that the string leaves open.
    pub fn parse_with(text: &str, defaults: &[(&str, String)]) -> Result<Self, ConnectError> {
        let mut settings = settings::parse(text)?;
        for (option, value) in defaults {
            settings
                .entry((*option).to_owned())
                .or_insert_with(|| value.clone());
        }
        let roots = match settings.remove("sslrootcert").as_deref() {
            None | Some("") => None,
            Some("system") => Some(Roots::System),
            Some(path) => Some(Roots::File(PathBuf::from(path))),
        };
        let ssl_mode = ssl_mode(&mut settings, roots.as_ref())?;
        rename(&mut settings, "keepalives_count", "keepalives_retries");
        rename(&mut settings, "fallback_application_name", "application_name");
        if !settings.contains_key("host") {
            // The address then also serves as the name in certificates.
            let address = settings.get("hostaddr").ok_or(SyntaxError::NoHost)?.clone();
            settings.insert("host".to_owned(), address);
        }
        let mut target = Self {
            config: settings::config(&settings)?,
            ssl_mode,
            roots: roots.unwrap_or(Roots::System),
        };
        if target
            .config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, config::Host::Unix(_)))
        {
            target.ssl_mode = SslMode::Disable;
        }
        if target.is_direct() && ssl_mode < SslMode::Require {
            return Err(SyntaxError::WeakMode("sslnegotiation=direct").into());
        }
        Ok(target.finish())
    }

    /// Takes a finished configuration, as the embedded server has one. Connections use no TLS.
    pub fn from_config(config: Config) -> Self {
        Self {
            config,
            ssl_mode: SslMode::Disable,
            roots: Roots::System,
        }
        .finish()
    }

    /// Is the same place for another role.
    #[must_use]
    pub fn with_login(&self, user: &str, password: &str) -> Self {
        let mut target = self.clone();
        target.config.user(user).password(password);
        target
    }

    /// Names the database: the string's, else the one called like its user, if it names one.
    pub fn database(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// Names the role that logs in, when the string does; the operating system's user otherwise.
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// Tells whether every host is this machine: a socket directory, a loopback address, or `localhost`.
    pub fn is_local(&self) -> bool {
        let addresses = self.config.get_hostaddrs();
        if !addresses.is_empty() {
            // These are dialled; the names beside them are for certificates only.
            return addresses.iter().all(IpAddr::is_loopback);
        }
        self.config.get_hosts().iter().all(|host| match host {
            config::Host::Unix(_) => true,
            config::Host::Tcp(name) => {
                name.eq_ignore_ascii_case("localhost")
                    || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        })
    }

    /// Says how far connections are protected.
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// Opens one connection, driven by a task of its own that ends when the client is dropped.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        let opening = self.open(self.connector()?);
        match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok((client, _task))) => Ok(client),
            Ok(Err(source)) => Err(self.refused(source)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    /// Opens a connection that notifications are taken from, to a server that takes writes: a standby sends none. The
    /// receiver ends with the connection.
    pub async fn listen(&self) -> Result<(Client, UnboundedReceiver<Notification>), ConnectError> {
        let mut primary = self.clone();
        primary
            .config
            .target_session_attrs(config::TargetSessionAttrs::ReadWrite);
        let (sender, receiver) = unbounded_channel();
        let opening = primary.open_heard(primary.connector()?, Some(sender));
        match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok((client, _task))) => Ok((client, receiver)),
            Ok(Err(source)) => Err(self.refused(source)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    /// Reads the roots and builds the connector, which a pool does once.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, TlsError> {
        tls::connector(self.ssl_mode, &self.roots, self.is_direct())
    }

    /// As [`Target::connector`], for what speaks TLS itself.
    pub(super) fn tls_config(&self) -> Result<rustls::ClientConfig, TlsError> {
        tls::config(self.ssl_mode, &self.roots, self.is_direct())
    }

    /// Everything that a connection is opened with, TLS aside.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Opens one connection, however long it takes, and hands out the task that drives it too.
    pub(super) async fn open(
        &self,
        tls: MakeRustlsConnect,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        self.open_heard(tls, None).await
    }

    async fn open_heard(
        &self,
        tls: MakeRustlsConnect,
        listener: Option<UnboundedSender<Notification>>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, connection) = self.config.connect(tls).await?;
        Ok((client, drive(connection, listener)))
    }

    /// Says where it was that opening failed.
    pub(super) fn refused(&self, source: tokio_postgres::Error) -> ConnectError {
        ConnectError::Open {
            place: self.to_string(),
            source,
        }
    }

    /// Says where it was that opening took longer than [`OPEN_TIMEOUT`].
    pub(super) fn silent(&self) -> ConnectError {
        ConnectError::Silent {
            place: self.to_string(),
            after: OPEN_TIMEOUT,
        }
    }

    fn is_direct(&self) -> bool {
        self.config.get_ssl_negotiation() == config::SslNegotiation::Direct
    }

    /// Fills in what the string left open and tells tokio-postgres its share of the mode.
    fn finish(mut self) -> Self {
        let config = &mut self.config;
        config.ssl_mode(match self.ssl_mode {
            SslMode::Disable => config::SslMode::Disable,
            SslMode::Prefer => config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => config::SslMode::Require,
        });
        if let (None, Some(user)) = (config.get_dbname(), config.get_user().map(str::to_owned)) {
            // The server's own default, written down before another role logs in.
            config.dbname(user);
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            config.keepalives_idle(KEEPALIVE_IDLE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVE_INTERVAL);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(KEEPALIVE_RETRIES);
        }
        self
    }
}

/// Writes `user@host:5432/database`, for logs and errors.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(at).or(ports.first()).unwrap_or(&5432);
            let separator = if at == 0 { "" } else { "," };
            match host {
                config::Host::Tcp(name) if name.contains(':') => write!(f, "{separator}[{name}]:{port}")?,
                config::Host::Tcp(name) => write!(f, "{separator}{name}:{port}")?,
                config::Host::Unix(directory) => write!(f, "{separator}{}:{port}", directory.display())?,
            }
        }
        self.config
            .get_dbname()
            .map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("place", &format_args!("{self}"))
            .field("ssl_mode", &self.ssl_mode)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// Takes the mode out of the settings, with libpq's defaults and its JDBC alias `ssl=true`.
fn ssl_mode(settings: &mut Settings, roots: Option<&Roots>) -> Result<SslMode, SyntaxError> {
    let alias = match settings.remove("ssl").as_deref() {
        None | Some("false") => None,
        Some("true") => Some(SslMode::Require),
        Some(_) => return Err(SyntaxError::Value("ssl")),
    };
    let named = match settings.remove("sslmode").as_deref() {
        None | Some("") => alias,
        Some(name) => Some(name.parse().map_err(|()| SyntaxError::Value("sslmode"))?),
    };
    match (named, roots) {
        (None, Some(Roots::System)) => Ok(SslMode::VerifyFull),
        (Some(mode), Some(Roots::System)) if mode < SslMode::VerifyFull => {
            Err(SyntaxError::WeakMode("sslrootcert=system"))
        }
        (named, _) => Ok(named.unwrap_or(SslMode::Prefer)),
    }
}

/// Moves an option to the name tokio-postgres has for it; a value already there wins.
fn rename(settings: &mut Settings, from: &str, to: &str) {
    if let Some(value) = settings.remove(from) {
        settings.entry(to.to_owned()).or_insert(value);
    }
}

/// Runs a connection until its client is gone. Notices go to `debug`: migrations are full of them.
/// Notifications go to the listener, if there is one.
fn drive<S, T>(
    mut connection: Connection<S, T>,
    listener: Option<UnboundedSender<Notification>>,
) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notice(notice)) => {
                    tracing::debug!(
                        severity = notice.severity(),
                        "database notice: {}",
                        notice.message()
                    );
                }
                Ok(AsyncMessage::Notification(notification)) => {
                    if let Some(listener) = &listener {
                        listener.send(notification).ok();
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(
                        error = crate::error::chain(&error),
                        "a database connection was lost"
                    );
                    return;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(text: &str) -> SyntaxError {
        match Target::parse(text) {
            Err(ConnectError::Syntax(error)) => error,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn only_sockets_and_loopback_are_local() {
        for text in [
            "postgres://u@localhost/d",
            "postgres://u@LOCALHOST,127.0.0.1:7,[::1]/d",
            "postgres://u@/d?host=/run/postgresql",
            "host=db.example hostaddr=127.0.0.1 user=u",
        ] {
            assert!(Target::parse(text).unwrap().is_local(), "{text}");
        }
        for text in [
            "postgres://u@db.example/d",
            "postgres://u@localhost.example/d",
            "postgres://u@0.0.0.0/d",
            "postgres://u@localhost,db.example/d",
            "host=localhost hostaddr=192.0.2.1 user=u",
        ] {
            assert!(!Target::parse(text).unwrap().is_local(), "{text}");
        }
    }

    #[test]
    fn every_mode_of_libpq_is_read() {
        let cases = [
            ("", SslMode::Prefer),
            ("sslmode=disable", SslMode::Disable),
            ("sslmode=allow", SslMode::Prefer),
            ("sslmode=prefer", SslMode::Prefer),
            ("sslmode=require", SslMode::Require),
            ("ssl=true", SslMode::Require),
            ("sslmode=verify-ca", SslMode::VerifyCa),
            ("sslmode=verify-full", SslMode::VerifyFull),
            ("sslrootcert=system", SslMode::VerifyFull),
            ("sslrootcert=/x.crt", SslMode::Prefer),
            ("sslmode=verify-full&host=/run/postgresql", SslMode::Disable),
        ];
        for (parameters, expected) in cases {
            let target = Target::parse(&format!("postgres://h/d?{parameters}")).unwrap();
            assert_eq!(target.ssl_mode(), expected, "{parameters}");
        }
    }

    #[test]
    fn wrong_options_are_told_apart_without_their_values() {
        let cases = [
            ("postgres:///d", SyntaxError::NoHost),
            ("postgres://h/d?sslmode=strong", SyntaxError::Value("sslmode")),
            ("postgres://h:hush/d", SyntaxError::Value("port")),
            ("postgres://h/d?sslcert=/x", SyntaxError::Unsupported("sslcert")),
            ("postgres://h/d?hush=1", SyntaxError::Unknown),
            (
                "postgres://h/d?sslrootcert=system&sslmode=require",
                SyntaxError::WeakMode("sslrootcert=system"),
            ),
            (
                "postgres://h/d?sslnegotiation=direct",
                SyntaxError::WeakMode("sslnegotiation=direct"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(syntax(text), expected, "{text}");
            assert!(!Target::parse(text).unwrap_err().to_string().contains("hush"));
        }
    }

    #[test]
    fn strings_from_dashboards_are_taken() {
        for text in [
            "postgres://postgres.ref:p@pooler.example:6543/postgres?pgbouncer=true&connection_limit=1",
            "postgresql://u:p@h/d?sslmode=require&channel_binding=require",
            "host=a,b port=1,2 user=u keepalives_count=2 gssencmode=disable client_encoding=UTF8",
        ] {
            Target::parse(text).unwrap();
        }
    }

    #[test]
    fn a_target_shows_its_place_but_never_the_password() {
        let target = Target::parse("postgres://u:hush@a,[::1]:7/d")
            .unwrap()
            .with_login("v", "hush2");
        assert_eq!(target.to_string(), "v@a:5432,[::1]:7/d");
        let target = Target::parse("postgres://u@a").unwrap().with_login("v", "hush2");
        assert_eq!(target.to_string(), "v@a:5432/u");
        assert!(!format!("{target:?}").contains("hush"));
    }

    #[test]
    fn defaults_fill_in_what_the_string_leaves_open() {
        let defaults = [("host", "h"), ("user", "u"), ("dbname", "d")].map(|(k, v)| (k, v.to_owned()));
        for (text, expected) in [
            ("postgresql://", "u@h:5432/d"),
            ("postgresql://v@/e", "v@h:5432/e"),
            ("host=i", "u@i:5432/d"),
        ] {
            let target = Target::parse_with(text, &defaults).unwrap();
            assert_eq!(target.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn given_settings_win_over_ours() {
        let target = Target::parse("host=h application_name=x connect_timeout=9 keepalives_idle=8").unwrap();
        assert_eq!(target.config.get_application_name(), Some("x"));
        assert_eq!(target.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(target.config.get_keepalives_idle(), Duration::from_secs(8));
        let target = Target::parse("host=h").unwrap();
        assert_eq!(target.config.get_application_name(), Some("dropwire"));
    }
}
