//! Variables that a process is given: its own, and then those of a `.env` file in its directory.

/// The value of a variable, as of now. One that is no UTF-8 is as if it were not set.
pub fn variable(name: &str) -> Option<String> {
    if let Ok(value) = std::env::var(name) {
        return Some(value);
    }
    let mut file = dotenvy::dotenv_iter().ok()?.flatten();
    file.find(|(known, _)| known == name)
        .map(|(_, value)| value)
}
