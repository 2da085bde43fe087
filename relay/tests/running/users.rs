//! Users of Redis with the rights that the program prints for them.

use std::{fs, path::Path, process::Command};

/// The line of an ACL file for a user of this role whose password is its name, for keys that begin with
/// `sse-relay:`.
pub fn line(role: &str, user: &str, folder: &Path) -> String {
    let password = folder.join(user);
    fs::write(&password, user).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args(["redis-acl", role, "--user", user, "--password-file"])
        .arg(&password)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}
