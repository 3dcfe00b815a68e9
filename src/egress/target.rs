//! Reads the URL of a webhook and refuses, before anything is looked up, what may never be called. Pure.

use std::net::IpAddr;

use url::{Host, Url};

use super::{EgressError, Rules};

/// Ports on the block list of the fetch standard: other protocols live there that could be made to act on
/// an HTTP request. The original, running on `fetch`, refuses them too.
const BLOCKED_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
    104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514,
    515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723,
    2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// A URL that may be called, if its name resolves to permitted addresses.
#[derive(Debug)]
pub(super) struct Target {
    /// The URL as given, user and password included: never to be logged.
    pub(super) url: Url,
    /// Scheme, host and port, the part that may be shown.
    pub(super) origin: String,
}

impl Target {
    /// Reads and checks `text`; blanks around it do not matter.
    ///
    /// `Url` brings every spelling of an IPv4 address (`2130706433`, `0x7f.1`, `0177.0.0.1`) into one form,
    /// so an address is an address here however it was disguised.
    pub(super) fn parse(text: &str, rules: Rules) -> Result<Self, EgressError> {
        let Ok(url) = Url::parse(text.trim()) else {
            return Err(EgressError::InvalidUrl);
        };
        if url.scheme() != "https" && !(rules.http && url.scheme() == "http") {
            return Err(EgressError::SchemeRefused {
                scheme: url.scheme().to_owned(),
            });
        }
        let origin = url.origin().ascii_serialization();
        if let Some(port) = url.port_or_known_default()
            && BLOCKED_PORTS.contains(&port)
        {
            return Err(EgressError::PortRefused { origin, port });
        }
        match url.host() {
            None => return Err(EgressError::InvalidUrl),
            Some(Host::Domain(name)) if !rules.local_names && names_this_machine(name) => {
                return Err(EgressError::HostRefused { origin });
            }
            Some(Host::Domain(_)) => {}
            Some(Host::Ipv4(ip)) => permit(ip.into(), &origin, rules)?,
            Some(Host::Ipv6(ip)) => permit(ip.into(), &origin, rules)?,
        }
        Ok(Self { url, origin })
    }
}

