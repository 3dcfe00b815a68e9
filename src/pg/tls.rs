//! TLS towards PostgreSQL, by libpq's rules.
//!
//! libpq's `sslmode` says how much of the server's certificate must hold; tokio-postgres itself knows only
//! "off", "if offered" and "required". This module supplies the rest: which roots count, and a verifier that
//! checks nothing, the chain, or the chain and the name.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem, pem::PemObject as _},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Protocol name of PostgreSQL in the TLS handshake, which `sslnegotiation=direct` requires.
const ALPN: &[u8] = b"postgresql";

/// How much protection a connection must have: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server offers it, unverified. libpq's `allow` is read as this: neither promises anything.
    Prefer,
    /// TLS or no connection. The certificate is verified only when `sslrootcert` names a file, and then as
    /// [`SslMode::VerifyCa`] does, which is libpq's documented rule.
    Require,
    /// TLS, and the certificate chain ends at a trusted root. The host name may differ.
    VerifyCa,
    /// TLS, a trusted chain, and a certificate made out to the host name (as a subject alternative name; the
    /// common name is not consulted).
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(()),
        })
    }
}

/// Which roots a verified connection trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's. libpq would look for `~/.postgresql/root.crt` here and refuse without it; a
    /// service seldom has a home directory, and managed databases mostly use public certificates.
    System,
    /// The certificates of one PEM file and no others.
    File(PathBuf),
}

/// Why TLS cannot be set up; all of these are found before the first byte is sent.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The `sslrootcert` file is absent or no PEM.
    #[error("reading the root certificates in {}; sslrootcert must name a readable PEM file", path.display())]
    ReadRoots {
        /// The file as the setting names it.
        path: PathBuf,
        /// What went wrong with it.
        source: pem::Error,
    },
    /// The `sslrootcert` file has no certificate in it.
    #[error("{} holds no certificate; sslrootcert must name a PEM file with at least one", path.display())]
    NoRoots {
        /// The file as the setting names it.
        path: PathBuf,
    },
    /// One certificate in the `sslrootcert` file cannot serve as a root.
    #[error("a certificate in {} cannot be used as a root", path.display())]
    UnusableRoot {
        /// The file as the setting names it.
        path: PathBuf,
        /// What is wrong with the certificate.
        source: rustls::Error,
    },
    /// The operating system has no root certificates, as in a slim container image.
    #[error(
        "this system has no root certificates to verify the database server with; install ca-certificates, or \
         name a PEM file with sslrootcert"
    )]
    NoSystemRoots,
    /// The cryptography provider offers no usable protocol version.
    #[error("choosing TLS protocol versions")]
    Protocol(#[source] rustls::Error),
}

/// Builds tokio-postgres' connector, over [`config`].
pub(super) fn connector(mode: SslMode, roots: &Roots, direct: bool) -> Result<MakeRustlsConnect, TlsError> {
    config(mode, roots, direct).map(MakeRustlsConnect::new)
}

/// Configures TLS for connections of this mode; `direct` is `sslnegotiation=direct`.
///
/// Roots are read here, once: a pool that outlives a change of the file keeps the old ones.
pub(super) fn config(mode: SslMode, roots: &Roots, direct: bool) -> Result<ClientConfig, TlsError> {
    let check = match (mode, roots) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, Roots::System) => Check::Nothing,
        (SslMode::Require, Roots::File(_)) | (SslMode::VerifyCa, _) => Check::Chain,
        (SslMode::VerifyFull, _) => Check::ChainAndName,
    };
    let trusted = match check {
        Check::Nothing => Trusted {
            store: RootCertStore::empty(),
            pinned: Vec::new(),
        },
        Check::Chain | Check::ChainAndName => Trusted::load(roots)?,
    };
    // The provider is passed along explicitly: another crate may have installed none, or another one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier {
        check,
        trusted,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Protocol)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    if direct {
        config.alpn_protocols = vec![ALPN.to_vec()];
    }
    Ok(config)
}

/// The part of a server certificate that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// What a server certificate may lean on.
#[derive(Debug)]
struct Trusted {
    /// Roots that may have issued it.
    store: RootCertStore,
    /// Certificates it may be, byte for byte. `OpenSSL` accepts a self-signed server certificate that is itself
    /// the root file, and `openssl req -x509` makes exactly such ones; webpki alone refuses them, because they
    /// are marked as an authority.
    pinned: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn load(roots: &Roots) -> Result<Self, TlsError> {
        match roots {
            Roots::System => Self::from_system(),
            Roots::File(path) => Self::from_file(path),
        }
    }

    fn from_system() -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            return Err(TlsError::NoSystemRoots);
        }
        Ok(Self {
            store,
            pinned: Vec::new(),
        })
    }

    fn from_file(path: &Path) -> Result<Self, TlsError> {
        let path = || path.to_path_buf();
        let pinned = CertificateDer::pem_file_iter(path())
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| TlsError::ReadRoots { path: path(), source })?;
        if pinned.is_empty() {
            return Err(TlsError::NoRoots { path: path() });
        }
        let mut store = RootCertStore::empty();
        for certificate in &pinned {
            store
                .add(certificate.clone())
                .map_err(|source| TlsError::UnusableRoot { path: path(), source })?;
        }
        Ok(Self { store, pinned })
    }
}

