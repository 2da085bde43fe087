//! What a broker says, as text.

use crate::{printable::Printable, source::DropReason};

/// The longest message that is taken from a broker, in bytes. A longer one is dropped and counted,
/// however long the events of a channel may be.
pub(in crate::source) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// A message that has no text.
pub(in crate::source) type Unreadable = (DropReason, String);

/// The text of a message.
///
/// # Errors
/// It is no text, or too much of it.
pub(in crate::source) fn body_text(body: Vec<u8>) -> Result<String, Unreadable> {
    if body.len() > MAX_MESSAGE {
        let text = format!("it has {} bytes", body.len());
        return Err((DropReason::TooLarge, text));
    }
    String::from_utf8(body).map_err(|_| (DropReason::NotText, "it is no UTF-8".to_owned()))
}

/// The most of an error of a broker that is told, in characters.
const MAX_TOLD: usize = 300;

/// The first line of what a broker says of an error, as far as it can be shown.
pub(in crate::source) fn told(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().take(MAX_TOLD).collect();
    Printable(&line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_in_one_short_line_that_a_terminal_can_show() {
        let text = format!("no \u{1b}[31m{}\nat java.lang", "x".repeat(400));
        let told = told(&text);
        assert!(told.starts_with("no \\u{1b}[31mxxx") && !told.contains("java"));
        assert!(told.len() < 400);
    }

    #[test]
    fn a_message_is_text_or_the_reason_why_not() {
        assert_eq!(body_text(b"caf\xc3\xa9".to_vec()), Ok("café".to_owned()));
        let reason = |body| body_text(body).map_err(|(reason, _)| reason);
        assert_eq!(reason(b"\xff".to_vec()), Err(DropReason::NotText));
        assert_eq!(
            reason(vec![b'x'; MAX_MESSAGE + 1]),
            Err(DropReason::TooLarge)
        );
    }
}
