//! The settings of an agent: the environment, and `.env` in the home directory.

use crate::cli::client::Failure;
use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

/// Most bytes that are read of `.env`.
const MAX_FILE: u64 = 1024 * 1024;

/// Variables by their names. There is no `Debug`: some are secret.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Variables {
    fn from(pairs: [(K, V); N]) -> Variables {
        Variables(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl Variables {
    /// Those of the process win over those of the file.
    pub fn read() -> Variables {
        let mut all = std::env::home_dir()
            .map(|home| of_file(&home.join(".env")))
            .unwrap_or_default();
        all.extend(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
        Variables(all)
    }

    /// An empty one is not there.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// `meaning` says in the error what has to be written into it.
    pub fn required(&self, name: &'static str, meaning: &'static str) -> Result<String, Failure> {
        self.get(name)
            .map(str::to_owned)
            .ok_or(Failure::VariableMissing { name, meaning })
    }

    /// 1, true, yes or on.
    pub fn is_on(&self, name: &str) -> bool {
        let value = self.get(name).unwrap_or_default().to_lowercase();
        matches!(value.as_str(), "1" | "true" | "yes" | "on")
    }
}

/// It belongs to the user's shell too, so what is no assignment in it is passed over.
fn of_file(path: &Path) -> BTreeMap<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
        Err(_) => BTreeMap::new(),
    }
}

/// Lines `NAME=value`, perhaps with `export` before and quotes around. A value with a `$` is the shell's
/// business: it has put it into the environment.
fn parse(text: &str) -> BTreeMap<String, String> {
    let assignment = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        let is_plain = !line.starts_with('#') && !value.contains('$');
        is_plain.then(|| (name.trim().to_owned(), value.to_owned()))
    };
    text.lines().filter_map(assignment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_assignments_among_other_lines() {
        let text = "# SWF_A=0\nexport SWF_A='one'\n SWF_B = \"two=2\"\nsource x\nPATH=$PATH:/x\n";
        let all = Variables(parse(text));
        assert_eq!(all.get("SWF_A"), Some("one"));
        assert_eq!(all.get("SWF_B"), Some("two=2"));
        assert_eq!(all.get("PATH"), None);
        assert_eq!(all.0.len(), 2);
    }

    #[test]
    fn an_empty_variable_is_missing_and_the_error_says_what_to_set() {
        let all = Variables::from([("SWF_A", " "), ("SWF_ON", "Yes"), ("SWF_OFF", "0")]);
        let failure = all.required("SWF_A", "the key").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert_eq!(failure.to_string(), "SWF_A is not set: it is the key");
        assert!(all.is_on("SWF_ON"));
        assert!(!all.is_on("SWF_OFF") && !all.is_on("SWF_NONE"));
    }
}
