//! One run, written into a page that is kept: between two marks, so that all around it stays.

use std::fs;
use std::io;
use std::path::Path;

use super::{Results, markdown};

pub const BEGIN: &str = "<!-- measured: from here on written by `make bench` -->";
pub const END: &str = "<!-- measured: up to here -->";

/// Puts the circumstances, the table and the curves of a run in place of the last one's.
pub fn write_into(page: &Path, results: &Results) -> io::Result<()> {
    let text = fs::read_to_string(page)?;
    let mut measured = String::new();
    markdown::circumstances(&mut measured, results);
    markdown::verdicts(&mut measured, results);
    markdown::curves(&mut measured, results);
    let written = replace(&text, &measured).ok_or_else(|| {
        io::Error::other(format!("the page lacks the marks `{BEGIN}` and `{END}`"))
    })?;
    fs::write(page, written)
}

fn replace(page: &str, measured: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        measured.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_replaced_and_nothing_else() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter");
        let expected = format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter");
        assert_eq!(replace(&page, "new\n").as_deref(), Some(&*expected));
        assert_eq!(replace(&expected, "new").as_deref(), Some(&*expected));
        assert_eq!(replace("no marks", "new"), None);
    }
}
