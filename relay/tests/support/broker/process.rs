//! A program with all that it starts.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A group of processes. It is killed when it is dropped.
pub struct Process {
    leader: Child,
    output: PathBuf,
}

impl Process {
    /// Its output goes to a file of this name in the folder.
    pub fn start(folder: &Path, name: &str, command: &mut Command) -> Process {
        let output = folder.join(name);
        let file = File::create(&output).expect("a file for the output");
        let leader = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the file opens twice"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?}: {error}; scripts/install-brokers.sh installs it")
            });
        Process { leader, output }
    }

    /// What it said, once it has ended.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.leader.try_wait().ok()??;
        Some(format!("{status}: {}", self.output()))
    }

    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.leader.id()).ok().and_then(Pid::from_raw);
        // a group that has ended cannot be signalled, which is fine
        let _ = kill_process_group(group.expect("an id of a process"), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.leader.wait();
    }
}
