//! What a parser found and would have taken, where, and how that is worded.

use std::fmt::{self, Write as _};

/// Notes on one place of a text.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    at: usize,
    messages: Vec<Message>,
}

/// A note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// This stands there, or the end of the text, and was not taken.
    Found(Option<char>),
    /// This was taken, and must not stand there. Outranks [`Self::Found`].
    Unexpected(char),
    /// Would have been taken: a label.
    Expected(&'static str),
    /// Would have been taken: a character.
    ExpectedChar(char),
    /// Would have been taken: a word.
    ExpectedWord(&'static str),
}

impl Message {
    fn is_expectation(self) -> bool {
        match self {
            Self::Expected(_) | Self::ExpectedChar(_) | Self::ExpectedWord(_) => true,
            Self::Found(_) | Self::Unexpected(_) => false,
        }
    }
}

impl Trouble {
    /// The place, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Adds notes on a place. Those further to the right stay, at the same place all do.
    pub(super) fn add(&mut self, at: usize, messages: impl IntoIterator<Item = Message>) {
        if self.messages.is_empty() || at > self.at {
            self.messages.clear();
            self.at = at;
        } else if at < self.at {
            return;
        }
        self.messages.extend(messages);
    }

    /// Adds other notes.
    pub(super) fn merge(&mut self, other: Self) {
        if self.messages.is_empty() {
            *self = other;
        } else if !other.messages.is_empty() {
            self.add(other.at, other.messages);
        }
    }

    /// Replaces what was expected by one label. Nothing noted stays nothing, unless the parser failed.
    pub(super) fn rename(&mut self, what: &'static str, at: usize, failed: bool) {
        if self.messages.is_empty() {
            if !failed {
                return;
            }
            self.at = at;
        }
        self.messages.retain(|message| !message.is_expectation());
        self.messages.insert(0, Message::Expected(what));
    }
}

/// `unexpected "x" expecting "a", "b" or end of input`
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.messages.is_empty() {
            return f.write_str("unknown parse error");
        }
        let mut found = None;
        let mut unexpected = Vec::new();
        let mut expected = Vec::new();
        for message in &self.messages {
            match *message {
                Message::Found(c) => {
                    found.get_or_insert_with(|| c.map_or_else(|| "end of input".to_owned(), show_text));
                }
                Message::Unexpected(c) => add_new(&mut unexpected, show_char(c)),
                Message::Expected(label) => add_new(&mut expected, label.to_owned()),
                Message::ExpectedChar(c) => add_new(&mut expected, show_text(c)),
                Message::ExpectedWord(word) => add_new(&mut expected, format!("\"{word}\"")),
            }
        }
        if unexpected.is_empty() {
            unexpected.extend(found);
        }
        write_list(f, "unexpected ", &unexpected)?;
        if !unexpected.is_empty() && !expected.is_empty() {
            f.write_char(' ')?;
        }
        write_list(f, "expecting ", &expected)
    }
}

fn add_new(all: &mut Vec<String>, one: String) {
    if !all.contains(&one) {
        all.push(one);
    }
}

/// `before a, b or c`, or nothing.
fn write_list(f: &mut fmt::Formatter<'_>, before: &str, all: &[String]) -> fmt::Result {
    let Some((last, others)) = all.split_last() else {
        return Ok(());
    };
    f.write_str(before)?;
    for (i, one) in others.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        f.write_str(one)?;
    }
    if !others.is_empty() {
        f.write_str(" or ")?;
    }
    f.write_str(last)
}

/// `"x"`, escaped as Haskell writes strings.
fn show_text(c: char) -> String {
    format!("\"{}\"", escaped(c, '"'))
}

/// `'x'`, escaped as Haskell writes characters.
fn show_char(c: char) -> String {
    format!("'{}'", escaped(c, '\''))
}

fn escaped(c: char, quote: char) -> String {
    const CONTROL: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "a", "b", "t", "n", "v", "f", "r", "SO", "SI",
        "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS",
        "US",
    ];
    let code = u32::from(c);
    if c == quote || c == '\\' {
        format!("\\{c}")
    } else if let Some(name) = usize::try_from(code).ok().and_then(|code| CONTROL.get(code)) {
        format!("\\{name}")
    } else if code == 0x7f {
        "\\DEL".to_owned()
    } else if c.is_ascii() {
        c.to_string()
    } else {
        format!("\\{code}")
    }
}

/// Line and column of a place. A tab moves to the next column behind a multiple of eight.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for c in text.get(..at).unwrap_or(text).chars() {
        match c {
            '\n' => {
                line += 1;
                column = 1;
            }
            '\t' => column += 8 - (column - 1) % 8,
            _ => column += 1,
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_characters_from_one() {
        assert_eq!(position("abc", 0), (1, 1));
        assert_eq!(position("äbc", 2), (1, 2));
        assert_eq!(position("a\nbc", 3), (2, 2));
        assert_eq!(position("a\tb", 2), (1, 9));
        assert_eq!(position("12345678\tb", 9), (1, 17));
    }

    #[test]
    fn characters_are_written_as_haskell_does() {
        let shown = ['a', '"', '\'', '\\', '\n', '\0', '\x0e', '\x7f', 'é', '😀'].map(show_text);
        assert_eq!(
            shown,
            [
                r#""a""#,
                r#""\"""#,
                r#""'""#,
                r#""\\""#,
                r#""\n""#,
                r#""\NUL""#,
                r#""\SO""#,
                r#""\DEL""#,
                r#""\233""#,
                r#""\128512""#,
            ]
        );
        assert_eq!(show_char('\''), r"'\''");
        assert_eq!(show_char('"'), r#"'"'"#);
    }

    #[test]
    fn the_note_furthest_to_the_right_stands() {
        let mut trouble = Trouble::default();
        trouble.add(3, [Message::ExpectedChar('a'), Message::Found(Some('x'))]);
        trouble.add(2, [Message::ExpectedChar('b')]);
        trouble.add(3, [Message::ExpectedChar('c'), Message::Found(Some('y'))]);
        assert_eq!(trouble.to_string(), r#"unexpected "x" expecting "a" or "c""#);
        trouble.add(4, [Message::Found(None)]);
        assert_eq!(
            (trouble.at(), trouble.to_string().as_str()),
            (4, "unexpected end of input")
        );
    }

    #[test]
    fn what_must_not_stand_there_outranks_what_does() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.to_string(), "unknown parse error");
        trouble.add(0, [Message::Found(Some('x')), Message::Unexpected('x')]);
        assert_eq!(trouble.to_string(), "unexpected 'x'");
        trouble.rename("a name", 0, true);
        trouble.add(0, [Message::ExpectedChar('b'), Message::ExpectedWord("c")]);
        assert_eq!(
            trouble.to_string(),
            r#"unexpected 'x' expecting a name, "b" or "c""#
        );
    }
}
