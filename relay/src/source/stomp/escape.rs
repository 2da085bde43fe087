//! Escapes in headers: `\r`, `\n`, `\c` for a colon, `\\`. 1.1 has no `\r`, and no carriage returns
//! in headers either, so that reading as 1.2 does is right for both.

use bytes::{BufMut, BytesMut};

pub(super) fn escape(text: &str, out: &mut BytesMut) {
    for byte in text.bytes() {
        match byte {
            b'\r' => out.put_slice(b"\\r"),
            b'\n' => out.put_slice(b"\\n"),
            b':' => out.put_slice(b"\\c"),
            b'\\' => out.put_slice(b"\\\\"),
            byte => out.put_u8(byte),
        }
    }
}

/// `None` for an escape that there is not.
pub(super) fn unescape(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let meant = match character {
            '\\' => match characters.next()? {
                'r' => '\r',
                'n' => '\n',
                'c' => ':',
                '\\' => '\\',
                _ => return None,
            },
            character => character,
        };
        plain.push(meant);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_and_unfinished_escapes_are_none() {
        assert_eq!(unescape("\\t"), None);
        assert_eq!(unescape("a\\"), None);
        assert_eq!(unescape("a\\cb\\\\c\\n\\r").as_deref(), Some("a:b\\c\n\r"));
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back_and_has_no_line_ends_or_colons(text in ".*") {
            let mut out = BytesMut::new();
            escape(&text, &mut out);
            let escaped = String::from_utf8(out.to_vec()).expect("UTF-8");
            prop_assert!(!escaped.contains(['\n', '\r', ':']));
            prop_assert_eq!(unescape(&escaped), Some(text));
        }
    }
}
