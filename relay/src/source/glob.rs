//! Patterns of Redis (`stringmatchlen` of its util.c): which of several a channel fits.

/// Whether a text fits a pattern: `*` any bytes, `?` one, `[a-z]` and `[^a]` one of a set, `\` takes
/// the next as it is. Linear in both but for a set, since only the last `*` is gone back to.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, seen));
            at += 1;
            continue;
        }
        match text.get(seen) {
            None => return at >= pattern.len(),
            Some(byte) => {
                if let Some(next) = one(&pattern[at..], *byte) {
                    (at, seen) = (at + next, seen + 1);
                } else if let Some((after, from)) = star {
                    star = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                } else {
                    return false;
                }
            }
        }
    }
}

/// How much of the pattern one byte fits, if it does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => one_of(set, byte).map(|length| length + 1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// The same of what follows `[`. A set without an end goes to the end of the pattern.
fn one_of(set: &[u8], byte: u8) -> Option<usize> {
    let (not, mut at) = match set {
        [b'^', ..] => (true, 1),
        _ => (false, 0),
    };
    let mut found = false;
    loop {
        match &set[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (from, to) = (from.min(to), from.max(to));
                found |= (from..=to).contains(&&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != not).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_fit_as_in_redis() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "a.b.b.c", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[ab", "a", true),
            ("", "", true),
            ("", "a", false),
            ("news.*", "news.eu.de", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "*a".repeat(200);
        let text = "b".repeat(10_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
