//! Servers of others, measured in the same run where they are installed.

pub mod nchan;
pub mod pushpin;
pub mod sse_relay_server;

use std::path::{Path, PathBuf};

use crate::load::generator::Publishing;
use crate::process::Readiness;

/// A program to start.
pub struct Start {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub readiness: Readiness,
}

/// How a peer is run and asked.
pub struct Peer {
    /// In this order; what is measured is all of them.
    pub starts: Vec<Start>,
    pub subscribe: String,
    pub publish: String,
    pub publishing: Publishing,
}

/// Where a program is, as a shell would find it, or where Debian puts servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
