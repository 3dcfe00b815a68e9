//! Reads libpq connection strings into settings: the URL form and the `key=value` form.
//!
//! tokio-postgres has a parser of its own, but it refuses options it does not know and would have to be given a
//! string with the TLS options already cut out; cutting needs a parser. Errors here name positions and options,
//! never values, because any part of a mistyped string may be a piece of the password.

use std::{borrow::Cow, collections::BTreeMap, iter::Peekable, str::Chars};

use tokio_postgres::Config;

/// Options that tokio-postgres takes as they are.
const SUPPORTED: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Options that change nothing here, so that strings copied from a dashboard work: session settings that hold
/// anyway, and hints to other clients' pools.
const IGNORED: &[&str] = &[
    "client_encoding",
    "connection_limit",
    "gssencmode",
    "pgbouncer",
    "pool_timeout",
    "sslcompression",
    "sslsni",
    "supa",
];

/// Options of libpq that would have to change something and do not.
const UNSUPPORTED: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "min_protocol_version",
    "max_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslpassword",
];

/// Option names to values; of an option given twice the later one counts, as with libpq.
pub(super) type Settings = BTreeMap<String, String>;

/// What is wrong with a connection string. Never carries a value out of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// A percent sign does not start an escape.
    #[error("a % is not followed by two hexadecimal digits; write a literal % as %25")]
    Escape,
    /// Percent escapes do not add up to text.
    #[error("percent-encoded bytes are not UTF-8")]
    Encoding,
    /// An IPv6 host misses its closing bracket, or something other than a port follows it.
    #[error("an IPv6 host must be written as [::1] or [::1]:5432")]
    Host,
    /// A user name or password reaches into the path.
    #[error("an @ follows the first /; write a / in the password as %2F and an @ as %40")]
    Credentials,
    /// A part that should read `key=value` does not.
    #[error("a setting is not of the form key=value; quote a value with blanks as key='a b'")]
    Setting,
    /// A quoted value does not end.
    #[error("a quoted value has no closing quote")]
    Quote,
    /// The server's place is missing.
    #[error("it names no host; add one, or a socket directory as ?host=/run/postgresql")]
    NoHost,
    /// A known option has a value that is not one of its own.
    #[error("option {0} has a value that it does not take")]
    Value(&'static str),
    /// An option of libpq that this program does not offer.
    #[error("option {0} is not supported; leave it out")]
    Unsupported(&'static str),
    /// Some other option.
    #[error(
        "it has an option that PostgreSQL does not know; look for a misspelt name, or an unescaped & or ?"
    )]
    Unknown,
    /// The TLS options contradict each other.
    #[error("{0} needs a stronger sslmode; set sslmode=verify-full")]
    WeakMode(&'static str),
}

/// Reads either form; a string that starts with `postgres://` or `postgresql://` is a URL.
pub(super) fn parse(text: &str) -> Result<Settings, SyntaxError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SyntaxError::Empty);
    }
    match ["postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
    {
        Some(rest) => parse_url(rest),
        None => parse_pairs(text),
    }
}

/// Hands the settings that are left to tokio-postgres.
pub(super) fn config(settings: &Settings) -> Result<Config, SyntaxError> {
    let mut text = String::new();
    for (key, value) in settings {
        if IGNORED.contains(&key.as_str()) {
            continue;
        }
        if let Some(name) = UNSUPPORTED.iter().find(|name| *name == key) {
            return Err(SyntaxError::Unsupported(name));
        }
        let name = SUPPORTED
            .iter()
            .find(|name| *name == key)
            .ok_or(SyntaxError::Unknown)?;
        let quoted = format!("{name}='{}' ", value.replace('\\', r"\\").replace('\'', r"\'"));
        if quoted.parse::<Config>().is_err() {
            return Err(SyntaxError::Value(name));
        }
        text.push_str(&quoted);
    }
    // Each option was read alone before, so that a wrong one could be named.
    text.parse().ok().ok_or(SyntaxError::Unknown)
}

fn parse_url(rest: &str) -> Result<Settings, SyntaxError> {
    let mut settings = Settings::new();
    let (credentials, rest) = split_credentials(rest);
    if let Some(credentials) = credentials {
        let (user, password) = split_at_first(credentials, ':');
        settings.insert("user".to_owned(), decode(user)?);
        if let Some(password) = password {
            settings.insert("password".to_owned(), decode(password)?);
        }
    }
    let (place, parameters) = split_at_first(rest, '?');
    let (hosts, database) = split_at_first(place, '/');
    if !hosts.is_empty() {
        parse_hosts(hosts, &mut settings)?;
    }
    if let Some(database) = database.filter(|name| !name.is_empty()) {
        if database.contains('@') {
            return Err(SyntaxError::Credentials);
        }
        settings.insert("dbname".to_owned(), decode(database)?);
    }
    for parameter in parameters
        .unwrap_or_default()
        .split('&')
        .filter(|parameter| !parameter.is_empty())
    {
        let (key, value) = parameter.split_once('=').ok_or(SyntaxError::Setting)?;
        settings.insert(decode(key)?, decode(value)?);
    }
    Ok(settings)
}

/// Cuts `user:password@` off. Like libpq only an `@` before the first `/` ends the credentials; unlike libpq the
/// last one does, so that an unescaped `@` in a password does not turn its tail into a host name.
fn split_credentials(rest: &str) -> (Option<&str>, &str) {
    let (authority, _) = split_at_first(rest, '/');
    let Some((head, tail)) = authority.split_once('@') else {
        return (None, rest);
    };
    let (before_parameters, _) = split_at_first(tail, '?');
    let more = before_parameters
        .rsplit_once('@')
        .map_or(0, |(password, _)| password.len() + 1);
    let (credentials, rest) = rest.split_at(head.len() + more);
    (Some(credentials), rest.strip_prefix('@').unwrap_or(rest))
}

