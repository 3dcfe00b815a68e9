//! The core against Parsec's rules, written down a second time in Parsec's own terms: replies that are consumed or
//! empty, fine or failed, each with an error.

use super::*;
use proptest::prelude::*;

/// A grammar as a value.
#[derive(Debug, Clone)]
enum Grammar {
    Satisfy(char),
    Char(char),
    Word(&'static str),
    End,
    NotFollowedBy(char),
    Then(Box<Grammar>, Box<Grammar>),
    Either(Box<Grammar>, Box<Grammar>),
    Optional(Box<Grammar>),
    Attempt(Box<Grammar>),
    LookAhead(Box<Grammar>),
    Label(&'static str, Box<Grammar>),
    /// Repeats its grammar behind this character, so that each repetition moves.
    Many(char, Box<Grammar>),
    /// Items with this character between them.
    Separated(Box<Grammar>, char),
}

impl Grammar {
    fn parse(&self, p: &mut Parser<'_>) -> Parsed<()> {
        match self {
            Self::Satisfy(c) => p.satisfy(|found| found == *c).map(drop),
            Self::Char(c) => p.char(*c).map(drop),
            Self::Word(word) => p.word(word),
            Self::End => p.end(),
            Self::NotFollowedBy(c) => p.not_followed_by(Some(*c), |found| found == *c),
            Self::Then(first, second) => first.parse(p).and_then(|()| second.parse(p)),
            Self::Either(first, second) => p.either(|p| first.parse(p), |p| second.parse(p)),
            Self::Optional(inner) => p.optional(|p| inner.parse(p)).map(drop),
            Self::Attempt(inner) => p.attempt(|p| inner.parse(p)),
            Self::LookAhead(inner) => p.look_ahead(|p| inner.parse(p)),
            Self::Label(label, inner) => p.label(label, |p| inner.parse(p)),
            Self::Many(c, inner) => p
                .many(|p| {
                    p.char(*c)?;
                    inner.parse(p)
                })
                .map(drop),
            Self::Separated(item, c) => p.separated(|p| item.parse(p), |p| p.char(*c)).map(drop),
        }
    }
}

/// An error: a place and messages.
#[derive(Debug, Clone, Default)]
struct Note(usize, Vec<Message>);

impl Note {
    fn merge(self, other: Self) -> Self {
        match (self.1.is_empty(), other.1.is_empty()) {
            (false, true) => self,
            (true, false) => other,
            _ if self.0 > other.0 => self,
            _ if self.0 < other.0 => other,
            _ => Self(self.0, [self.1, other.1].concat()),
        }
    }

    fn labelled(self, label: &'static str) -> Self {
        let others = self.1.into_iter().filter(|message| {
            !matches!(
                message,
                Message::Expected(_) | Message::ExpectedChar(_) | Message::ExpectedWord(_)
            )
        });
        Self(
            self.0,
            std::iter::once(Message::Expected(label)).chain(others).collect(),
        )
    }
}

#[derive(Debug, Clone)]
struct Reply {
    consumed: bool,
    fine: bool,
    at: usize,
    note: Note,
}

impl Reply {
    fn empty(at: usize, fine: bool, note: Note) -> Self {
        Self {
            consumed: false,
            fine,
            at,
            note,
        }
    }

    fn moved(at: usize, fine: bool, note: Note) -> Self {
        Self {
            consumed: true,
            ..Self::empty(at, fine, note)
        }
    }
}

/// Runs a grammar by Parsec's rules.
fn model(grammar: &Grammar, text: &str, at: usize) -> Reply {
    let run = |grammar: &Grammar| model(grammar, text, at);
    match grammar {
        Grammar::Then(first, second) => then(run(first), |at| model(second, text, at)),
        Grammar::Either(first, second) => or(run(first), || run(second)),
        Grammar::Optional(inner) => or(run(inner), || Reply::empty(at, true, Note::default())),
        Grammar::Attempt(inner) => match run(inner) {
            Reply {
                fine: false, note, ..
            } => Reply::empty(at, false, note),
            fine => fine,
        },
        Grammar::LookAhead(inner) => match run(inner) {
            Reply { fine: true, .. } => Reply::empty(at, true, Note::default()),
            failed => failed,
        },
        Grammar::Label(label, inner) => match run(inner) {
            reply if reply.consumed || (reply.fine && reply.note.1.is_empty()) => reply,
            mut reply => {
                if reply.note.1.is_empty() {
                    reply.note.0 = at;
                }
                reply.note = reply.note.labelled(label);
                reply
            }
        },
        // `many v = some v <|> pure []`, `some v = v *> many v`
        Grammar::Many(c, inner) => {
            let one = then(run(&Grammar::Char(*c)), |at| model(inner, text, at));
            or(then(one, |at| model(grammar, text, at)), || {
                Reply::empty(at, true, Note::default())
            })
        }
        Grammar::Separated(item, c) => then(run(item), |at| repeated(item, *c, text, at)),
        token => one_token(token, text, at),
    }
}

/// The grammars that look at one token.
fn one_token(grammar: &Grammar, text: &str, at: usize) -> Reply {
    let rest = text.get(at..).unwrap_or_default();
    let next = rest.chars().next();
    let here = |messages: &[Message]| Note(at, messages.to_vec());
    match grammar {
        Grammar::Satisfy(c) | Grammar::Char(c) if next == Some(*c) => {
            Reply::moved(at + 1, true, Note::default())
        }
        Grammar::Satisfy(_) => Reply::empty(at, false, here(&[Message::Found(next)])),
        Grammar::Char(c) => Reply::empty(
            at,
            false,
            here(&[Message::ExpectedChar(*c), Message::Found(next)]),
        ),
        Grammar::Word(word) => {
            let same = word.chars().zip(rest.chars()).take_while(|(a, b)| a == b).count();
            if same == word.len() {
                return Reply::moved(at + same, true, Note::default());
            }
            let note = here(&[
                Message::ExpectedWord(word),
                Message::Found(rest.chars().nth(same)),
            ]);
            if same == 0 {
                Reply::empty(at, false, note)
            } else {
                Reply::moved(at, false, note)
            }
        }
        Grammar::End => {
            let found = next.map_or(Message::Found(None), Message::Unexpected);
            let note = here(&[Message::Expected("end of input"), found]);
            Reply::empty(at, next.is_none(), note)
        }
        Grammar::NotFollowedBy(c) if next == Some(*c) => {
            Reply::empty(at, false, Note(at + 1, vec![Message::Unexpected(*c)]))
        }
        Grammar::NotFollowedBy(c) => {
            Reply::empty(at, true, here(&[Message::ExpectedChar(*c), Message::Found(next)]))
        }
        other => panic!("{other:?}"),
    }
}

/// `many (separator *> item)` with Parsec's own `many`, which keeps the last repetition's error alone.
fn repeated(item: &Grammar, separator: char, text: &str, at: usize) -> Reply {
    let mut all = Reply::empty(at, true, Note::default());
    loop {
        let separator = model(&Grammar::Char(separator), text, all.at);
        let one = then(separator, |at| model(item, text, at));
        match (one.consumed, one.fine) {
            (true, true) => (all.consumed, all.at) = (true, one.at),
            (true, false) => return one,
            _ => {
                return Reply {
                    note: one.note,
                    ..all
                };
            }
        }
    }
}

fn then(first: Reply, second: impl FnOnce(usize) -> Reply) -> Reply {
    if !first.fine {
        return first;
    }
    let mut reply = second(first.at);
    if !reply.consumed {
        reply.note = first.note.merge(reply.note);
    }
    reply.consumed |= first.consumed;
    reply
}

fn or(first: Reply, second: impl FnOnce() -> Reply) -> Reply {
    if first.consumed || first.fine {
        return first;
    }
    let mut reply = second();
    if !reply.consumed {
        reply.note = first.note.merge(reply.note);
    }
    reply
}

fn grammar() -> impl Strategy<Value = Grammar> {
    let c = || prop::sample::select(vec!['a', 'b', 'c']);
    let leaf = prop_oneof![
        c().prop_map(Grammar::Satisfy),
        c().prop_map(Grammar::Char),
        prop::sample::select(vec!["ab", "abc", "a", "ba"]).prop_map(Grammar::Word),
        Just(Grammar::End),
        c().prop_map(Grammar::NotFollowedBy),
    ];
    leaf.prop_recursive(5, 40, 2, move |inner| {
        let inner = inner.prop_map(Box::new);
        let label = prop::sample::select(vec!["this", "that"]);
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Grammar::Then(a, b)),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Grammar::Either(a, b)),
            1 => inner.clone().prop_map(Grammar::Optional),
            1 => inner.clone().prop_map(Grammar::Attempt),
            1 => inner.clone().prop_map(Grammar::LookAhead),
            1 => (label, inner.clone()).prop_map(|(label, inner)| Grammar::Label(label, inner)),
            1 => (c(), inner.clone()).prop_map(|(c, inner)| Grammar::Many(c, inner)),
            1 => (inner, c()).prop_map(|(inner, c)| Grammar::Separated(inner, c)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_grammar_takes_and_explains_what_parsec_would(grammar in grammar(), text in "[abc]{0,8}") {
        let expected = model(&grammar, &text, 0);
        let mut quick = Parser::new(&text, false);
        let mut thorough = Parser::new(&text, true);
        prop_assert_eq!(grammar.parse(&mut quick).is_ok(), expected.fine);
        prop_assert_eq!(grammar.parse(&mut thorough).is_ok(), expected.fine);
        if expected.fine {
            prop_assert_eq!((quick.at(), thorough.at()), (expected.at, expected.at));
        }
        let mut note = Trouble::default();
        note.add(expected.note.0, expected.note.1);
        prop_assert_eq!(thorough.trouble.to_string(), note.to_string());
        if note.to_string() != "unknown parse error" {
            prop_assert_eq!(thorough.trouble.at(), note.at());
        }
    }
}

#[test]
fn what_fails_names_the_text_and_the_place() {
    let error = parse("thing", "a\nb", "a\nb", |p| {
        p.word("a\n")?;
        p.char('c')
    });
    assert_eq!(
        error.unwrap_err(),
        RequestError::QueryParam {
            message: "\"failed to parse thing (a\nb)\" (line 2, column 1)".to_owned(),
            details: r#"unexpected "b" expecting "c""#.to_owned(),
        }
    );
}
