//! `sse-relay redis-acl`: a line of a Redis file of users.

use clap::{Args as Arguments, ValueEnum};
use relay_config::RedisRole;
use sha2::{Digest, Sha256};
use std::{fmt::Write, fs, path::PathBuf, process::ExitCode};

/// Prints the rights that a user of Redis needs, as one line for the file that `aclfile` names.
/// `redis-cli ACL SETUSER` takes what follows the word `user`.
#[derive(Arguments, Debug)]
pub struct Args {
    /// What the user is for
    role: Role,
    /// What the relay's keys begin with: `redis.prefix` of its configuration
    #[arg(long, default_value = "sse-relay")]
    prefix: String,
    /// The user's name
    #[arg(long, value_name = "NAME", default_value = "sse-relay")]
    user: String,
    /// File with the user's password, of which only the hash is printed; without it the user has
    /// none yet and cannot log in
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Role {
    /// The relay itself
    Relay,
    /// A program that only appends
    Publisher,
    /// A program that only reads and listens
    ReadOnly,
}

impl From<Role> for RedisRole {
    fn from(role: Role) -> RedisRole {
        match role {
            Role::Relay => RedisRole::Relay,
            Role::Publisher => RedisRole::Publisher,
            Role::ReadOnly => RedisRole::ReadOnly,
        }
    }
}

pub fn run(args: &Args) -> ExitCode {
    match line(args) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sse-relay: {error}");
            ExitCode::from(2)
        }
    }
}

fn line(args: &Args) -> Result<String, String> {
    let settings = relay_config::Redis {
        url: Some("redis://any".into()),
        prefix: args.prefix.clone(),
        ..relay_config::Redis::default()
    };
    settings
        .target()
        .map_err(|problems| problems[0].to_string())?;
    if args.user.is_empty()
        || args
            .user
            .contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err("a user's name has no spaces".into());
    }
    let rules = RedisRole::from(args.role).rules(&args.prefix);
    let password = match &args.password_file {
        None => String::new(),
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            hashed(text.trim_end_matches(['\r', '\n'])).ok_or("the password is empty")?
        }
    };
    Ok(format!("user {} on {password}{rules}", args.user))
}

/// ` #SHA-256`, as Redis takes passwords that nobody is to read.
fn hashed(password: &str) -> Option<String> {
    if password.is_empty() {
        return None;
    }
    let mut text = String::from("#");
    for byte in Sha256::digest(password) {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text.push(' ');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args {
            role: Role::Publisher,
            prefix: "live".into(),
            user: "shop".into(),
            password_file: None,
        }
    }

    #[test]
    fn a_line_has_name_password_hash_and_rights() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "secret\n").unwrap();
        let with = Args {
            password_file: Some(file),
            ..args()
        };
        let line = line(&with).unwrap();
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert!(
            line.starts_with(&format!("user shop on #{hash} resetkeys ")),
            "{line}"
        );
        assert!(!line.contains("secret"));
    }

    #[test]
    fn what_would_be_another_rule_is_refused() {
        for (user, prefix) in [("a b", "live"), ("", "live"), ("a", "* +@all"), ("a", "")] {
            let args = Args {
                user: user.into(),
                prefix: prefix.into(),
                ..args()
            };
            assert!(line(&args).is_err(), "{user} {prefix}");
        }
    }
}
