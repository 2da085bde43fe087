//! Somebody who reads a page of `docs/migrating/` and types its commands, one after the other.

use crate::support::program::Program;
use std::{
    collections::VecDeque,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

pub struct Reader {
    commands: VecDeque<String>,
    /// What stands in the page, and what it is here.
    places: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    folder: TempDir,
}

impl Reader {
    /// At the beginning of a page, in an empty folder, with the program installed.
    pub fn of(page: &str) -> Reader {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migrating");
        let text = std::fs::read_to_string(path.join(page)).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        let program = folder.path().join("bin/sse-relay");
        symlink(env!("CARGO_BIN_EXE_sse-relay"), program).unwrap();
        Reader {
            commands: commands(&text),
            places: Vec::new(),
            variables: Vec::new(),
            folder,
        }
    }

    /// What the page calls so is called otherwise here: an address.
    pub fn place(&mut self, page: &str, here: &str) {
        self.places.push((page.to_owned(), here.to_owned()));
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The next command, which is an `export` of this variable; the reader knows the value.
    pub fn export(&mut self, name: &str, value: &str) {
        self.next(&format!("export {name}="));
        self.set(name, value);
    }

    /// Types the next command, which begins with this, and waits for its end; what it printed.
    pub fn run(&mut self, begins: &str) -> String {
        let command = self.next(begins);
        let output = self.shell(&command).output().unwrap();
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert!(output.status.success(), "{command}\n{said}{complained}");
        said
    }

    /// Types the next command, which begins with this and goes on until it is stopped.
    pub fn start(&mut self, begins: &str) -> Program {
        let command = self.next(begins);
        let mut shell = self.shell(&format!("exec {command}"));
        Program::start(&mut shell)
    }

    /// The page has no further command.
    pub fn finish(&self) {
        assert!(self.commands.is_empty(), "not tried: {:#?}", self.commands);
    }

    fn next(&mut self, begins: &str) -> String {
        let command = self.commands.pop_front().expect("the page has a command");
        assert!(command.starts_with(begins), "{command:?} is not {begins:?}");
        let places = self.places.iter();
        places.fold(command, |command, (page, here)| command.replace(page, here))
    }

    fn shell(&self, command: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", command])
            .env_clear()
            .env("PATH", format!("{}:{path}", self.file("bin").display()))
            .env("HOME", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        shell
    }
}

/// The commands of a page's blocks of shell. One goes on where its line ends with a backslash.
fn commands(text: &str) -> VecDeque<String> {
    let mut commands = VecDeque::new();
    let (mut is_shell, mut goes_on) = (false, false);
    for line in text.lines().map(str::trim) {
        match line {
            "```sh" => is_shell = true,
            "```" => is_shell = false,
            "" => {}
            line if is_shell => {
                let (line, more) = match line.strip_suffix('\\') {
                    Some(line) => (line, true),
                    None => (line, false),
                };
                match commands.back_mut().filter(|_| goes_on) {
                    Some(last) => {
                        let last: &mut String = last;
                        last.push_str(line);
                    }
                    None => commands.push_back(line.to_owned()),
                }
                goes_on = more;
            }
            _ => {}
        }
    }
    commands
}
