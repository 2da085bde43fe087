//! Why a text is no template.

use super::name::Form;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// It is too long.
    #[error("is longer than 8192 bytes; write a shorter one")]
    TooLong,
    /// It has too many places for values.
    #[error("has more than 64 values; write fewer")]
    TooManyValues,
    /// A place for a value does not end.
    #[error("`${{{0}` has no closing brace; write `${{name}}`, and `$$` for a dollar sign")]
    Open(String),
    /// A value that nothing is called by here.
    #[error(
        "`{text}` means nothing here; known here are {known}; a text of its own stands in single quotes"
    )]
    Unknown {
        /// What was written.
        text: String,
        /// What could have been.
        known: String,
    },
    /// A form that its value does not have.
    #[error("`{text}` is no form of this value; its forms are {}", forms(.legal))]
    Form {
        /// What was written.
        text: String,
        /// What could have been.
        legal: Vec<Form>,
    },
    /// The result could not be JSON.
    #[error("is not JSON with its values filled in: {0}")]
    NotJson(String),
}

fn forms(legal: &[Form]) -> String {
    let names: Vec<&str> = legal.iter().map(|form| form.as_str()).collect();
    names.join(", ")
}

/// Foreign text for a message: short, and without control characters.
pub(super) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
