//! Which log lines are written: the text of `logging.level`.

use std::str::FromStr;

use crate::nearest::nearest;

/// Severities that are written, by where the lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(Vec<LogDirective>);

/// One part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirective {
    /// The module and all below it, as in `sse_relay::http`; `None` for everything.
    pub target: Option<String>,
    /// Least severity that is written.
    pub severity: Severity,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is written.
    Off,
    /// Something that should work does not.
    Error,
    /// Something may need attention.
    Warn,
    /// What happens in normal life.
    Info,
    /// For who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

const SEVERITIES: [(&str, Severity); 6] = [
    ("off", Severity::Off),
    ("error", Severity::Error),
    ("warn", Severity::Warn),
    ("info", Severity::Info),
    ("debug", Severity::Debug),
    ("trace", Severity::Trace),
];

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFilterError {
    /// There is nothing between two commas, or nothing at all.
    #[error("is empty; write a level such as `info`")]
    Empty,
    /// Not one of the levels.
    #[error(
        "`{written}` is not a level, perhaps `{meant}` is meant; write off, error, warn, info, debug or trace, \
         also for a module alone as in `info,sse_relay::http=debug`"
    )]
    Level {
        /// As it stands there.
        written: String,
        /// The most similar level.
        meant: &'static str,
    },
    /// Not the path of a module.
    #[error("`{0}` is not a module; write it as in `info,sse_relay::http=debug`")]
    Module(String),
}

impl LogFilter {
    /// The most special one that matches a line decides. What none names is written from `error` up.
    #[must_use]
    pub fn directives(&self) -> &[LogDirective] {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    /// A subset of what `RUST_LOG` takes elsewhere, in which a slip is an error: a word alone is a
    /// level and never a module.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(directive)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn directive(text: &str) -> Result<LogDirective, LogFilterError> {
    let (target, level) = match text.split_once('=') {
        Some((target, level)) => (Some(target.trim()), level.trim()),
        None => (None, text.trim()),
    };
    if level.is_empty() {
        return Err(LogFilterError::Empty);
    }
    if let Some(target) = target.filter(|target| !is_module(target)) {
        return Err(LogFilterError::Module(target.escape_debug().to_string()));
    }
    Ok(LogDirective {
        target: target.map(str::to_owned),
        severity: severity(level)?,
    })
}

fn severity(level: &str) -> Result<Severity, LogFilterError> {
    let found = SEVERITIES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(level));
    found
        .map(|(_, severity)| *severity)
        .ok_or_else(|| LogFilterError::Level {
            written: level.escape_debug().to_string(),
            meant: nearest(level, SEVERITIES.map(|(name, _)| name)).unwrap_or("info"),
        })
}

fn is_module(target: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.');
    !target.is_empty() && target.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_everything_and_a_module_may_have_its_own() {
        let filter: LogFilter = "INFO, sse_relay::http=debug".parse().unwrap();
        let directive = |target: Option<&str>, severity| LogDirective {
            target: target.map(str::to_owned),
            severity,
        };
        assert_eq!(
            filter.directives(),
            [
                directive(None, Severity::Info),
                directive(Some("sse_relay::http"), Severity::Debug)
            ]
        );
    }

    #[test]
    fn a_slip_is_an_error_that_says_what_is_right() {
        let error = |text: &str| text.parse::<LogFilter>().unwrap_err().to_string();
        assert!(error("inof").contains("perhaps `info` is meant"));
        assert!(error("warning").contains("perhaps `warn` is meant"));
        assert!(error("sse_relay").contains("write off, error, warn"));
        assert!(error("info,").contains("is empty"));
        assert!(error("info,hyper=").contains("is empty"));
        assert!(error("=debug").contains("is not a module"));
        assert!(error("a b=debug").contains("is not a module"));
        assert!(error("a\u{1b}=debug").contains("`a\\u{1b}` is not a module"));
    }
}
