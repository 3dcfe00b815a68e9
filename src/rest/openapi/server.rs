//! Where the described server is reached.

use url::Url;

/// A server's address as the document has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `http` or `https`.
    pub scheme: String,
    /// A host name or address, without its port.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path that all paths are below: `/` or `/rest/v1`.
    pub base_path: String,
}

impl Server {
    /// Reads `openapi-server-proxy-uri`. None unless it is an `http` or `https` URI with a host, and without user, query
    /// and fragment.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let url = Url::parse(uri).ok()?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            base_path: url.path().to_owned(),
        })
    }

    /// The address that is listened on.
    pub fn listening(address: std::net::SocketAddr, base_path: &str) -> Self {
        Self {
            scheme: "http".to_owned(),
            host: match address.ip() {
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
                std::net::IpAddr::V4(ip) => ip.to_string(),
            },
            port: address.port(),
            base_path: base_path.to_owned(),
        }
    }

    /// Host and port. A listener on every address is told as `0.0.0.0`.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.as_str() {
            "*" | "*4" | "!4" | "*6" | "!6" | "::" | "[::]" => "0.0.0.0",
            host => host,
        };
        format!("{host}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_scheme_host_port_and_path() {
        let cases = [
            (
                "https://example.com/openapi.json",
                "https example.com:443 /openapi.json",
            ),
            ("http://example.com", "http example.com:80 /"),
            (
                "HTTPS://example.com:8443/rest/v1",
                "https example.com:8443 /rest/v1",
            ),
            ("http://[::1]:3000/", "http [::1]:3000 /"),
        ];
        for (uri, expected) in cases {
            let server = Server::from_uri(uri).unwrap();
            let told = format!("{} {} {}", server.scheme, server.authority(), server.base_path);
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn other_uris_are_none() {
        for uri in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://user@example.com",
            "https://user:password@example.com",
            "https://example.com?query",
            "https://example.com#fragment",
            "https://example.com:99999",
        ] {
            assert_eq!(Server::from_uri(uri), None, "{uri}");
        }
    }
}
