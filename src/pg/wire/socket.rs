//! The socket below a connection: where it leads, and how it is opened, by libpq's rules.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, SslNegotiation};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::WireError;
use super::binding;

/// An open socket.
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One address of a server, which can be dialled again.
#[derive(Debug, Clone)]
pub(super) struct Place {
    address: Address,
    /// The name in the server's certificate.
    name: Option<String>,
}

#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Lists the addresses that a configuration leads to, in the order in which they are to be tried. A name that cannot
/// be resolved stands as its error.
pub(super) async fn places(config: &Config) -> Vec<Result<Place, WireError>> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let mut order: Vec<usize> = (0..hosts.len().max(addresses.len())).collect();
    let random = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
    let hasher = RandomState::new();
    if random {
        order.sort_by_cached_key(|n| hasher.hash_one(n));
    }
    let mut places = Vec::with_capacity(order.len());
    for n in order {
        let port = *ports.get(n).or(ports.first()).unwrap_or(&5432);
        let name = match hosts.get(n) {
            Some(Host::Tcp(name)) => Some(name.clone()),
            _ => None,
        };
        let at = |address: SocketAddr| Place {
            address: Address::Tcp(address),
            name: name.clone(),
        };
        match (addresses.get(n), hosts.get(n)) {
            (Some(address), _) => places.push(Ok(at(SocketAddr::new(*address, port)))),
            (None, Some(Host::Unix(directory))) => places.push(Ok(Place {
                address: Address::Unix(directory.join(format!(".s.PGSQL.{port}"))),
                name: None,
            })),
            (None, Some(Host::Tcp(host))) => match lookup_host((host.as_str(), port)).await {
                Ok(found) => {
                    let mut found: Vec<SocketAddr> = found.collect();
                    if random {
                        found.sort_by_cached_key(|address: &SocketAddr| {
                            hasher.hash_one::<IpAddr>(address.ip())
                        });
                    }
                    places.extend(found.into_iter().map(|address| Ok(at(address))));
                }
                Err(error) => places.push(Err(error.into())),
            },
            (None, None) => {}
        }
    }
    places
}

impl Socket {
    /// Dials one address, and puts TLS on the socket as far as the configuration asks for it.
    pub(super) async fn open(
        place: &Place,
        config: &Config,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self, WireError> {
        let patience = config.get_connect_timeout().copied();
        match &place.address {
            Address::Unix(path) => Ok(Self::Unix(within(patience, UnixStream::connect(path)).await?)),
            Address::Tcp(address) => {
                let stream = within(patience, TcpStream::connect(address)).await?;
                stream.set_nodelay(true)?;
                keep_alive(&stream, config)?;
                secure(stream, place.name.as_deref(), config, tls).await
            }
        }
    }

    /// Hashes the server's certificate for SCRAM's channel binding. None without TLS, and for signatures that name no
    /// hash. <https://www.rfc-editor.org/rfc/rfc5929#section-4>
    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        let Self::Tls(stream) = self else { return None };
        let certificates = stream.get_ref().1.peer_certificates()?;
        binding::tls_server_end_point(certificates.first()?)
    }
}

async fn within<T>(
    patience: Option<Duration>,
    connecting: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match patience {
        Some(patience) => tokio::time::timeout(patience, connecting)
            .await
            .unwrap_or_else(|_elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"))),
        None => connecting.await,
    }
}

fn keep_alive(stream: &TcpStream, config: &Config) -> io::Result<()> {
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
    if config.get_keepalives() {
        let mut probes = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            probes = probes.with_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            probes = probes.with_retries(retries);
        }
        socket.set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

/// Negotiates TLS. <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
async fn secure(
    mut stream: TcpStream,
    name: Option<&str>,
    config: &Config,
    tls: &Arc<ClientConfig>,
) -> Result<Socket, WireError> {
    if config.get_ssl_mode() == SslMode::Disable {
        return Ok(Socket::Tcp(stream));
    }
    if config.get_ssl_negotiation() == SslNegotiation::Postgres {
        let mut request = bytes::BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await?;
        // One byte and no more: what follows in the clear could be anybody's.
        if stream.read_u8().await? != b'S' {
            return if config.get_ssl_mode() == SslMode::Prefer {
                Ok(Socket::Tcp(stream))
            } else {
                Err(WireError::Login(
                    "the database server does not support TLS; sslmode asks for it",
                ))
            };
        }
    }
    let name = name.ok_or(WireError::Login("TLS needs the server's host name"))?;
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_invalid| WireError::Login("TLS needs a valid host name"))?;
    let connector = TlsConnector::from(Arc::clone(tls));
    Ok(Socket::Tls(Box::new(connector.connect(name, stream).await?)))
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
