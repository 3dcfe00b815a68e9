//! A small parser core whose grammars fail in PostgREST's words.
//!
//! PostgREST writes its grammars with Parsec, and Parsec's messages (`unexpected "o" expecting "not" or …`) reach
//! the caller. They follow from a few rules, which are kept here:
//!
//! - A parser that fails after it moved on ends all alternatives around it; [`Parser::attempt`] takes the move back.
//! - Every parser leaves behind what it would have taken as well, even if it succeeded. Going on from there without
//!   moving adds to it; moving forgets it. Of two such notes the one further to the right stands.
//! - [`Parser::label`] renames what a parser expected, as long as the parser did not move.
//!
//! Keeping notes costs more than parsing, so a text is parsed without them first, and once more with them if it is
//! wrong.

mod trouble;

use self::trouble::{Message, Trouble};
use crate::rest::error::RequestError;

/// Levels of parentheses that a text may have. Far more than requests have, far less than the stack holds.
pub(super) const MAX_DEPTH: usize = 100;

/// A parser failed; the [`Parser`] knows where and why.
#[derive(Debug)]
pub(super) struct Failed;

/// What a parser answers.
pub(super) type Parsed<T> = Result<T, Failed>;

/// A text and how far it is read.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    explain: bool,
    trouble: Trouble,
    depth: usize,
    too_deep_at: Option<usize>,
}

