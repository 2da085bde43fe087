//! The table of `docs/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};

pub const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

pub struct Row {
    pub name: String,
    pub kind: String,
    /// Values by label.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

pub fn rows() -> Vec<Row> {
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(row)
        .collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, kind, labels, meaning, _alert] = cells[..] else {
        panic!("five columns: {line}");
    };
    assert!(!meaning.is_empty(), "{line}");
    let labels = labels.split(';').filter_map(|label| {
        let mut names = quoted(label).into_iter();
        Some((names.next()?, names.collect()))
    });
    Row {
        name: quoted(name).remove(0),
        kind: kind.to_owned(),
        labels: labels.collect(),
    }
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
