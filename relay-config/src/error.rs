//! Why no configuration could be loaded.

use std::fmt;

use crate::origin::Origin;
use crate::validate::Problem;

/// Why no configuration could be loaded. Shown, each thing to correct is a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A text is not YAML (or JSON), or has a key twice.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where it stops being legal.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// There are keys or variables that mean nothing; all of them, at least one.
    #[error("{}", lines(.0))]
    Unknown(Vec<Unknown>),
    /// A value has the wrong type; the first one found.
    #[error("{0}")]
    WrongValue(Located),
    /// Each value is well-formed but what they say cannot work; all problems, at least one.
    #[error("{}", lines(.0))]
    Invalid(Vec<Located>),
}

impl LoadError {
    /// A name from a closed set, for metrics and conditions.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "Syntax",
            Self::Unknown(_) => "UnknownKey",
            Self::WrongValue(_) => "WrongValue",
            Self::Invalid(_) => "Invalid",
        }
    }
}

/// A name that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// A key of the document.
    Key {
        /// Where it was written.
        origin: Origin,
        /// Its path from the document's root.
        path: String,
        /// What was probably meant.
        nearest: String,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
        /// What was probably meant.
        nearest: String,
    },
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key {
                origin,
                path,
                nearest,
            } => write!(
                f,
                "{origin}: unknown key `{path}`; did you mean `{nearest}`?"
            ),
            Self::Variable { name, nearest } => {
                write!(f, "{name}: unknown; did you mean {nearest}?")
            }
        }
    }
}

/// A problem and where the value was written, if it was written at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where the value, or else what contains it, was written; a default was written nowhere.
    pub origin: Option<Origin>,
    /// What is wrong with which field.
    pub problem: Problem,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        self.problem.fmt(f)
    }
}

fn lines(items: &[impl fmt::Display]) -> String {
    let lines: Vec<String> = items.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
