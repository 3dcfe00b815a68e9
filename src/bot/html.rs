//! Text for Telegram's HTML mode: <https://core.telegram.org/bots/api#html-style>.

/// A text as it is, whatever signs are in it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The beginning of a text, in at most so many characters: Telegram refuses messages of more than 4096.
pub(super) fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    text.chars()
        .take(max_chars.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_html_are_escaped_once() {
        assert_eq!(
            escape("<b>R&D</b> &lt; \"x\""),
            "&lt;b&gt;R&amp;D&lt;/b&gt; &amp;lt; \"x\""
        );
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
