//! Nasty requests, each with the status it gets from this stage.

use super::{parse_any, status};

/// A line: the status, method, target, and perhaps, behind ` | `, headers and a body. `\n`, `\t`, `\\`, `\xNN` are
/// escapes; `\d` is the separator itself.
const CORPUS: &str = include_str!("corpus.txt");

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next().unwrap() {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'd' => bytes.push(b'|'),
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    bytes
}

#[test]
fn the_corpus_gets_the_statuses_it_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in CORPUS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        count += 1;
        let mut parts = line.split(" | ");
        let mut first = parts.next().unwrap().splitn(3, ' ');
        let expected: u16 = first.next().unwrap().parse().unwrap();
        let method = first.next().unwrap();
        let target = String::from_utf8(unescaped(first.next().unwrap())).unwrap();
        let mut headers = Vec::new();
        let mut body = Vec::new();
        for part in parts {
            match part.split_once(": ").unwrap() {
                ("body", text) => body = unescaped(text),
                (name, value) => headers.push((name, unescaped(value))),
            }
        }
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice()))
            .collect();
        let found = status(parse_any(method, &target, &headers, &body));
        if found != expected {
            wrong.push(format!("{found} instead of {line}"));
        }
    }
    assert!(count > 100, "{count} requests");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