/// Parses a text. Like PostgREST's, a grammar may leave an end of the text unread.
///
/// `what` says what the text is; with it, the text and a position the error's message is made:
/// `"failed to parse order (id.ac)" (line 1, column 4)`.
pub(super) fn parse<T>(
    what: &str,
    shown: &str,
    text: &str,
    grammar: impl for<'p, 'a> Fn(&'p mut Parser<'a>) -> Parsed<T>,
) -> Result<T, RequestError> {
    let mut parser = Parser::new(text, false);
    if let Ok(value) = grammar(&mut parser) {
        return Ok(value);
    }
    let (at, details) = if let Some(at) = parser.too_deep_at {
        (at, format!("nested too deeply: {MAX_DEPTH} levels are the limit"))
    } else {
        let mut parser = Parser::new(text, true);
        match grammar(&mut parser) {
            Ok(value) => return Ok(value),
            Err(Failed) => (parser.trouble.at(), parser.trouble.to_string()),
        }
    };
    let (line, column) = trouble::position(text, at);
    Err(RequestError::QueryParam {
        message: format!("\"failed to parse {what} ({shown})\" (line {line}, column {column})"),
        details,
    })
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, explain: bool) -> Self {
        Self {
            text,
            rest: text,
            explain,
            trouble: Trouble::default(),
            depth: 0,
            too_deep_at: None,
        }
    }

    /// Bytes read.
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Moves on to `rest`.
    fn advance(&mut self, rest: &'a str) {
        if self.explain && rest.len() < self.rest.len() {
            self.trouble.clear();
        }
        self.rest = rest;
    }

    /// Notes at the present place what would have been taken instead of what stands there.
    fn expected(&mut self, what: Option<Message>) {
        if self.explain {
            let found = Message::Found(self.rest.chars().next());
            self.trouble.add(self.at(), what.into_iter().chain([found]));
        }
    }

    /// Reads one character.
    pub(super) fn satisfy(&mut self, accepts: impl Fn(char) -> bool) -> Parsed<char> {
        self.one(None, accepts)
    }

    /// Reads this character.
    pub(super) fn char(&mut self, wanted: char) -> Parsed<char> {
        self.one(Some(Message::ExpectedChar(wanted)), |c| c == wanted)
    }

    fn one(&mut self, what: Option<Message>, accepts: impl Fn(char) -> bool) -> Parsed<char> {
        let mut chars = self.rest.chars();
        match chars.next() {
            Some(c) if accepts(c) => {
                self.advance(chars.as_str());
                Ok(c)
            }
            _ => {
                self.expected(what);
                Err(Failed)
            }
        }
    }

    /// Reads characters as long as they are accepted, possibly none. `labels` name what is accepted.
    pub(super) fn take_while(&mut self, labels: &[&'static str], accepts: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest.trim_start_matches(accepts);
        let taken = self.rest.get(..self.rest.len() - rest.len()).unwrap_or_default();
        self.advance(rest);
        if self.explain {
            for label in labels {
                self.expected(Some(Message::Expected(label)));
            }
            self.expected(None);
        }
        taken
    }

    /// As [`Self::take_while`], at least one.
    pub(super) fn take_some(
        &mut self,
        labels: &[&'static str],
        accepts: impl Fn(char) -> bool,
    ) -> Parsed<&'a str> {
        let taken = self.take_while(labels, accepts);
        if taken.is_empty() { Err(Failed) } else { Ok(taken) }
    }

    /// Reads as many bytes as `length` says, unless messages are kept: then, or if it says None, the grammar proper
    /// must be asked. It has to answer the same.
    pub(super) fn shortcut(&mut self, length: impl FnOnce(&'a str) -> Option<usize>) -> Option<&'a str> {
        if self.explain {
            return None;
        }
        let (taken, rest) = self.rest.split_at_checked(length(self.rest)?)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads the remaining text.
    pub(super) fn take_rest(&mut self) -> &'a str {
        self.take_while(&[], |_| true)
    }

    /// Reads this word. Fails having moved if only its beginning is there.
    pub(super) fn word(&mut self, word: &'static str) -> Parsed<()> {
        if let Some(rest) = self.rest.strip_prefix(word) {
            self.advance(rest);
            return Ok(());
        }
        let start = self.at();
        let mut chars = self.rest.chars();
        let mut wanted = word.chars();
        let mut rest = self.rest;
        let found = loop {
            match (chars.next(), wanted.next()) {
                (Some(found), Some(wanted)) if found == wanted => rest = chars.as_str(),
                (found, _) => break found,
            }
        };
        self.advance(rest);
        if self.explain {
            self.trouble
                .add(start, [Message::ExpectedWord(word), Message::Found(found)]);
        }
        Err(Failed)
    }

    /// Reads the first of these words that is there, and answers its value.
    pub(super) fn one_of_words<T: Copy>(&mut self, words: &[(&'static str, T)]) -> Parsed<T> {
        for (word, value) in words {
            if self.attempt(|p| p.word(word)).is_ok() {
                return Ok(*value);
            }
        }
        Err(Failed)
    }

    /// Expects the end of the text.
    pub(super) fn end(&mut self) -> Parsed<()> {
        let next = self.rest.chars().next();
        if self.explain {
            let found = next.map_or(Message::Found(None), Message::Unexpected);
            self.trouble
                .add(self.at(), [Message::Expected("end of input"), found]);
        }
        if next.is_none() { Ok(()) } else { Err(Failed) }
    }

    /// Fails, without moving, if an accepted character comes next.
    pub(super) fn not_followed_by(
        &mut self,
        what: Option<char>,
        accepts: impl Fn(char) -> bool,
    ) -> Parsed<()> {
        let mut chars = self.rest.chars();
        match chars.next() {
            Some(c) if accepts(c) => {
                if self.explain {
                    let behind = self.text.len() - chars.as_str().len();
                    self.trouble.add(behind, [Message::Unexpected(c)]);
                }
                Err(Failed)
            }
            _ => {
                self.expected(what.map(Message::ExpectedChar));
                Ok(())
            }
        }
    }

    /// Runs a parser as if it had not moved when it fails.
    pub(super) fn attempt<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let start = self.rest;
        let before = self.take_notes();
        let answer = inner(self);
        if answer.is_err() {
            self.rest = start;
        }
        self.note_before(before, start);
        answer
    }

    /// Runs a parser that reads without moving. What it would have taken as well is forgotten.
    pub(super) fn look_ahead<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let start = self.rest;
        let before = self.take_notes();
        let answer = inner(self);
        if answer.is_ok() {
            self.rest = start;
            self.trouble.clear();
        }
        self.note_before(before, start);
        answer
    }

    /// Runs a parser; if it does not move, all that it expected is called `what`.
    pub(super) fn label<T>(
        &mut self,
        what: &'static str,
        inner: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let start = self.rest;
        let before = self.take_notes();
        let answer = inner(self);
        if self.explain && self.rest.len() == start.len() {
            self.trouble.rename(what, self.at(), answer.is_err());
        }
        self.note_before(before, start);
        answer
    }

    /// Takes the notes away, if any are kept.
    fn take_notes(&mut self) -> Option<Trouble> {
        self.explain.then(|| std::mem::take(&mut self.trouble))
    }

    /// Puts notes back that were taken away at `start`, unless the parser moved since.
    fn note_before(&mut self, before: Option<Trouble>, start: &'a str) {
        if let Some(before) = before
            && self.rest.len() == start.len()
        {
            let after = std::mem::replace(&mut self.trouble, before);
            self.trouble.merge(after);
        }
    }

    /// Runs the first parser, or the second if the first failed without moving.
    pub(super) fn either<T>(
        &mut self,
        first: impl FnOnce(&mut Self) -> Parsed<T>,
        second: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let start = self.rest.len();
        match first(self) {
            Err(Failed) if self.rest.len() == start => second(self),
            answer => answer,
        }
    }

    /// Runs a parser, or answers None if it failed without moving.
    pub(super) fn optional<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<Option<T>> {
        let start = self.rest.len();
        match inner(self) {
            Err(Failed) if self.rest.len() == start => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Runs a parser as often as it succeeds.
    pub(super) fn many<T>(&mut self, mut inner: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut all = Vec::new();
        while let Some(one) = self.optional(&mut inner)? {
            all.push(one);
        }
        Ok(all)
    }

    /// Reads one item or more with separators between them, and hands each to `take`.
    pub(super) fn separated_into<T, S>(
        &mut self,
        item: impl Fn(&mut Self) -> Parsed<T>,
        separator: impl Fn(&mut Self) -> Parsed<S>,
        mut take: impl FnMut(T),
    ) -> Parsed<()> {
        take(item(self)?);
        let mut first = true;
        loop {
            // Parsec's `sepBy1` repeats with its own `many`, which forgets between repetitions.
            if !first && self.explain {
                self.trouble.clear();
            }
            first = false;
            let next = self.optional(|p| {
                separator(p)?;
                item(p)
            })?;
            match next {
                Some(next) => take(next),
                None => return Ok(()),
            }
        }
    }

    /// Reads one item or more with separators between them.
    pub(super) fn separated<T, S>(
        &mut self,
        item: impl Fn(&mut Self) -> Parsed<T>,
        separator: impl Fn(&mut Self) -> Parsed<S>,
    ) -> Parsed<Vec<T>> {
        let mut all = Vec::new();
        self.separated_into(item, separator, |one| all.push(one))?;
        Ok(all)
    }

    /// Reads blanks, possibly none.
    pub(super) fn blanks(&mut self) {
        self.take_while(&[], |c| matches!(c, ' ' | '\t'));
    }

    /// Runs a parser with blanks around it.
    pub(super) fn lexeme<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.blanks();
        let answer = inner(self)?;
        self.blanks();
        Ok(answer)
    }

    /// Fails where something nests deeper than anybody needs. To be called with what opens the next level read.
    pub(super) fn check_depth(&mut self, levels: usize) -> Parsed<()> {
        if levels < MAX_DEPTH {
            return Ok(());
        }
        self.too_deep_at = Some(self.at());
        Err(Failed)
    }

    /// Runs a parser of something nested. To be called with its opening parenthesis read.
    pub(super) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.check_depth(self.depth)?;
        self.depth += 1;
        let answer = inner(self);
        self.depth -= 1;
        answer
    }
}

/// What a grammar answers without and with messages kept, and what is left of the text.
#[cfg(test)]
pub(super) fn both_ways<T>(
    text: &str,
    grammar: impl for<'p, 'a> Fn(&'p mut Parser<'a>) -> Parsed<T>,
) -> [(Option<T>, String); 2] {
    [false, true].map(|explain| {
        let mut parser = Parser::new(text, explain);
        let answer = grammar(&mut parser).ok();
        (answer, parser.rest.to_owned())
    })
}

#[cfg(test)]
mod tests;
