//! Where a value was written.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file; line and column count from 1.
    File {
        /// The file's name as the caller gave it.
        name: Arc<str>,
        /// Line.
        line: u64,
        /// Column, in characters.
        column: u64,
    },
    /// In the environment variable of this name.
    Variable(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}