fn parse_hosts(text: &str, settings: &mut Settings) -> Result<(), SyntaxError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(bracketed) => match bracketed.split_once(']').ok_or(SyntaxError::Host)? {
                (host, "") => (host, None),
                (host, port) => (host, Some(port.strip_prefix(':').ok_or(SyntaxError::Host)?)),
            },
            None => split_at_first(part, ':'),
        };
        hosts.push(decode(host)?);
        ports.push(decode(port.unwrap_or_default())?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        settings.insert("host".to_owned(), hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        settings.insert("port".to_owned(), ports.join(","));
    }
    Ok(())
}

fn parse_pairs(text: &str) -> Result<Settings, SyntaxError> {
    let mut settings = Settings::new();
    let mut rest = text.chars().peekable();
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(settings);
        }
        let mut key = String::new();
        while let Some(letter) = rest.next_if(|letter| *letter != '=' && !letter.is_whitespace()) {
            key.push(letter);
        }
        skip_blanks(&mut rest);
        if key.is_empty() || rest.next() != Some('=') {
            return Err(SyntaxError::Setting);
        }
        skip_blanks(&mut rest);
        settings.insert(key, pair_value(&mut rest)?);
    }
}

fn pair_value(rest: &mut Peekable<Chars<'_>>) -> Result<String, SyntaxError> {
    let quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next_if(|letter| quoted || !letter.is_whitespace()) {
            Some('\'') if quoted => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some(letter) => value.push(letter),
            None if quoted => return Err(SyntaxError::Quote),
            None => return Ok(value),
        }
    }
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|letter| letter.is_whitespace()).is_some() {}
}

fn split_at_first(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator)
        .map_or((text, None), |(head, tail)| (head, Some(tail)))
}

/// Undoes percent-encoding. A `+` stays one: this is no HTML form.
fn decode(text: &str) -> Result<String, SyntaxError> {
    let mut parts = text.split('%');
    let mut bytes = Cow::Borrowed(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, tail) = part.as_bytes().split_at_checked(2).ok_or(SyntaxError::Escape)?;
        let digit = |at: usize| char::from(digits[at]).to_digit(16).ok_or(SyntaxError::Escape);
        let byte = u8::try_from(digit(0)? * 16 + digit(1)?)
            .ok()
            .ok_or(SyntaxError::Escape)?;
        bytes.to_mut().push(byte);
        bytes.to_mut().extend_from_slice(tail);
    }
    String::from_utf8(bytes.into_owned())
        .ok()
        .ok_or(SyntaxError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_url_is_read_part_by_part() {
        assert_eq!(
            read("postgres://u%40x:p%2Fw@db.example:6543/my%20db?sslmode=require&options=-c%20a%3Db"),
            pairs(&[
                ("dbname", "my db"),
                ("host", "db.example"),
                ("options", "-c a=b"),
                ("password", "p/w"),
                ("port", "6543"),
                ("sslmode", "require"),
                ("user", "u@x"),
            ])
        );
    }

    #[test]
    fn hosts_may_be_several_bracketed_or_socket_directories() {
        let cases = [
            ("postgresql://a:1,b,[::1]:3/d", "a,b,::1", "1,,3"),
            ("postgresql://%2Frun%2Fpg:7/d", "/run/pg", "7"),
            ("postgresql:///d?host=/run/pg&port=8", "/run/pg", "8"),
        ];
        for (text, host, port) in cases {
            assert_eq!(
                read(text),
                pairs(&[("dbname", "d"), ("host", host), ("port", port)]),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unescaped_at_or_question_mark_stays_in_the_password() {
        for password in ["p@ss", "p?ss", "p?s@s", "p#ss", "a:b"] {
            let settings = parse(&format!("postgres://u:{password}@h/d?application_name=a@b")).unwrap();
            assert_eq!(
                (settings["password"].as_str(), settings["host"].as_str()),
                (password, "h")
            );
        }
        assert_eq!(parse("postgres://h/d?user=a@b").unwrap()["user"], "a@b");
    }

    #[test]
    fn pairs_may_be_quoted_and_escaped() {
        assert_eq!(
            read(r"host = /run/pg  user=u password='a b\'c\\' options='' dbname=x\ y"),
            pairs(&[
                ("dbname", "x y"),
                ("host", "/run/pg"),
                ("options", ""),
                ("password", r"a b'c\"),
                ("user", "u"),
            ])
        );
    }

    #[test]
    fn mistakes_are_told_apart() {
        let cases = [
            ("  ", SyntaxError::Empty),
            ("postgres://u:5%@h/d", SyntaxError::Escape),
            ("postgres://u:%+1@h/d", SyntaxError::Escape),
            ("postgres://u:%ff@h/d", SyntaxError::Encoding),
            ("postgres://[::1/d", SyntaxError::Host),
            ("postgres://[::1]5432/d", SyntaxError::Host),
            ("postgres://u:12/ss@h/d", SyntaxError::Credentials),
            ("postgres://h/d?sslmode", SyntaxError::Setting),
            ("host=h password=two words", SyntaxError::Setting),
            ("host=h password='two words", SyntaxError::Quote),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }
}
