//! The right name that somebody probably meant.

/// The most similar of `names`; case, `_` and `-` hardly count, since they are what differs
/// between the naming habits of YAML, Rust and the shell.
pub(crate) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = plain(written);
    let distance = |name: &str| {
        let plain = plain(name);
        let begins = plain.starts_with(&wanted) || wanted.starts_with(&plain);
        let letters = strsim::osa_distance(&plain, &wanted);
        // A name cut short or continued is a likelier slip than as many other letters.
        let letters = if begins { letters.min(3) } else { letters };
        (letters, strsim::osa_distance(name, written))
    };
    names.into_iter().min_by_key(|name| distance(name))
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = [
        "heartbeat",
        "maxQueueBytes",
        "maxMemory",
        "retry",
        "retryJitter",
    ];

    #[test]
    fn a_slip_of_the_finger_finds_the_name() {
        for (written, meant) in [
            ("heartbet", "heartbeat"),
            ("hartbeat", "heartbeat"),
            ("max_queue_bytes", "maxQueueBytes"),
            ("maxqueuebytes", "maxQueueBytes"),
            ("retyr", "retry"),
            ("retryjiter", "retryJitter"),
        ] {
            assert_eq!(nearest(written, NAMES), Some(meant), "{written}");
        }
    }

    #[test]
    fn a_name_cut_short_finds_the_long_one() {
        assert_eq!(nearest("maxQueue", NAMES), Some("maxQueueBytes"));
    }

    #[test]
    fn among_no_names_there_is_no_nearest() {
        assert_eq!(nearest("x", []), None);
    }
}
