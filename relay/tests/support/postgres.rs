//! A real PostgreSQL on a free loopback port, in a directory that goes away with it.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use super::redis::{free_ports, until};
use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// The database of each server.
pub const DATABASE: &str = "events";
/// Who the tests are; the superuser.
pub const USER: &str = "postgres";

/// `nobody` of every Linux.
const NOBODY: u32 = 65_534;

/// As whom the server runs, which refuses to be root.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    /// As who runs the tests.
    Ourselves,
    /// The tests are root.
    Nobody,
    /// The tests are root, on a machine on which nobody else may write to `/dev/null`, as initdb does:
    /// root takes another number in a namespace of its own.
    Renumbered,
}

/// Decided once.
fn runs_as() -> As {
    static AS: OnceLock<As> = OnceLock::new();
    *AS.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return As::Ourselves;
        }
        let mut probe = wrapped("sh", As::Nobody);
        let probe = probe.args(["-c", ": > /dev/null"]).stderr(Stdio::null());
        match probe.status() {
            Ok(status) if status.success() => As::Nobody,
            _ => As::Renumbered,
        }
    })
}

fn wrapped(program: impl AsRef<OsStr>, who: As) -> Command {
    let number = |name: &str| format!("--{name}={NOBODY}");
    let mut command = match who {
        As::Ourselves => return Command::new(program),
        As::Nobody => {
            let mut command = Command::new("setpriv");
            command.args([&number("reuid"), &number("regid")]);
            command.arg("--clear-groups");
            command
        }
        As::Renumbered => {
            let mut command = Command::new("unshare");
            command.args(["--user", &number("map-user"), &number("map-group")]);
            command
        }
    };
    command.arg("--").arg(program);
    command
}

/// One server, and its data.
pub struct Server {
    process: Option<Child>,
    pub port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// With settings, each as `name=value`.
    pub fn start_with(options: &[&str]) -> Server {
        let mut server = Server::prepare(options);
        server.begin();
        server
    }

    fn begin(&mut self) {
        self.run();
        self.execute_in(
            "postgres",
            &format!("CREATE DATABASE {DATABASE} ENCODING 'UTF8' TEMPLATE template0"),
        );
    }

    /// With TLS, and these lines of `pg_hba.conf`; the files are PEM.
    pub fn start_with_tls(certificate: &str, key: &str, rules: &str) -> Server {
        let mut server = Server::prepare(&["ssl=on", "log_connections=on"]);
        for (setting, name, content) in [
            ("ssl_cert_file", "server.pem", certificate),
            ("ssl_key_file", "server.key", key),
            ("hba_file", "rules.conf", rules),
        ] {
            let path = server.file(name, content);
            server.options.push(format!("{setting}={path}"));
        }
        server.begin();
        server
    }

    fn prepare(options: &[&str]) -> Server {
        let [port] = free_ports();
        let folder = TempDir::new().expect("a directory for the server");
        if runs_as() == As::Nobody {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let server = Server {
            process: None,
            port,
            options: options.iter().map(ToString::to_string).collect(),
            folder,
        };
        let made = server
            .command("initdb")
            .args(["--pgdata", &server.path("data"), "--username", USER])
            .args([
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
            ])
            .output()
            .expect("initdb is installed: scripts/install-postgres.sh does that");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb: {said}");
        server
    }

    fn command(&self, program: &str) -> Command {
        let mut command = wrapped(program_path(program), runs_as());
        command
            .current_dir(self.folder.path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// The path of a file in its directory.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A file that the server may read, and nobody else.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("the directory is there");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it was just written");
        if runs_as() == As::Nobody {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        path.display().to_string()
    }

    /// Starts it, again after it was stopped, on the same port with the same data.
    pub fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("a file for the log");
        let mut command = self.command("postgres");
        command.args(["-D", &self.path("data"), "-k", &self.path("")]);
        command.args(["-p", &self.port.to_string()]);
        let always = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "max_connections=60",
            "shared_buffers=16MB",
        ];
        for option in always
            .into_iter()
            .chain(self.options.iter().map(String::as_str))
        {
            command.args(["-c", option]);
        }
        let process = command
            .stdout(log.try_clone().expect("the file opens twice"))
            .stderr(log)
            .spawn()
            .expect("postgres is installed: scripts/install-postgres.sh does that");
        self.process = Some(process);
        until("an answer of PostgreSQL", || {
            let ended = self.process.as_mut().expect("it was started").try_wait();
            if let Ok(Some(status)) = ended {
                panic!("PostgreSQL has ended ({status}): {}", self.log());
            }
            self.try_execute("postgres", "SELECT 1").ok()
        });
    }

    /// What it logged since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it as a crash of the machine would, all its processes.
    pub fn kill(&mut self) {
        self.end("immediate");
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.end("fast");
    }

    fn end(&mut self, mode: &str) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let stopped = self
            .command("pg_ctl")
            .args([
                "stop",
                "--pgdata",
                &self.path("data"),
                "--mode",
                mode,
                "--no-wait",
            ])
            .output();
        stopped.expect("pg_ctl is where postgres is");
        process.wait().expect("a child ends");
    }

    /// As `archive.postgres.url` takes it.
    pub fn url(&self) -> String {
        format!("postgres://127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// The same by the server's socket.
    pub fn socket_url(&self) -> String {
        let folder = self.path("");
        let folder = folder.trim_end_matches('/').replace('/', "%2F");
        format!("postgres://{folder}:{}/{DATABASE}", self.port)
    }

    /// Runs statements; panics if the server refuses them. The last one's rows, columns joined by `|`.
    pub fn execute(&self, statements: &str) -> Vec<String> {
        self.execute_in(DATABASE, statements)
    }

    fn execute_in(&self, database: &str, statements: &str) -> Vec<String> {
        self.try_execute(database, statements)
            .unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// The same, unless the server refuses them or is away.
    pub fn try_execute(&self, database: &str, statements: &str) -> Result<Vec<String>, String> {
        let answer = Command::new(program_path("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER])
            .args(["-d", database, "-c", statements])
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .expect("psql is where postgres is");
        if !answer.status.success() {
            return Err(String::from_utf8_lossy(&answer.stderr).into_owned());
        }
        let text = String::from_utf8(answer.stdout).expect("UTF-8");
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The one number that a statement gives.
    pub fn number(&self, statement: &str) -> u64 {
        let rows = self.execute(statement);
        let [row] = &rows[..] else {
            panic!("{statement}: {rows:?}");
        };
        row.parse()
            .unwrap_or_else(|error| panic!("{statement}: {row}: {error}"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("immediate");
    }
}

/// In PATH, or where Debian keeps the newest release.
fn program_path(name: &str) -> PathBuf {
    let folders = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&folders).map(|folder| folder.join(name));
    let mut releases: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    let release = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse::<u32>().ok())
    };
    releases.sort_by_key(|path| std::cmp::Reverse(release(path)));
    let brought = releases
        .into_iter()
        .map(|folder| folder.join("bin").join(name));
    brought
        .chain(in_path)
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: run scripts/install-postgres.sh"))
}