/// `localhost` and all below it, which RFC 6761 reserves for this machine. `Url` has made it lower case.
fn names_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn permit(address: IpAddr, origin: &str, rules: Rules) -> Result<(), EgressError> {
    if (rules.permitted)(address) {
        Ok(())
    } else {
        Err(EgressError::AddressRefused {
            origin: origin.to_owned(),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    fn parse(url: &str, allow_private: bool) -> Result<Target, EgressError> {
        Target::parse(url, Rules::from(Policy { allow_private }))
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        let disguised = [
            ("https://127.0.0.1/", "127.0.0.1"),
            ("https://2130706433/", "127.0.0.1"),
            ("https://017700000001/", "127.0.0.1"),
            ("https://0x7f000001/", "127.0.0.1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://127.1/", "127.0.0.1"),
            ("https://127.0.1/", "127.0.0.1"),
            ("https://0177.0.0.1/", "127.0.0.1"),
            ("https://0x7F.0x0.0x0.0x1/", "127.0.0.1"),
            ("https://127.0.0.1./", "127.0.0.1"),
            ("https://127.0.0.1:443/", "127.0.0.1"),
            ("https://127\u{3002}0\u{ff0e}0\u{ff61}1/", "127.0.0.1"),
            ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", "127.0.0.1"),
            ("https://\u{2460}\u{2461}\u{2466}.0.0.1/", "127.0.0.1"),
            ("https://%31%32%37.0.0.1/", "127.0.0.1"),
            ("https://127.0.0.1%2E/", "127.0.0.1"),
            ("https:127.0.0.1/", "127.0.0.1"),
            ("https:/\\127.0.0.1/", "127.0.0.1"),
            ("https:////127.0.0.1/", "127.0.0.1"),
            ("ht\ntps://127.0.\t0.1/", "127.0.0.1"),
            ("HTTPS://127.0.0.1/", "127.0.0.1"),
            ("https://hook.example.com@127.0.0.1/", "127.0.0.1"),
            ("https://hook.example.com:443@127.0.0.1/", "127.0.0.1"),
            ("https://hook.example.com%40x@127.0.0.1/", "127.0.0.1"),
            ("https://127.0.0.1\\@hook.example.com/", "127.0.0.1"),
            ("https://127.0.0.1#@hook.example.com/", "127.0.0.1"),
            ("https://127.0.0.1?@hook.example.com/", "127.0.0.1"),
            ("https://0/", "0.0.0.0"),
            ("https://0.0.0.0/", "0.0.0.0"),
            ("https://10.1/", "10.0.0.1"),
            ("https://0xA9FEA9FE/", "169.254.169.254"),
            ("https://2852039166/", "169.254.169.254"),
            ("https://0251.0376.0251.0376/", "169.254.169.254"),
            ("https://169.254.169.254/latest/meta-data/", "169.254.169.254"),
            ("https://192.168.257/", "192.168.1.1"),
            ("https://4294967295/", "255.255.255.255"),
            ("https://[::]/", "::"),
            ("https://[::1]/", "::1"),
            ("https://[0:0:0:0:0:0:0:1]/", "::1"),
            ("https://[::127.0.0.1]/", "::127.0.0.1"),
            ("https://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("https://[::FFFF:7f00:1]/", "::ffff:127.0.0.1"),
            ("https://[::ffff:169.254.169.254]/", "::ffff:169.254.169.254"),
            ("https://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1"),
            ("https://[2002:7f00:1::]/", "2002:7f00:1::"),
            ("https://[fd00:ec2::254]/", "fd00:ec2::254"),
            ("https://user:pass@[fe80::1]:8443/", "fe80::1"),
        ];
        for (url, meant) in disguised {
            let meant: IpAddr = meant.parse().unwrap();
            match parse(url, false) {
                Err(EgressError::AddressRefused { address, .. }) => assert_eq!(address, meant, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
            assert!(parse(url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn names_of_this_machine_are_refused_without_a_lookup() {
        let names = [
            "https://localhost/",
            "https://LocalHost:8443/",
            "https://localhost./",
            "https://localhost../",
            "https://api.localhost/",
            "https://a.b.localhost./",
            "https://x@localhost/",
            "https://loc%61lhost/",
            "https://\u{ff4c}ocalhost/",
            "https://loca\u{24db}host/",
            "https://local\u{ad}host/",
        ];
        for url in names {
            let refused = parse(url, false);
            assert!(
                matches!(
                    refused,
                    Err(EgressError::HostRefused { .. } | EgressError::InvalidUrl)
                ),
                "{url}: {refused:?}"
            );
        }
        assert!(parse("https://localhost/", true).is_ok());
        assert!(parse("https://notlocalhost/", false).is_ok());
    }

    #[test]
    fn what_is_no_url_is_invalid() {
        let texts = [
            "",
            "  ",
            "hook.example.com/path",
            "/path",
            "https://",
            "https:///",
            "https://hook.example.com:99999/",
            "https://hook example.com/",
            "https://1.2.3.256/",
            "https://0x100000000/",
            "https://1.2.3.4.5/",
            "https://09.1/",
            "https://[::1/",
            "https://[fe80::1%25eth0]/",
            "https://[fe80::1%eth0]/",
            "https://::1/",
            "https://hook.example.com\u{0}.internal/",
        ];
        for text in texts {
            let refused = parse(text, true);
            assert!(
                matches!(refused, Err(EgressError::InvalidUrl)),
                "{text}: {refused:?}"
            );
        }
    }

    #[test]
    fn only_https_passes_and_http_only_where_private_targets_do() {
        let others = ["ftp", "file", "data", "javascript", "gopher", "ws", "wss", "unix"];
        for scheme in others {
            let url = format!("{scheme}://hook.example.com/");
            let refused = parse(&url, true);
            assert!(
                matches!(&refused, Err(EgressError::SchemeRefused { scheme: named }) if named == scheme),
                "{url}: {refused:?}"
            );
        }
        assert!(matches!(
            parse("data:text/plain,hello", true),
            Err(EgressError::SchemeRefused { .. })
        ));
        assert!(matches!(
            parse("http://hook.example.com/", false),
            Err(EgressError::SchemeRefused { .. })
        ));
        assert!(parse("http://hook.example.com/", true).is_ok());
        assert!(parse("https://hook.example.com/", false).is_ok());
    }

    #[test]
    fn ports_of_other_protocols_are_refused_wherever_they_point() {
        for port in [22, 25, 6000, 10080] {
            for allow_private in [false, true] {
                let refused = parse(&format!("https://hook.example.com:{port}/"), allow_private);
                assert!(
                    matches!(&refused, Err(EgressError::PortRefused { port: named, .. }) if *named == port),
                    "{port}: {refused:?}"
                );
            }
        }
        assert!(parse("https://hook.example.com:8443/", false).is_ok());
    }

    #[test]
    fn blanks_are_trimmed_and_the_origin_keeps_no_secret() {
        let target = parse(
            " \t\nhttps://user:pass@Hook.Example.com:8443/s3cret?token=s3cret#s3cret\u{a0} ",
            false,
        );
        let target = target.unwrap();
        assert_eq!(target.origin, "https://hook.example.com:8443");
        assert_eq!(target.url.path(), "/s3cret");
        assert_eq!(target.url.fragment(), Some("s3cret"));
    }
}
