//! Text from elsewhere, fit for a terminal.

use std::fmt;

/// Shows control characters as `\u{1b}`, so that nobody's text moves the cursor, sets colours or
/// types commands. Tabs stay.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\t' => f.write_str("\t")?,
                c if is_hidden(c) => write!(f, "{}", c.escape_unicode())?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Control characters, and those that turn the direction of the text around them.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_text_is_left_alone() {
        assert_eq!(
            Printable("é\t😀 \x1b[31m\n\0\u{9b}\u{202e}").to_string(),
            "é\t😀 \\u{1b}[31m\\u{a}\\u{0}\\u{9b}\\u{202e}"
        );
    }
}
