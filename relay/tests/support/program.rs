//! Another program, and the lines that it prints.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

/// For the next line; generous, since an interpreter may begin before it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Program {
    process: Child,
    lines: Receiver<String>,
}

impl Program {
    /// What it prints on standard output is read from now on.
    pub fn start(command: &mut Command) -> Program {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is installed");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Program { process, lines }
    }

    /// Reads lines until one has this text in it, and gives all of them.
    pub fn until(&self, wanted: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => read.push(line),
                Err(_) => panic!("no {wanted:?} came, but {read:#?}"),
            }
            if read.last().is_some_and(|line| line.contains(wanted)) {
                return read;
            }
        }
    }

    /// All that it prints until it ends by itself.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let mut read = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => read.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(_) => panic!("it does not end; it said {read:#?}"),
            }
        }
        (self.process.wait().expect("a child ends"), read)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python that has the clients of `scripts/install-python-clients.sh`.
pub fn python() -> String {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/install-python-clients.sh");
    let output = Command::new("sh").arg(script).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let path = String::from_utf8(output.stdout).expect("a path");
    path.trim().to_owned()
}
