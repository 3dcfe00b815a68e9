//! Where a view's columns come from, read out of its stored definition.
//!
//! PostgreSQL keeps a view's parsed query in `pg_rewrite.ev_action`, as text: nodes in braces (`{VAR :varno 1 …}`),
//! lists in parentheses, fields by `:name`, and a backslash before every character of a name that would be taken for
//! one of these. Each entry of the query's target list names the table and column that it shows unchanged, or 0
//! (`:resorigtbl`, `:resorigcol`; see PostgreSQL's `TargetEntry` in `primnodes.h`). The field names have been the same
//! since PostgreSQL 7.4.

/// A table's column, by object id and number.
pub(super) type Origin = (u32, i16);

/// Lists a definition's columns by number, with their origins if they are columns of a relation. None when the text is
/// no such tree.
pub(super) fn origins(tree: &str) -> Option<Vec<(i16, Option<Origin>)>> {
    let mut tokens = Tokens(tree);
    // A list of one query, then the field among the query's own.
    tokens.expect(Token::Open('('))?;
    tokens.expect(Token::Open('{'))?;
    tokens.field(":targetList")?;
    match tokens.next()? {
        Token::Open('(') => {}
        // `<>`: a select of no columns.
        _ => return Some(Vec::new()),
    }
    let mut entries = Vec::new();
    loop {
        match tokens.next()? {
            Token::Open('{') => entries.push(entry(&mut tokens)?),
            Token::Close => return Some(entries),
            _ => return None,
        }
    }
}

/// Reads one target entry, behind its brace.
fn entry(tokens: &mut Tokens<'_>) -> Option<(i16, Option<Origin>)> {
    tokens.field(":resno")?;
    let number = tokens.number()?;
    tokens.field(":resorigtbl")?;
    let table: u32 = tokens.number()?;
    tokens.field(":resorigcol")?;
    let column: i16 = tokens.number()?;
    tokens.close()?;
    // Numbers below zero are system columns; a whole row is 0.
    Some((number, (table != 0 && column > 0).then_some((table, column))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open(char),
    Close,
    Word(&'a str),
}

/// What is left of the text.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.0.trim_ascii_start();
        let (token, length) = match text.as_bytes().first()? {
            open @ (b'(' | b'{') => (Token::Open(char::from(*open)), 1),
            b')' | b'}' => (Token::Close, 1),
            _ => {
                let length = word_length(text.as_bytes());
                (Token::Word(text.get(..length)?), length)
            }
        };
        self.0 = text.get(length..)?;
        Some(token)
    }

    fn expect(&mut self, expected: Token<'_>) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        match self.next()? {
            Token::Word(word) => word.parse().ok(),
            _ => None,
        }
    }

    /// Goes behind the name of a field of the node that the tokens stand in, over nodes and lists within it.
    fn field(&mut self, name: &str) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Token::Open(_) => depth += 1,
                Token::Close => depth = depth.checked_sub(1)?,
                Token::Word(word) if depth == 0 && word == name => return Some(()),
                Token::Word(_) => {}
            }
        }
    }

    /// Goes behind the end of the node that the tokens stand in.
    fn close(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Token::Open(_) => depth += 1,
                Token::Close if depth == 0 => return Some(()),
                Token::Close => depth -= 1,
                Token::Word(_) => {}
            }
        }
    }
}

/// Counts the bytes up to a blank, brace or parenthesis that no backslash protects. All of these are ASCII, so the
/// count ends between characters.
fn word_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b' ' | b'\n' | b'\t' | b'(' | b')' | b'{' | b'}' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_traced_and_expressions_are_not() {
        let tree = r"({QUERY :commandType 1 :rtable ({RANGETBLENTRY :alias <> :eref {ALIAS :colnames (\x22id\x22)}
            :subquery {QUERY :targetList ({TARGETENTRY :expr <> :resno 9 :resname x :resorigtbl 9 :resorigcol 9}) :a b}})
            :targetList ({TARGETENTRY :expr {VAR :varno 3 :resno 7} :resno 1 :resname id :ressortgroupref 0
            :resorigtbl 16707 :resorigcol 2 :resjunk false} {TARGETENTRY :expr {FUNCEXPR :args ({VAR :varno 3})} :resno 2
            :resname a\ \(b\{\} :resorigtbl 0 :resorigcol 0 :resjunk false}) :override 0 :onConflict <>})";
        assert_eq!(origins(tree), Some(vec![(1, Some((16707, 2))), (2, None)]));
    }

    #[test]
    fn names_that_look_like_the_notation_are_only_names() {
        let tree = r"({QUERY :a \:targetList :targetList ({TARGETENTRY :expr <> :resno 1 :resname \:resorigtbl
            :ressortgroupref 0 :resorigtbl 5 :resorigcol 6 :resjunk false}) :x y})";
        assert_eq!(origins(tree), Some(vec![(1, Some((5, 6)))]));
    }

    #[test]
    fn system_columns_and_whole_rows_have_no_origin() {
        for column in ["-1", "0"] {
            let tree = format!("({{QUERY :targetList ({{T :resno 1 :resorigtbl 5 :resorigcol {column}}})}})");
            assert_eq!(origins(&tree), Some(vec![(1, None)]));
        }
    }

    #[test]
    fn a_view_of_no_columns_has_none() {
        assert_eq!(origins("({QUERY :targetList <> :override 0})"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for text in [
            "",
            "<>",
            "()",
            "({QUERY",
            "({QUERY :targetList",
            "({QUERY :targetList (",
            "({QUERY :targetList (x",
            "({QUERY :targetList ({T :resno x",
            "({QUERY :targetList ({T :resno 1 :resorigtbl 5",
            "({QUERY })) :targetList <>",
            "({QUERY :targetLis\\",
            "({é :targetList ({\\é :resno é",
        ] {
            assert_eq!(origins(text), None, "{text}");
        }
    }
}
