//! Lua scripts, called by their hash.

use super::Command;

/// A static [`Script`](crate::redis::Script) from a file in `scripts/` beside the caller's, after the prelude there.
macro_rules! lua_script {
    ($name:ident, $file:literal) => {
        pub static $name: std::sync::LazyLock<crate::redis::Script> =
            std::sync::LazyLock::new(|| {
                crate::redis::Script::new(concat!(
                    include_str!("scripts/prelude.lua"),
                    include_str!(concat!("scripts/", $file))
                ))
            });
    };
}
pub(crate) use lua_script;

/// A Lua script and the hash that servers call it by.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    pub fn new(source: &'static str) -> Script {
        Script {
            source,
            sha1: ::redis::Script::new(source).get_hash().to_owned(),
        }
    }

    pub fn source(&self) -> &'static str {
        self.source
    }

    /// SHA-1 of the source, in hexadecimal.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    pub(super) fn call(&self, keys: &[&[u8]], args: &[&[u8]]) -> Command {
        let call = Command::new("EVALSHA")
            .arg(&self.sha1)
            .number(u32::try_from(keys.len()).expect("keys are far fewer"));
        call.args(keys).args(args)
    }

    pub(super) fn load(&self) -> Command {
        Command::new("SCRIPT LOAD").arg(self.source)
    }
}