/// Checks as much of a server certificate as the mode asks for.
///
/// The handshake signature is verified in every mode: without it a man in the middle could present the server's
/// certificate without holding its key, and SCRAM's channel binding would prove nothing.
#[derive(Debug)]
struct Verifier {
    check: Check,
    trusted: Trusted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !self.trusted.pinned.iter().any(|pinned| pinned == end_entity) {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.trusted.store,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.check == Check::ChainAndName {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::error::chain;
    use std::{
        fs,
        net::TcpListener,
        sync::atomic::{AtomicU16, Ordering},
    };

    use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use crate::pg::{
        connect::{ConnectError, Target},
        test_cluster::Cluster,
    };

    const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nssl = on";

    /// A server with TLS on 127.0.0.1, reached under any name.
    pub(in crate::pg) struct Server {
        pub(in crate::pg) cluster: Cluster,
        pub(in crate::pg) port: u16,
    }

    impl Server {
        pub(in crate::pg) fn start(certificate: &Certificate, key: &KeyPair) -> Self {
            // Below the ephemeral range, where another program's outgoing connection could hold the port.
            static NEXT: AtomicU16 = AtomicU16::new(0);
            let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
            let mut ports = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
            let port = ports
                .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
                .unwrap();
            let (certificate, key) = (certificate.pem(), key.serialize_pem());
            let files = [("server.crt", certificate.as_str()), ("server.key", key.as_str())];
            Self {
                cluster: Cluster::start(port, SETTINGS, &files),
                port,
            }
        }

        pub(in crate::pg) fn file(&self, name: &str, certificate: &Certificate) -> String {
            let path = self.cluster.file(name);
            fs::write(&path, certificate.pem()).unwrap();
            path.display().to_string()
        }

        /// Connects with these parameters and tells whether the session is encrypted.
        async fn connect(&self, host: &str, parameters: &str) -> Result<bool, ConnectError> {
            let place = format!("host={host} hostaddr=127.0.0.1 port={}", self.port);
            let text = format!("{place} user=postgres dbname=postgres {parameters}");
            let client = Target::parse(&text)?.connect().await?;
            let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
            Ok(client.query_typed_one(sql, &[]).await.unwrap().get(0))
        }

        async fn accepts(&self, host: &str, parameters: &str) {
            match self.connect(host, parameters).await {
                Ok(encrypted) => assert!(encrypted, "{host} {parameters} is not encrypted"),
                Err(error) => panic!("{host} {parameters}: {}", chain(&error)),
            }
        }

        async fn refuses(&self, host: &str, parameters: &str, reason: &str) {
            let error = self.connect(host, parameters).await.unwrap_err();
            assert!(
                chain(&error).contains(reason),
                "{host} {parameters}: {}",
                chain(&error)
            );
        }
    }

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_certificate_of_an_authority_is_held_to_the_mode() {
        let (ours, strange) = (authority("ours"), authority("strange"));
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["db.test".to_owned()]).unwrap();
        let server = Server::start(&params.signed_by(&key, &ours).unwrap(), &key);
        let ours = format!("sslrootcert={}", server.file("ours.crt", ours.as_ref()));
        let strange = format!("sslrootcert={}", server.file("strange.crt", strange.as_ref()));

        assert!(!server.connect("db.test", "sslmode=disable").await.unwrap());
        server.accepts("db.test", "").await;
        server.accepts("other.test", "sslmode=require").await;
        server
            .accepts("other.test", &format!("sslmode=require {ours}"))
            .await;
        server
            .accepts("other.test", &format!("sslmode=verify-ca {ours}"))
            .await;
        server
            .accepts("db.test", &format!("sslmode=verify-full {ours}"))
            .await;

        server
            .refuses("db.test", &format!("sslmode=require {strange}"), "UnknownIssuer")
            .await;
        server
            .refuses(
                "db.test",
                &format!("sslmode=verify-ca {strange}"),
                "UnknownIssuer",
            )
            .await;
        server
            .refuses(
                "db.test",
                &format!("sslmode=verify-full {strange}"),
                "UnknownIssuer",
            )
            .await;
        server
            .refuses(
                "other.test",
                &format!("sslmode=verify-full {ours}"),
                "not valid for name",
            )
            .await;
        server
            .refuses(
                "127.0.0.1",
                &format!("sslmode=verify-full {ours}"),
                "not valid for name",
            )
            .await;
        server
            .refuses(
                "db.test",
                "sslmode=verify-ca sslrootcert=/nowhere.crt",
                "/nowhere.crt",
            )
            .await;
    }

    #[tokio::test]
    async fn a_self_signed_certificate_is_trusted_by_itself() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["db.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained); // as openssl req -x509 makes them
        let certificate = params.self_signed(&key).unwrap();
        let server = Server::start(&certificate, &key);
        let own = format!("sslrootcert={}", server.file("own.crt", &certificate));

        server.accepts("other.test", "sslmode=require").await;
        server
            .accepts("other.test", &format!("sslmode=verify-ca {own}"))
            .await;
        server
            .accepts("db.test", &format!("sslmode=verify-full {own}"))
            .await;
        server
            .refuses(
                "other.test",
                &format!("sslmode=verify-full {own}"),
                "not valid for name",
            )
            .await;
    }
}
